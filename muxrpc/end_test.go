package muxrpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/muxrpc"
)

// keeper keeps the calls it gets.
type keeper struct{ calls chan *muxrpc.Call }

func keep() keeper                        { return keeper{make(chan *muxrpc.Call, 100)} }
func (k keeper) ServeCall(c *muxrpc.Call) { k.calls <- c }

func TestHalfClose(t *testing.T) {
	bubble(t, "of an idle peer", func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{})
		peer.CloseWrite()
		if got, end := peer.taken(t); end != io.EOF || len(got) > 0 {
			t.Errorf("got %s, %v", cooked(got), end)
		}
		if <-s.Done(); s.Err() != io.EOF {
			t.Errorf("ended with %v", s.Err())
		}
	})
	for _, how := range []string{"half-close", "goodbye"} {
		bubble(t, how+" with answers owed", func(t *testing.T) {
			k := keep()
			limit := muxrpc.NewLimit(10)
			s, peer := against(t, muxrpc.Config{Handler: k, Limit: limit})
			peer.give(t, `02 1 {"name":"a","args":[]}
				0a 2 {"name":"b","args":[],"type":"source"}
				0a 3 {"name":"c","args":[],"type":"sink"}
				0a 3 1
				0a 4 {"name":"d","args":[],"type":"duplex"}`)
			async, source, sink, duplex := <-k.calls, <-k.calls, <-k.calls, <-k.calls
			if err := source.Stream().Send("item"); err != nil {
				t.Error(err)
			}
			bye := ""
			if how == "goodbye" {
				bye = "bye"
				peer.give(t, bye)
			}
			peer.CloseWrite()
			got, _ := peer.taken(t)
			item := raw(t, "0a -2 \"item\"\n")
			if string(got[:len(item)]) != string(item) || len(got) != len(item)+2*13 {
				t.Errorf("got\n%s, want the item and two ENDs in some order", cooked(got))
			}
			<-source.Context().Done()
			<-duplex.Context().Done()
			if err := source.Stream().Send("more"); err == nil {
				t.Error("the source goes on")
			}
			if _, _, err := duplex.Stream().Recv(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("duplex: got %v", err)
			}
			if sink.Context().Err() != nil || async.Context().Err() != nil {
				t.Error("the calls that owe an answer have been cancelled")
			}
			if b, _, err := sink.Stream().Recv(t.Context()); err != nil || string(b) != "1" {
				t.Errorf("sink: got %s, %v", b, err)
			}
			if _, _, err := sink.Stream().Recv(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("sink: got %v", err)
			}
			sink.Stream().CloseSend(nil)
			peer.expect(t, "0e -3 true")
			time.Sleep(time.Hour)
			async.Reply("late")
			peer.expect(t, "02 -1 \"late\"\n"+bye)
			if _, end := peer.taken(t); end != io.EOF {
				t.Errorf("our direction: %v", end)
			}
			if <-s.Done(); s.Err() != io.EOF || limit.InUse() != 0 {
				t.Errorf("ended with %v, %d in flight", s.Err(), limit.InUse())
			}
		})
		bubble(t, how+" with own calls open", func(t *testing.T) {
			s, peer := against(t, muxrpc.Config{})
			errs := make(chan error, 2)
			st, err := s.Open(t.Context(), "duplex", "a", nil)
			if err != nil {
				t.Fatal(err)
			}
			go func() { errs <- s.Call(t.Context(), "b", nil, nil) }()
			go func() { _, _, err := st.Recv(t.Context()); errs <- err }()
			peer.taken(t)
			want := "0e 1 true\n"
			if how == "goodbye" {
				peer.give(t, "bye")
				want += "bye"
			}
			peer.CloseWrite()
			for range 2 {
				if err := <-errs; !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("got %v, want io.ErrUnexpectedEOF", err)
				}
			}
			peer.expect(t, want)
			if <-s.Done(); s.Err() != io.EOF {
				t.Errorf("ended with %v", s.Err())
			}
			if err := st.Send(1); err == nil {
				t.Error("sent on an ended session")
			}
		})
	}
	bubble(t, "of a peer that stays half open", func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{})
		begin := time.Now()
		peer.give(t, "bye") // and no end of the conn
		if <-s.Done(); s.Err() != io.EOF || time.Since(begin) != time.Second {
			t.Errorf("ended with %v after %v", s.Err(), time.Since(begin))
		}
		if peer.peerCut.Load() {
			t.Error("aborted after the goodbye")
		}
	})
	bubble(t, "goodbye, then cut", func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{})
		peer.give(t, "bye")
		peer.expect(t, "bye")
		peer.Abort()
		if <-s.Done(); s.Err() != io.EOF {
			t.Errorf("ended with %v", s.Err())
		}
	})
}

