package muxrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/muxrpc"
)

// bubble runs f in a synctest bubble of its own.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// against returns a session whose peer is the raw conn.
func against(t *testing.T, cfg muxrpc.Config) (*muxrpc.Session, *conn) {
	a, b := pipe(64 << 10)
	s := muxrpc.NewSession(tryConn{b}, cfg)
	t.Cleanup(func() { s.Close() })
	return s, a
}

// pair returns two sessions that serve the test methods to one another.
func pair(t *testing.T) (a, b *muxrpc.Session) {
	x, y := pipe(64 << 10)
	cfg := muxrpc.Config{Handler: muxrpc.HandlerFunc(serveTest)}
	a, b = muxrpc.NewSession(tryConn{x}, cfg), muxrpc.NewSession(y, cfg)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// expect fails unless the peer has sent exactly the given packets.
func (c *conn) expect(t *testing.T, lines string) {
	t.Helper()
	got, _ := c.taken(t)
	if want := raw(t, lines); !bytes.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", cooked(got), cooked(want))
	}
}

func (c *conn) give(t *testing.T, lines string) {
	t.Helper()
	if _, err := c.Write(raw(t, lines)); err != nil {
		t.Fatal(err)
	}
}

// all receives until the stream's end.
func all(ctx context.Context, st *muxrpc.Stream) (items []string, err error) {
	for {
		body, flags, err := st.Recv(ctx)
		if err != nil {
			return items, err
		}
		items = append(items, fmt.Sprintf("%02x %s", flags, body))
	}
}

// What our calls look like on the wire, with the answers npm muxrpc 8 was seen to give.
func TestCapturedAnswers(t *testing.T) {
	tests := []struct {
		name       string
		typ        string
		do         func(t *testing.T, st *muxrpc.Stream)
		in         string // the peer's packets
		after      string // what we send once they are in
		items      string
		err        string
		isNotAgain bool
	}{
		{name: "source", typ: "source", in: "0a -1 1\n08 -1 b\n09 -1 t\n0e -1 true", after: "0e 1 true", items: "[0a 1 08 b 09 t]", err: "EOF"},
		{name: "source that fails", typ: "source", in: `0e -1 {"message":"no","name":"Oops","stack":"Error"}`, after: "0e 1 true", items: "[]", err: "Oops: no"},
		{name: "error without STREAM", typ: "source", in: `06 -1 {"message":"no","name":"Oops"}`, after: "0e 1 true", items: "[]", err: "Oops: no"},
		{name: "error is a text", typ: "source", in: `0d -1 no`, after: "0e 1 true", items: "[]", err: "Error: no"},
		{name: "END twice", typ: "source", in: "0e -1 true\n0e -1 true", after: "0e 1 true", items: "[]", err: "EOF"},
		{name: "abort", typ: "source", do: func(t *testing.T, st *muxrpc.Stream) { st.CloseSend(nil); st.CloseSend(nil) },
			in: "0a -1 late\n0e -1 true", after: "0e 1 true", items: "[0a late]", err: "EOF"},
		{name: "abort for good", typ: "source", do: func(t *testing.T, st *muxrpc.Stream) { st.Abort(&muxrpc.RemoteError{Name: "x"}) },
			in: "0a -1 late\n0e -1 true", after: `0e 1 {"name":"x","message":"","stack":""}`, items: "[]", err: "use of closed network connection"},
		{name: "sink", typ: "sink", do: func(t *testing.T, st *muxrpc.Stream) {
			if err := errors.Join(st.Send(1), st.Send([]byte("b")), st.CloseSend(nil)); err != nil {
				t.Error(err)
			}
			if st.Send(2) == nil {
				t.Error("sent behind the END")
			}
		}, in: "0e -1 true", after: "0a 1 1\n08 1 b\n0e 1 true", items: "[]", err: "EOF"},
		{name: "sink the callee ends", typ: "sink", in: `0e -1 {"name":"no","message":"","stack":""}`, after: "0e 1 true", items: "[]", err: "no"},
		{name: "duplex", typ: "duplex", do: func(t *testing.T, st *muxrpc.Stream) { st.Send("x"); st.CloseSend(nil) },
			in: "0a -1 \"x\"\n0e -1 true", after: "0a 1 \"x\"\n0e 1 true", items: `[0a "x"]`, err: "EOF"},
		{name: "duplex half closed by the callee", typ: "duplex", in: "0e -1 true", after: "", items: `[]`, err: "EOF"},
		{name: "duplex refused", typ: "duplex", in: `0e -1 {"name":"not_found","message":"no such name","stack":""}`, after: "0e 1 true", items: `[]`, err: "not_found: no such name"},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			s, peer := against(t, muxrpc.Config{})
			st, err := s.Open(t.Context(), tt.typ, "ns.m", map[string]int{"a": 1})
			if err != nil {
				t.Fatal(err)
			}
			peer.expect(t, `0a 1 {"name":["ns","m"],"args":[{"a":1}],"type":"`+tt.typ+`"}`)
			if tt.do != nil {
				tt.do(t, st)
			}
			peer.give(t, tt.in)
			items, err := all(t.Context(), st)
			if fmt.Sprint(items) != tt.items || err == nil || err.Error() != tt.err {
				t.Errorf("got %s, %v, want %s, %s", items, err, tt.items, tt.err)
			}
			peer.expect(t, tt.after)
		})
	}
}

