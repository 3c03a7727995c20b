package mux_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
		dieAt(t, sent[:cut], nil, cut >= whole)
	}
	for cut := 0; cut < len(sent); { // a go-away fits between two frames only
		dieAt(t, sent[:cut], leave(0).encode(), cut >= whole)
		cut += 12
		if h := sent[cut-12 : cut]; h[1] == data {
			cut += int(binary.BigEndian.Uint32(h[8:]))
		}
	}
}

// dieAt plays what a client has sent, then a farewell, then the end of the
// connection.
func dieAt(t *testing.T, sent, farewell []byte, complete bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, peer := rawClient(t, mux.Config{})
		peer.Write(sent)
		peer.Write(farewell)
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				st, err := s.Accept(t.Context())
				if err != nil {
					return
				}
				wg.Go(func() {
					got, err := io.ReadAll(st)
					if st.ID() == 1 && complete {
						if len(got) != 900 || err != nil {
							t.Errorf("cut at %d, ended stream: %d bytes, %v", len(sent), len(got), err)
						}
					} else if err == nil || errors.Is(err, io.EOF) {
						t.Errorf("cut at %d: stream %d ended after %d bytes: %v", len(sent), st.ID(), len(got), err)
					}
				})
			}
		})
		synctest.Wait()
		peer.CloseWrite()
		wg.Wait()
		if clean := len(sent) == 0 && farewell != nil; clean != (s.Err() == io.EOF) {
			t.Errorf("cut at %d: got %v", len(sent), s.Err())
		}
	})
}

func TestDeathInsideHeader(t *testing.T) {
	s, peer := rawClient(t, mux.Config{})
	peer.send(leave(0))
	peer.Write([]byte{0, 2, 0})
	peer.CloseWrite()
	<-s.Done()
	if !errors.Is(s.Err(), io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want io.ErrUnexpectedEOF", s.Err())
	}
}

// The end of the peer's side does not stop what Close is about to send.
func TestCloseAfterPeersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := testnet.PipeSize(1000)
		s, peer := mux.Server(far, mux.Config{}), &raw{t, near}
		peer.send(open(1))
		st, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			st.Write(make([]byte, 50_000))
			st.CloseWrite()
			s.Close()
		})
		synctest.Wait() // the pipe is full
		peer.CloseWrite()
		synctest.Wait()
		peer.want(flags(1, ack))
		for got := 0; got < 50_000; {
			f, err := peer.next()
			if err != nil || f.typ != data {
				t.Fatalf("after %d bytes: %v, %v", got, f, err)
			}
			got += len(f.body)
		}
		peer.want(flags(1, fin), leave(0))
		wg.Wait()
		peer.Close()
	})
}

// TestRefusedIsNotStalled: a session that has ended for another reason is not counted
// among those that the peer has stalled, though it does not take the last words either.
func TestRefusedIsNotStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := testnet.PipeSize(8) // less than a go-away
		excess := new(mux.Excess)
		s := mux.Server(far, mux.Config{Excess: excess})
		near.Write([]byte{9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		<-s.Done()
		time.Sleep(time.Minute)
		s.Abort(nil)
		if n := excess.Stalled.Load(); n != 0 || !errors.Is(s.Err(), mux.ErrProtocol) {
			t.Errorf("%d sessions have stalled, this one with %v", n, s.Err())
		}
	})
}