func TestGoodbye(t *testing.T) {
	bubble(t, "idle", func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{})
		errs := make(chan error, 1)
		go func() { errs <- s.Goodbye(t.Context()) }()
		if got, end := peer.taken(t); cooked(got) != "bye\n" || end != nil {
			t.Errorf("got %s, %v", cooked(got), end)
		}
		peer.give(t, "bye")
		if got, end := peer.taken(t); len(got) > 0 || end != io.EOF {
			t.Errorf("got %s, %v", cooked(got), end)
		}
		peer.Close()
		if err := <-errs; err != nil || s.Err() != io.EOF {
			t.Errorf("got %v, %v", err, s.Err())
		}
		if err := s.Goodbye(t.Context()); err != nil {
			t.Errorf("a second one: %v", err)
		}
	})
	bubble(t, "busy", func(t *testing.T) {
		k := keep()
		s, peer := against(t, muxrpc.Config{Handler: k})
		peer.give(t, `02 1 {"name":"a","args":[]}
			0a 2 {"name":"b","args":[],"type":"source"}`)
		async, source := <-k.calls, <-k.calls
		own, err := s.Open(t.Context(), "source", "c", nil)
		if err != nil {
			t.Fatal(err)
		}
		peer.taken(t)
		errs := make(chan error, 1)
		go func() { errs <- s.Goodbye(t.Context()) }()
		if got, _ := peer.taken(t); len(got) != 2*13 {
			t.Errorf("got %s, want two ENDs", cooked(got))
		}
		<-source.Context().Done()
		peer.give(t, `02 3 {"name":"a","args":[]}`+"\n0a -1 \"last\"\n0e -1 true\n0e 2 true")
		peer.expect(t, `06 -3 {"name":"shutting_down","message":"session is ending","stack":""}`)
		if items, err := all(t.Context(), own); fmt.Sprint(items) != `[0a "last"]` || err != io.EOF {
			t.Errorf("got %v, %v", items, err)
		}
		if err := s.Call(t.Context(), "x", nil, nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a new call: %v", err)
		}
		async.Reply(1)
		peer.expect(t, "02 -1 1\nbye")
		peer.give(t, `02 4 {"name":"a","args":[]}`) // too late for an answer
		peer.give(t, "bye")
		peer.expect(t, "")
		peer.CloseWrite()
		if err := <-errs; err != nil {
			t.Error(err)
		}
	})
	bubble(t, "unanswered", func(t *testing.T) {
		k := keep()
		s, peer := against(t, muxrpc.Config{Handler: k})
		peer.give(t, `02 1 {"name":"a","args":[]}`)
		<-k.calls
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		if err := s.Goodbye(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 5*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		if got, end := peer.taken(t); cooked(got) != "bye\n" || end != io.EOF {
			t.Errorf("got %s, %v", cooked(got), end)
		}
		if <-s.Done(); !errors.Is(s.Err(), net.ErrClosed) || peer.peerCut.Load() {
			t.Errorf("ended with %v, aborted %v", s.Err(), peer.peerCut.Load())
		}
	})
	bubble(t, "to a peer that does not read", func(t *testing.T) {
		s, _ := against(t, muxrpc.Config{})
		st, err := s.Open(t.Context(), "sink", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for st.Send(make([]byte, 10000)) == nil {
			}
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := s.Goodbye(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		if <-s.Done(); !errors.Is(s.Err(), os.ErrDeadlineExceeded) || time.Since(begin) != 10*time.Second {
			t.Errorf("ended with %v after %v", s.Err(), time.Since(begin))
		}
	})
	bubble(t, "of both at once", func(t *testing.T) {
		a, b := pair(t)
		errs := make(chan error, 2)
		go func() { errs <- a.Goodbye(t.Context()) }()
		go func() { errs <- b.Goodbye(t.Context()) }()
		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Error(err)
		}
	})
}

func TestCancelCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{})
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		errs := make(chan error, 1)
		go func() { errs <- s.Call(ctx, "a", nil, nil) }()
		synctest.Wait()
		cancel(why)
		if err := <-errs; !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		peer.give(t, "02 -1 {}")
		synctest.Wait()
		if n := s.Stats().Dropped; n != 1 {
			t.Errorf("dropped %d, want the late answer", n)
		}
		if err := s.Call(ctx, "a", nil, nil); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		if _, err := s.Open(ctx, "source", "a", nil); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		peer.expect(t, `02 1 {"name":["a"],"args":[],"type":"async"}`)
	})
}

