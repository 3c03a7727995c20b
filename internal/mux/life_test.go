package mux_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// bubble runs f in a bubble with two sessions, whose connections can be
// stalled.
func bubble(t *testing.T, cfg mux.Config, f func(t *testing.T, a, b *mux.Session, ca, cb *testnet.StallConn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x, y := testnet.Pipe()
		ca, cb := testnet.Stallable(x), testnet.Stallable(y)
		a, b := mux.Client(ca, cfg), mux.Server(cb, cfg)
		f(t, a, b, ca, cb)
		a.Abort(nil)
		b.Abort(nil)
	})
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := rawClient(t, mux.Config{})
		start := time.Now()
		for i := range uint32(10) {
			peer.want(pinged(syn, i+1))
			if d := time.Since(start); d != time.Duration(i+1)*15*time.Second {
				t.Fatalf("ping %d after %v", i+1, d)
			}
			peer.send(pinged(ack, i+1))
		}
		// Whoever is heard needs no ping.
		for range 10 {
			time.Sleep(10 * time.Second)
			peer.send(pinged(ack, 0))
		}
		quiet := time.Now()
		peer.want(pinged(syn, 11))
		if d := time.Since(quiet); d != 15*time.Second {
			t.Errorf("ping after %v of silence", d)
		}
		<-s.Done()
		if d := time.Since(quiet); d != 45*time.Second || s.Err() != mux.ErrDead {
			t.Errorf("ended after %v of silence: %v", d, s.Err())
		}
	})
}

func TestIdleSessionsLive(t *testing.T) {
	bubble(t, mux.Config{}, func(t *testing.T, a, b *mux.Session, _, _ *testnet.StallConn) {
		x, y := streams(t, a, b)
		time.Sleep(24 * time.Hour)
		if _, err := x.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := y.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
}

func TestDeadPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := rawClient(t, mux.Config{})
		time.Sleep(time.Second)
		peer.send(open(1), text(1, "x"))
		st, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if got, err := io.ReadAll(st); string(got) != "x" || err != mux.ErrDead {
			t.Errorf("got %q, %v, want ErrDead", got, err)
		}
		if d := time.Since(start); d != 45*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// A peer that takes no bytes ends its session, not sooner and not later.
func TestStalledPeer(t *testing.T) {
	bubble(t, mux.Config{}, func(t *testing.T, a, b *mux.Session, ca, _ *testnet.StallConn) {
		x, _ := streams(t, a, b)
		ca.Stall()
		start := time.Now()
		x.Write([]byte("x"))
		<-a.Done()
		if d := time.Since(start); d != 10*time.Second || a.Err() != mux.ErrStalled {
			t.Errorf("after %v: %v", d, a.Err())
		}
		if _, err := x.Read(make([]byte, 1)); err != mux.ErrStalled {
			t.Errorf("Read: got %v", err)
		}
		<-b.Done()
		if !errors.Is(b.Err(), io.ErrUnexpectedEOF) {
			t.Errorf("the other side: got %v", b.Err())
		}
	})
}

func TestStreamDeadlines(t *testing.T) {
	bubble(t, mux.Config{}, func(t *testing.T, a, b *mux.Session, _, _ *testnet.StallConn) {
		x, y := streams(t, a, b)
		start := time.Now()
		x.SetReadDeadline(start.Add(time.Minute))
		time.AfterFunc(time.Second, func() { x.SetReadDeadline(start.Add(time.Hour)) })
		if _, err := x.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: got %v", err)
		}
		if d := time.Since(start); d != time.Hour {
			t.Errorf("timed out after %v, want 1h", d)
		}
		y.Write([]byte("x"))
		synctest.Wait()
		if n, err := x.Read(make([]byte, 1)); n != 0 || !isTimeout(err) {
			t.Errorf("after the deadline: got %d, %v", n, err)
		}
		x.SetDeadline(time.Time{})
		if n, err := x.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("without: got %d, %v", n, err)
		}
	})
}

