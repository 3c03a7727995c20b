package mux_test

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// fileConn counts the files that it is given.
type fileConn struct {
	*tryConn
	got int // files
}

func (c *fileConn) PassesFiles() bool { return true }

func (c *fileConn) WriteFile(_ *os.File, p []byte) error {
	_, err := c.Write(p)
	c.got++
	return err
}

// fileServer is a server session over a connection that takes room bytes, and
// its lane, which the peer has opened.
func fileServer(t *testing.T, size, room int) (*mux.Session, *fileConn, *mux.Stream, *raw) {
	t.Helper()
	near, far := testnet.PipeSize(size)
	conn := &fileConn{tryConn: &tryConn{Conn: far, room: room}}
	s := mux.Server(conn, mux.Config{})
	peer := &raw{t, near}
	t.Cleanup(func() {
		near.Close()
		s.Abort(nil)
	})
	peer.send(open(1))
	st, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	peer.want(flags(1, ack))
	return s, conn, st, peer
}

// file is one that is open.
func file(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// isOpen reports whether a file is.
func isOpen(f *os.File) bool {
	_, err := f.Stat()
	return !errors.Is(err, os.ErrClosed)
}

// TestSendFile: a file goes between two frames, in front of what is written
// after it, also while the connection takes a few bytes at a time; then it is
// closed.
func TestSendFile(t *testing.T) {
	s, conn, st, peer := fileServer(t, 1<<20, 5)
	var files []*os.File
	for _, body := range []string{"before", "one", "two"} {
		if body != "before" {
			files = append(files, file(t))
			if n, err := s.SendFile(files[len(files)-1]); err != nil || n != len(files)-1 {
				t.Fatalf("as number %d: %v", n, err)
			}
		}
		if _, err := io.WriteString(st, body); err != nil {
			t.Fatal(err)
		}
		if body != "before" {
			peer.want(update(1, 0))
		}
		peer.want(text(1, body))
	}
	peer.alive()
	if conn.got != 2 || isOpen(files[0]) || isOpen(files[1]) {
		t.Errorf("passed %d, open: %v, %v", conn.got, isOpen(files[0]), isOpen(files[1]))
	}
}

// TestSendFileBounds: where files do not travel, too many, and a session that
// ends with files on their way: each is closed.
func TestSendFileBounds(t *testing.T) {
	s, peer := rawClient(t, mux.Config{})
	peer.send(open(1))
	if _, err := s.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := file(t)
	if _, err := s.SendFile(f); !errors.Is(err, mux.ErrNoFiles) || isOpen(f) {
		t.Errorf("over a connection that passes none: %v, open: %v", err, isOpen(f))
	}
	synctest.Test(t, func(t *testing.T) {
		s, _, st, _ := fileServer(t, 40, 40)
		if _, err := st.Write(make([]byte, 1000)); err != nil { // the peer reads no more
			t.Fatal(err)
		}
		synctest.Wait()
		var files []*os.File
		var err error
		for err == nil {
			f := file(t)
			files = append(files, f)
			_, err = s.SendFile(f)
		}
		if !errors.Is(err, mux.ErrNoFiles) || len(files) != 9 || isOpen(files[8]) {
			t.Errorf("after %d files: %v", len(files), err)
		}
		s.Abort(nil)
		for i, f := range files {
			if isOpen(f) {
				t.Errorf("file %d is still open", i)
			}
		}
		f := file(t)
		if _, err := s.SendFile(f); !errors.Is(err, mux.ErrSessionClosed) || isOpen(f) {
			t.Errorf("to a session that is over: %v, open: %v", err, isOpen(f))
		}
	})
}
