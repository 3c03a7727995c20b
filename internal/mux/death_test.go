package mux_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// recorder keeps what is written to a connection.
type recorder struct {
	net.Conn
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.buf.Write(p)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

// exchange records what a client sends: stream 1 with 900 bytes and an end,
// stream 3 with 700 bytes and none.
func exchange(t *testing.T) []byte {
	t.Helper()
	var sent []byte
	synctest.Test(t, func(t *testing.T) {
		x, y := testnet.Pipe()
		rec := &recorder{Conn: x}
		a, b := mux.Client(rec, mux.Config{}), mux.Server(y, mux.Config{})
		ended, _ := streams(t, a, b)
		left, _ := streams(t, a, b)
		for range 3 {
			ended.Write(bytes.Repeat([]byte("e"), 300))
			synctest.Wait()
			left.Write(bytes.Repeat([]byte("l"), 233))
			synctest.Wait()
		}
		ended.CloseWrite()
		synctest.Wait()
		left.Write([]byte("l"))
		synctest.Wait()
		sent = bytes.Clone(rec.buf.Bytes())
		a.Abort(nil)
		b.Abort(nil)
	})
	return sent
}

// The death of a session is never an end of file, wherever it strikes, also
// where the connection ends in good order, with or without a go-away.
func TestDeathAtEveryByte(t *testing.T) {
	sent := exchange(t)
	if len(sent) < 1600 {
		t.Fatalf("recorded only %d bytes", len(sent))
	}
	whole := bytes.Index(sent, flags(1, fin).encode()) + 12 // stream 1 is complete from here on
	if whole < 12 {
		t.Fatal("no end of stream 1 was recorded")
	}
	for cut := 0; cut <= len(sent); cut++ {
		for _, farewell := range [][]byte{nil, leave(0).encode()} {
			s, peer := rawClient(t, mux.Config{})
			peer.Write(sent[:cut])
			peer.Write(farewell)
			peer.CloseWrite()
			for {
				st, err := s.Accept(t.Context())
				if err != nil {
					break
				}
				got, err := io.ReadAll(st)
				switch {
				case st.ID() == 1 && cut >= whole:
					if len(got) != 900 || err != nil {
						t.Errorf("cut at %d, ended stream: %d bytes, %v", cut, len(got), err)
					}
				case err == nil || errors.Is(err, io.EOF):
					t.Errorf("cut at %d: stream %d ended after %d bytes: %v", cut, st.ID(), len(got), err)
				}
			}
			<-s.Done()
			if cut > 0 && s.Err() == io.EOF {
				t.Errorf("cut at %d: a clean end", cut)
			}
			peer.Close()
			s.Abort(nil)
		}
	}
}