// Window that is granted while the peer takes nothing is not lost.
func TestGrantsAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := testnet.PipeSize(1 << 20)
		conn := testnet.Stallable(far)
		s, peer := mux.Server(conn, mux.Config{}), &raw{t, near}
		peer.send(open(1), text(1, strings.Repeat("x", initial)))
		st, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		peer.want(flags(1, ack))
		synctest.Wait()
		conn.Stall()
		if err := s.GoAway(); err != nil { // this write waits
			t.Fatal(err)
		}
		synctest.Wait()
		for range 2 {
			io.ReadFull(st, make([]byte, initial/2))
		}
		conn.Unstall()
		peer.want(leave(0), update(1, initial))
		peer.Close()
		s.Abort(nil)
	})
}

// Open waits when 64 opens have no answer, and so never fills a backlog.
func TestOpenWaits(t *testing.T) {
	bubble(t, mux.Config{}, func(t *testing.T, a, b *mux.Session, _, _ *testnet.StallConn) {
		var opened []*mux.Stream
		for range 64 {
			st, err := a.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			opened = append(opened, st)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Open(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the 65th: got %v", err)
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := a.Open(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		opened[5].Abort()
		synctest.Wait()
		for range 9 {
			if _, err := b.Accept(t.Context()); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		if _, err := opened[20].Write([]byte("x")); err != nil {
			t.Errorf("an early one was reset: %v", err)
		}
	})
}

func TestAcceptEnds(t *testing.T) {
	bubble(t, mux.Config{}, func(t *testing.T, a, b *mux.Session, _, _ *testnet.StallConn) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Accept(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.AfterFunc(time.Second, func() { a.Close() })
		if _, err := b.Accept(t.Context()); err != io.EOF {
			t.Errorf("after a clean end: got %v, want io.EOF", err)
		}
		if _, err := a.Accept(t.Context()); !errors.Is(err, mux.ErrSessionClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: got %v", err)
		}
	})
}

// Close sends what is queued, in time with the peer; and it is no end of file.
func TestSessionCloseFlushes(t *testing.T) {
	bubble(t, mux.Config{}, func(t *testing.T, a, b *mux.Session, _, _ *testnet.StallConn) {
		x, y := streams(t, a, b)
		u, v := streams(t, a, b)
		want := bytes.Repeat([]byte("flush"), 50_000)
		var wg sync.WaitGroup
		wg.Go(func() {
			x.Write(want)
			u.Write([]byte("half"))
			x.CloseWrite()
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if _, err := u.Write([]byte("x")); !errors.Is(err, mux.ErrSessionClosed) {
				t.Errorf("Write: got %v", err)
			}
		})
		if got, err := io.ReadAll(y); !bytes.Equal(got, want) || err != nil {
			t.Errorf("ended stream: %d bytes, %v", len(got), err)
		}
		if got, err := io.ReadAll(v); string(got) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("open stream: %q, %v", got, err)
		}
		wg.Wait()
	})
}

// Close does not wait for a peer that takes nothing for more than a second.
func TestSessionCloseStalled(t *testing.T) {
	bubble(t, mux.Config{}, func(t *testing.T, a, b *mux.Session, ca, cb *testnet.StallConn) {
		x, _ := streams(t, a, b)
		ca.Stall()
		x.Write(make([]byte, 1000))
		synctest.Wait()
		start := time.Now()
		a.Close()
		if d := time.Since(start); d != time.Second {
			t.Errorf("Close took %v", d)
		}
		cb.Stall()
		start = time.Now()
		b.Close()
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v", d)
		}
	})
}

func TestSessionAbort(t *testing.T) {
	cause := errors.New("enough")
	bubble(t, mux.Config{}, func(t *testing.T, a, b *mux.Session, ca, _ *testnet.StallConn) {
		x, y := streams(t, a, b)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := x.Read(make([]byte, 1)); err != cause {
				t.Errorf("Read: got %v", err)
			}
		})
		wg.Go(func() {
			if _, err := x.Write(make([]byte, 1<<20)); err != cause {
				t.Errorf("Write: got %v", err)
			}
		})
		wg.Go(func() {
			if _, err := a.Accept(t.Context()); err != cause {
				t.Errorf("Accept: got %v", err)
			}
		})
		synctest.Wait()
		ca.Stall()
		a.Abort(cause)
		wg.Wait()
		if _, err := io.ReadAll(y); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the other side: got %v", err)
		}
		if a.Abort(io.EOF); a.Err() != cause {
			t.Errorf("the first error stays: got %v", a.Err())
		}
	})
}

