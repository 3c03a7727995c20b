//go:build darwin || linux

package shs

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unixPair returns both ends of a plain connection over a Unix socket, and the
// raw connection of the server's.
func unixPair(t *testing.T, mode Mode) (client, server *Conn, raw *net.UnixConn) {
	t.Helper()
	a, b := socketPair(t, "unix", filepath.Join(t.TempDir(), "s"))
	client, server = connect(t, mode, a, b)
	t.Cleanup(func() { client.Abort(); server.Abort() })
	return client, server, b.(*net.UnixConn)
}

// pipe returns a pipe, the reading end of which is gone with the test.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// wantEnd fails unless nobody has the writing end of a pipe any more.
func wantEnd(t *testing.T, r *os.File, what string) {
	t.Helper()
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%s: read %d bytes, %v", what, n, err)
	}
}

// TestFiles: files come in order, each before the bytes it came with, and are
// closed on exec, whatever was left to write before.
func TestFiles(t *testing.T) {
	client, server, _ := unixPair(t, Plain)
	var got []*os.File
	if !client.TakeFiles(func(f *os.File) { got = append(got, f) }) {
		t.Fatal("no files over a Unix socket")
	}
	left := false
	for big := make([]byte, 64<<10); !left; {
		var err error
		if left, err = server.TryWrite(big); err != nil {
			t.Fatal(err)
		}
	}
	server.SetWriteDeadline(time.Now().Add(time.Millisecond))
	r, w := pipe(t)
	if err := server.WriteFile(w, []byte("?")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("to a peer that reads nothing: %v", err)
	}
	server.SetWriteDeadline(time.Time{})
	errs := make(chan error, 1)
	go func() {
		_, err := server.Write([]byte{1})
		for i := byte(2); i < 5 && err == nil; i++ {
			if err = server.WriteFile(w, []byte{i, i}); err == nil {
				_, err = server.Write([]byte{0})
			}
		}
		errs <- errors.Join(err, server.CloseWrite())
	}()
	rest, files := []byte(nil), 0
	for {
		p, _, err := client.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range p {
			if b > 1 && (len(rest) == 0 || rest[len(rest)-1] != b) {
				if files++; len(got) < files {
					t.Fatalf("byte %d came before its file", b)
				}
			}
			if b > 0 {
				rest = append(rest, b)
			}
		}
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if want := []byte{1, 2, 2, 3, 3, 4, 4}; !bytes.Equal(rest, want) || len(got) != 3 {
		t.Fatalf("read %v with %d files, want %v with 3", rest, len(got), want)
	}
	w.Close()
	for i, f := range got {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("file %d is not closed on exec: %x, %v", i, flags, err)
		}
		if _, err := f.Write([]byte{byte(i)}); err != nil {
			t.Error(err)
		}
		f.Close()
	}
	text := make([]byte, 3)
	if _, err := io.ReadFull(r, text); err != nil || !bytes.Equal(text, []byte{0, 1, 2}) {
		t.Errorf("through the files came %v, %v", text, err)
	}
	wantEnd(t, r, "all closed")
}

// TestFilesUnwanted: a file that nobody takes is closed, and its bytes come.
func TestFilesUnwanted(t *testing.T) {
	client, server, _ := unixPair(t, Plain)
	r, w := pipe(t)
	if err := server.WriteFile(w, []byte("bytes")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	text := make([]byte, 5)
	if _, err := io.ReadFull(client, text); err != nil || string(text) != "bytes" {
		t.Errorf("got %q, %v", text, err)
	}
	wantEnd(t, r, "unwanted")
}

// TestFilesTooMany: more than one at once breaks the stream, also where the
// kernel has cut them off, and none stays open.
func TestFilesTooMany(t *testing.T) {
	for _, n := range []int{2, 3, 9} {
		client, _, raw := unixPair(t, Plain)
		taken := 0
		client.TakeFiles(func(f *os.File) { taken++; f.Close() })
		r, w := pipe(t)
		fds := make([]int, n)
		for i := range fds {
			fds[i] = int(w.Fd())
		}
		if _, _, err := raw.WriteMsgUnix([]byte{0, 0, 0, 1, 7}, unix.UnixRights(fds...), nil); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if k, err := client.Read(make([]byte, 9)); k != 0 || !errors.Is(err, ErrProtocol) {
			t.Errorf("%d files: %d bytes, %v", n, k, err)
		}
		if taken != 0 {
			t.Errorf("%d files: %d taken", n, taken)
		}
		wantEnd(t, r, "too many")
	}
}

// TestFilesNowhere: where files do not travel.
func TestFilesNowhere(t *testing.T) {
	boxed, _, _ := unixPair(t, Box)
	a, b := socketPair(t, "tcp", "127.0.0.1:0")
	tcp, _ := connect(t, Plain, a, b)
	defer tcp.Abort()
	near, far := net.Pipe()
	defer far.Close()
	_, w := pipe(t)
	for name, conn := range map[string]*Conn{"box": boxed, "TCP": tcp, "no socket": Vouched(near, bob.Public())} {
		if conn.PassesFiles() || conn.TakeFiles(func(*os.File) { t.Error("taken") }) {
			t.Errorf("%s: files", name)
		}
		if err := conn.WriteFile(w, []byte{0}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	near.Close()
}

// TestVouched: a pair of sockets is a connection at once.
func TestVouched(t *testing.T) {
	a, b := socketPair(t, "unix", filepath.Join(t.TempDir(), "s"))
	x, y := Vouched(a, bob.Public()), Vouched(b, alice.Public())
	if x.RemoteKey() != bob.Public() || x.Mode() != Plain || y.RemoteKey() != alice.Public() {
		t.Error("the ends are not whom they were said to be")
	}
	text, buf := []byte("there and back"), make([]byte, 20)
	for _, way := range [][2]*Conn{{x, y}, {y, x}} {
		if _, err := way[0].Write(text); err != nil {
			t.Fatal(err)
		}
		if n, err := way[1].Read(buf); err != nil || !bytes.Equal(buf[:n], text) {
			t.Errorf("got %q, %v", buf[:n], err)
		}
	}
	if err := x.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := y.Read(buf); err != io.EOF {
		t.Errorf("after the goodbye: %v", err)
	}
	y.Abort()
	if _, err := x.Read(buf); err != io.ErrUnexpectedEOF {
		t.Errorf("after an abort: %v", err)
	}
	x.Close()
}
