package muxrpc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/muxrpc"
)

// A session with Manual is served on the caller's goroutine, and ends as any other does.
func TestServe(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(s *muxrpc.Session, peer *conn)
		want error
	}{
		{"by the peer", func(_ *muxrpc.Session, peer *conn) { peer.CloseWrite() }, io.EOF},
		{"by Close", func(s *muxrpc.Session, _ *conn) { s.Close() }, net.ErrClosed},
		{"by a cut", func(_ *muxrpc.Session, peer *conn) { peer.Abort() }, io.ErrUnexpectedEOF},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			a, b := pipe(64 << 10)
			s := muxrpc.NewSession(tryConn{b}, muxrpc.Config{Manual: true, Handler: muxrpc.HandlerFunc(serveTest)})
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := s.Serve(); !errors.Is(err, tt.want) {
					t.Errorf("Serve: %v, want %v", err, tt.want)
				}
			})
			a.give(t, `02 1 {"name":"echo","args":[7]}`)
			a.expect(t, "02 -1 7")
			if s.Serve() == nil {
				t.Error("served twice")
			}
			tt.end(s, a)
			wg.Wait()
			s.Close()
		})
	}
	bubble(t, "closed before", func(t *testing.T) {
		_, b := pipe(64 << 10)
		s := muxrpc.NewSession(b, muxrpc.Config{Manual: true})
		s.Close()
		if s.Serve() == nil {
			t.Error("a closed session was served")
		}
	})
}

// An idle session has the reader's goroutine and no other, whatever it has sent.
func TestIdleGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 10 {
			a, b := pipe(100)
			var c muxrpc.Conn = b
			if i%2 == 0 {
				c = tryConn{b}
			}
			s := muxrpc.NewSession(c, muxrpc.Config{Manual: true, Handler: muxrpc.HandlerFunc(serveTest)})
			defer s.Close()
			wg.Go(func() { s.Serve() })
			long := `"` + strings.Repeat("x", 500) + `"`
			wg.Go(func() { a.Write(raw(t, `02 1 {"name":"echo","args":[`+long+`]}`)) })
			synctest.Wait()
			a.expect(t, "02 -1 "+long)
		}
		synctest.Wait()
		buf := make([]byte, 1<<20)
		all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
		n := 0
		for _, stack := range all {
			if strings.Contains(stack, "muxrpc.(*Session)") {
				n++
			}
		}
		if n != 10 {
			t.Errorf("%d goroutines of sessions, want 10", n)
		}
	})
}

// An answer that had to wait leaves no deadline behind, which would end the session
// with the next answer.
func TestNoDeadlineLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(100)
		s := muxrpc.NewSession(tryConn{b}, muxrpc.Config{Handler: muxrpc.HandlerFunc(serveTest)})
		defer s.Close()
		long := `"` + strings.Repeat("x", 500) + `"`
		var wg sync.WaitGroup
		wg.Go(func() { a.Write(raw(t, `02 1 {"name":"echo","args":[`+long+`]}`)) })
		synctest.Wait()
		a.expect(t, "02 -1 "+long)
		time.Sleep(time.Minute)
		wg.Go(func() { a.Write(raw(t, `02 2 {"name":"echo","args":[7]}`)) })
		a.expect(t, "02 -2 7")
		wg.Wait()
	})
}

// What is sent as ready-made JSON goes as it is, in order with the rest.
func TestReadyMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep()
		_, peer := against(t, muxrpc.Config{Handler: k})
		peer.give(t, `02 1 {"name":"a","args":[]}
			0a 2 {"name":"b","args":[],"type":"source"}`)
		call, source := <-k.calls, <-k.calls
		if call.ReplyJSON([]byte(`{"n":`), []byte(`[1,2]`), nil, []byte(`}`)) != nil || call.ReplyJSON([]byte("1")) == nil {
			t.Error("ReplyJSON: want one success, and no second answer")
		}
		st := source.Stream()
		sent, err := st.TrySendJSON([]byte("2"))
		if err := errors.Join(st.SendJSON([]byte("1")), err); err != nil || !sent {
			t.Errorf("sent %v, %v", sent, err)
		}
		if source.ReplyJSON([]byte("1")) == nil || st.SendJSON(nil) == nil {
			t.Error("an answer to a source, or an empty item, was sent")
		}
		peer.expect(t, `02 -1 {"n":[1,2]}
			0a -2 2
			0a -2 1`)
		st.CloseSend(nil)
		if _, err := st.TrySendJSON([]byte("3")); err == nil {
			t.Error("sent behind the END")
		}
		peer.expect(t, "0e -2 true")
	})
}

// Who does not wait is told when there is no room, and nothing is lost or twice.
func TestTrySendFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep()
		a, b := pipe(1000)
		s := muxrpc.NewSession(tryConn{b}, muxrpc.Config{Handler: k, MaxPending: 5000})
		defer s.Close()
		a.give(t, `0a 1 {"name":"b","args":[],"type":"source"}`)
		st := (<-k.calls).Stream()
		item, n := json.RawMessage(`"`+strings.Repeat("x", 90)+`"`), 0
		for {
			sent, err := st.TrySendJSON(item)
			if err != nil {
				t.Fatal(err)
			}
			if !sent {
				break
			}
			n++
		}
		if n < 50 || n > 61 {
			t.Errorf("%d items found room", n)
		}
		got, _ := a.taken(t)
		if want := raw(t, strings.Repeat("0a -1 "+string(item)+"\n", n)); !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
		if sent, err := st.TrySendJSON(item); !sent || err != nil {
			t.Errorf("with room again: %v, %v", sent, err)
		}
	})
}