func TestCallAnswers(t *testing.T) {
	tests := []struct {
		in, want, err string
	}{
		{`02 -1 {"x":1}`, `{"x":1}`, ""},
		{`02 -1 "s"`, `"s"`, ""},
		{`01 -1 s"`, `"s\""`, ""},
		{`02 -1 false`, `false`, ""},
		{`0a -1 1`, `1`, ""},
		{`06 -1 {"message":"m","name":"N","stack":"at /home"}`, "", "N: m"},
		{`06 -1 {"message":"m"}`, "", "Error: m"},
		{`06 -1 true`, "", "Error: true"},
		{`06 -1`, "", "Error"},
		{`0e -1 {"name":"N","message":""}`, "", "N"},
		{`00 -1 x`, "", "muxrpc: decoding answer: body type 0 into *interface {}"},
		{`03 -1 x`, "", "muxrpc: decoding answer: body type 3 into *interface {}"},
		{`02 -1 {"x":1,"x":2}`, "", "muxrpc: decoding answer: repeated field name"},
	}
	for _, tt := range tests {
		bubble(t, tt.in, func(t *testing.T) {
			s, peer := against(t, muxrpc.Config{})
			peer.give(t, tt.in) // a peer that answers before it is asked: no answer
			synctest.Wait()
			if n := s.Stats().Dropped; n != 1 {
				t.Errorf("dropped %d, want 1", n)
			}
			var result any
			errs := make(chan error)
			go func() { errs <- s.Call(t.Context(), "a.b", nil, &result) }()
			peer.expect(t, `02 1 {"name":["a","b"],"args":[],"type":"async"}`)
			peer.give(t, tt.in)
			err := <-errs
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			if got, _ := json.Marshal(result); err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestCallResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		ctx := t.Context()
		var raw json.RawMessage
		if err := a.Call(ctx, "echo", json.RawMessage(`{"a":1,"a":2}`), &raw); err == nil {
			t.Error("an argument with a repeated name was served")
		}
		if err := a.Call(ctx, "echo", muxrpc.Args{"x", 2}, &raw); err != nil || string(raw) != `"x"` {
			t.Errorf("got %s, %v", raw, err)
		}
		var bin []byte
		if err := b.Call(ctx, "bytes", nil, &bin); err != nil || string(bin) != "raw" {
			t.Errorf("got %s, %v", bin, err)
		}
		if err := b.Call(ctx, "echo", 1, nil); err != nil {
			t.Error(err)
		}
		if err := a.Call(ctx, "echo", make(chan int), nil); err == nil {
			t.Error("a channel was encoded")
		}
		if _, err := a.Open(ctx, "async", "echo", nil); err == nil {
			t.Error("opened an async call as a stream")
		}
	})
}

// All types, both directions at once.
func TestPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		for _, s := range []*muxrpc.Session{a, b, a} {
			ctx := t.Context()
			var got string
			if err := s.Call(ctx, "echo", "hi", &got); err != nil || got != "hi" {
				t.Errorf("async: got %q, %v", got, err)
			}
			src, err := s.Open(ctx, "source", "src", nil)
			if err != nil {
				t.Fatal(err)
			}
			if items, err := all(ctx, src); err != io.EOF || fmt.Sprint(items) != `[0a "a" 08 b]` {
				t.Errorf("source: got %s, %v", items, err)
			}
			sink, err := s.Open(ctx, "sink", "sum", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(sink.Send(1), sink.Send(2), sink.CloseSend(nil)); err != nil {
				t.Error(err)
			}
			if items, err := all(ctx, sink); err != io.EOF || len(items) > 0 {
				t.Errorf("sink: got %s, %v", items, err)
			}
			dup, err := s.Open(ctx, "duplex", "echo", nil)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for i := range 20 {
					dup.Send(i)
				}
				dup.CloseSend(nil)
			}()
			if items, err := all(ctx, dup); err != io.EOF || len(items) != 20 {
				t.Errorf("duplex: got %s, %v", items, err)
			}
			if err := s.Call(ctx, "nix", nil, nil); err == nil || err.Error() != "Error: no such method" {
				t.Errorf("unknown method: %v", err)
			}
		}
		if err := a.Goodbye(t.Context()); err != nil {
			t.Error(err)
		}
		<-b.Done()
		if a.Err() != io.EOF || b.Err() != io.EOF {
			t.Errorf("ended with %v and %v", a.Err(), b.Err())
		}
	})
}