func TestAbortUnblocks(t *testing.T) {
	bubble(t, mux.Config{}, func(t *testing.T, a, b *mux.Session, _, _ *testnet.StallConn) {
		x, y := streams(t, a, b)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := x.Read(make([]byte, 1)); err != net.ErrClosed {
					t.Errorf("Read: got %v", err)
				}
			})
			wg.Go(func() {
				if _, err := x.Write(make([]byte, 1<<20)); err != net.ErrClosed {
					t.Errorf("Write: got %v", err)
				}
			})
		}
		synctest.Wait()
		x.Abort()
		x.Abort()
		wg.Wait()
		synctest.Wait()
		if _, err := y.Read(make([]byte, 1)); !errors.Is(err, mux.ErrReset) {
			t.Errorf("the other side: got %v, want ErrReset", err)
		}
		if a.NumStreams() != 0 || b.NumStreams() != 0 {
			t.Errorf("%d and %d streams are left", a.NumStreams(), b.NumStreams())
		}
	})
}

// A session has one goroutine, however many streams and pings it carries.
func TestGoroutines(t *testing.T) {
	bubble(t, mux.Config{}, func(t *testing.T, a, b *mux.Session, _, _ *testnet.StallConn) {
		for range 100 {
			x, y := streams(t, a, b)
			x.SetDeadline(time.Now().Add(time.Hour))
			y.Write([]byte("x"))
		}
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		if n := goroutines(); n != 2 {
			t.Errorf("two sessions of 100 streams: %d goroutines, want 2", n)
		}
		a.Close()
		<-b.Done()
		b.Close()
		if n := goroutines(); n != 0 {
			t.Errorf("after the end of both: %d goroutines", n)
		}
	})
}

// goroutines counts those that run a method of a session.
func goroutines() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	n := 0
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(g, "mux.(*Session).") {
			n++
		}
	}
	return n
}

// A connection without CloseWrite ends as well.
func TestPipeWithoutHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := net.Pipe()
		a, b := mux.Client(x, mux.Config{}), mux.Server(y, mux.Config{})
		u, v := streams(t, a, b)
		u.Write([]byte("x"))
		u.Close()
		if got, err := io.ReadAll(v); string(got) != "x" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		v.Close()
		synctest.Wait()
		start := time.Now()
		a.Close()
		<-b.Done()
		if b.Err() != io.EOF || time.Since(start) != 0 {
			t.Errorf("got %v after %v", b.Err(), time.Since(start))
		}
		b.Close()
	})
}

// Who slept does not hold the silence meanwhile against its peer, but a silence
// as long behind it.
func TestAsleep(t *testing.T) {
	for late, want := range map[time.Duration]time.Duration{
		0:                45 * time.Second,
		time.Second:      46 * time.Second,
		10 * time.Minute: 10*time.Minute + 90*time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			x, y := testnet.Pipe()
			// The timer of a process that was stopped is late.
			doze := func(d time.Duration, f func()) mux.Timer { return time.AfterFunc(d+late, f) }
			s := mux.Client(x, mux.Config{KeepAlive: -1, AfterFunc: doze})
			began := time.Now()
			<-s.Done()
			if took := time.Since(began); took != want || s.Err() != mux.ErrDead {
				t.Errorf("asleep for %v: ended after %v: %v, want %v", late, took, s.Err(), want)
			}
			s.Abort(nil)
			y.Close()
		})
	}
}