// A call that ends while it waits for room is not sent, and those behind it are.
func TestCancelWaitingCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{MaxPending: 100})
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 3)
		big := make([]byte, 64<<10) // fills the conn
		go func() { errs <- s.Call(t.Context(), "first", big, nil) }()
		synctest.Wait()
		go func() { errs <- s.Call(ctx, "second", nil, nil) }()
		go func() { _, err := s.Open(ctx, "source", "second", nil); errs <- err }()
		synctest.Wait()
		go func() { errs <- s.Call(t.Context(), "third", nil, nil) }()
		synctest.Wait()
		cancel()
		for range 2 {
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		if p, err := muxrpc.ReadPacket(peer, 1<<20); err != nil || p.Req != 1 {
			t.Errorf("got %d, %v", p.Req, err)
		}
		peer.expect(t, `02 4 {"name":["third"],"args":[],"type":"async"}`)
		peer.give(t, "02 -1 1\n02 -4 1")
		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Error(err)
		}
	})
}

func TestAnswerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep()
		s, peer := against(t, muxrpc.Config{Handler: k})
		peer.give(t, `02 1 {"name":"a","args":[]}
			02 2 {"name":"a","args":[]}
			0a 3 {"name":"a","args":[],"type":"source"}
			02 4 {"name":"a","args":[]}
			02 5 {"name":"a","args":[]}`)
		a, b, c, d, e := <-k.calls, <-k.calls, <-k.calls, <-k.calls, <-k.calls
		if err := a.Reply(1); err != nil || a.Reply(2) == nil || a.Fail(nil) == nil {
			t.Errorf("got %v, or answered twice", err)
		}
		if b.Reply(make(chan int)) == nil || b.Reply(1) == nil {
			t.Error("a channel was sent, or the call answered twice")
		}
		if c.Reply(1) == nil || c.Stream().Send(make(chan int)) == nil || c.Stream().Send([]byte{}) == nil {
			t.Error("sent what cannot be sent")
		}
		if _, ok := <-a.Context().Done(); ok || a.Stream() != nil || c.Type() != "source" {
			t.Error("the call is not over")
		}
		c.Fail(errors.New("secret"))
		c.Fail(nil)
		d.Fail(fmt.Errorf("wrapped: %w", &muxrpc.RemoteError{Name: "busy", Message: "m"}))
		peer.expect(t, `02 -1 1
			06 -2 {"name":"internal","message":"internal error","stack":""}
			0e -3 {"name":"internal","message":"internal error","stack":""}
			06 -4 {"name":"busy","message":"m","stack":""}`)
		s.Close()
		if err := e.Reply(1); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a reply on a closed session: %v", err)
		}
		if _, ok := <-e.Context().Done(); ok {
			t.Error("the call is not over")
		}
	})
}

// TestOpenWaitsAtGoodbye: a stream that was never opened, because its context ended while
// it waited for room, counts once among what a goodbye waits for: the answers are given.
func TestOpenWaitsAtGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep()
		s, peer := against(t, muxrpc.Config{Handler: k, MaxPending: 100})
		peer.give(t, `02 1 {"name":"a","args":[]}`)
		owed := <-k.calls
		go s.Call(t.Context(), "first", make([]byte, 64<<10), nil) // fills the conn
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Open(ctx, "source", "second", nil); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if err := s.Goodbye(t.Context()); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		if p, err := muxrpc.ReadPacket(peer, 1<<20); err != nil || p.Req != 1 {
			t.Errorf("got %d, %v", p.Req, err)
		}
		synctest.Wait()
		if err := owed.Reply("answer"); err != nil {
			t.Errorf("answering: %v", err)
		}
		got, _ := peer.taken(t)
		if want := raw(t, "02 -1 \"answer\"\nbye"); !bytes.HasSuffix(got, want) {
			t.Errorf("got\n%swant at its end\n%s", cooked(got), cooked(want))
		}
		peer.give(t, "bye")
		peer.CloseWrite()
		wg.Wait()
	})
}