// Two peers that send back whatever they do not expect: two sessions, and a session against its own packets.
func TestMirror(t *testing.T) {
	bubble(t, "sessions", func(t *testing.T) {
		x, y := pipe(64 << 10)
		stray := muxrpc.Packet{Flags: 0x0e, Req: 7, Body: []byte("true")}
		a := muxrpc.NewSession(x, muxrpc.Config{First: &stray})
		b := muxrpc.NewSession(y, muxrpc.Config{First: &stray})
		defer a.Close()
		defer b.Close()
		st, err := a.Open(t.Context(), "source", "nix", nil)
		if err != nil {
			t.Fatal(err)
		}
		all(t.Context(), st)
		synctest.Wait() // returns: nobody writes any more
		if n := a.Stats().Dropped + b.Stats().Dropped; n != 3 {
			t.Errorf("dropped %d, want the two strays and the last END", n)
		}
	})
	bubble(t, "mirror", func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{Handler: muxrpc.HandlerFunc(serveTest)})
		go func() { io.Copy(peer, peer) }()
		s.Call(t.Context(), "echo", 1, nil)
		for _, typ := range []string{"source", "sink", "duplex"} {
			st, err := s.Open(t.Context(), typ, "nix", nil)
			if err != nil {
				t.Fatal(err)
			}
			all(t.Context(), st)
		}
		synctest.Wait()
	})
}

func TestOwnClose(t *testing.T) {
	bubble(t, "waits for goroutines", func(t *testing.T) {
		running := make(chan bool, 1)
		s, peer := against(t, muxrpc.Config{Handler: muxrpc.HandlerFunc(func(c *muxrpc.Call) {
			c.Reply(1) // the function outlives its call
			c.Go(func() {
				<-c.Context().Done()
				time.Sleep(time.Second)
				running <- false
			})
		})})
		peer.give(t, `02 1 {"name":"a","args":[]}`)
		peer.expect(t, "02 -1 1")
		s.Close()
		select {
		case <-running:
		default:
			t.Error("Close returned before the goroutine")
		}
		if !errors.Is(s.Err(), net.ErrClosed) || !peer.peerCut.Load() {
			t.Errorf("got %v, aborted %v", s.Err(), peer.peerCut.Load())
		}
		s.Close()
		if err := s.Call(t.Context(), "a", nil, nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("call on a closed session: %v", err)
		}
		if _, err := s.Open(t.Context(), "source", "a", nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("open on a closed session: %v", err)
		}
		if err := s.Goodbye(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("goodbye on a closed session: %v", err)
		}
	})
	bubble(t, "wakes everybody", func(t *testing.T) {
		s, _ := against(t, muxrpc.Config{})
		errs := make(chan error, 4)
		st, err := s.Open(t.Context(), "duplex", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() { errs <- s.Call(t.Context(), "a", nil, nil) }()
		go func() { _, _, err := st.Recv(t.Context()); errs <- err }()
		go func() { _, _, err := st.Recv(t.Context()); errs <- err }()
		go func() {
			for {
				if err := st.Send("x"); err != nil {
					errs <- err
					return
				}
			}
		}()
		synctest.Wait()
		s.Close()
		for range 4 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v, want net.ErrClosed", err)
			}
		}
	})
}

func TestCut(t *testing.T) {
	for _, in := range []string{"", "0a -1 1\n02"} {
		bubble(t, in, func(t *testing.T) {
			ended := make(chan error, 1)
			s, peer := against(t, muxrpc.Config{Handler: muxrpc.HandlerFunc(func(c *muxrpc.Call) {
				c.Go(func() { <-c.Context().Done(); ended <- context.Cause(c.Context()) })
			})})
			st, err := s.Open(t.Context(), "source", "a", nil)
			if err != nil {
				t.Fatal(err)
			}
			peer.give(t, `02 1 {"name":"a","args":[]}`)
			if in != "" {
				peer.Write([]byte{2, 0, 0}) // an end inside a packet is a cut too
				peer.CloseWrite()
			} else {
				peer.taken(t)
				peer.Abort()
			}
			<-s.Done()
			if !errors.Is(s.Err(), io.ErrUnexpectedEOF) || !errors.Is(<-ended, io.ErrUnexpectedEOF) {
				t.Errorf("got %v", s.Err())
			}
			if _, _, err := st.Recv(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("stream: got %v", err)
			}
		})
	}
}
