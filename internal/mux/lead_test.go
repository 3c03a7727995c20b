package mux_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// leading is a session whose streams may lead, and its peer, who answers what
// each stream asks.
type leading struct {
	t    *testing.T
	s    *mux.Session
	peer *mux.Session
	conn *testnet.Conn // below the peer
	wg   sync.WaitGroup
}

func newLeading(t *testing.T, cfg mux.Config) *leading {
	a, b := testnet.Pipe()
	cfg.Lead = true
	l := &leading{t: t, s: mux.Client(a, cfg), peer: mux.Server(b, mux.Config{KeepAlive: -1, DeadAfter: -1}), conn: b}
	l.wg.Go(func() {
		for {
			st, err := l.peer.Accept(t.Context())
			if err != nil {
				return
			}
			l.wg.Go(func() {
				io.Copy(st, st)
				st.CloseWrite()
			})
		}
	})
	return l
}

func (l *leading) end() {
	l.s.Abort(nil)
	l.peer.Abort(nil)
	l.wg.Wait()
}

func (l *leading) open() *mux.Stream {
	l.t.Helper()
	st, err := l.s.Open(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return st
}

func (l *leading) call(st *mux.Stream) {
	l.t.Helper()
	b := []byte("ask")
	if _, err := st.Write(b); err != nil {
		l.t.Fatal(err)
	}
	if _, err := io.ReadFull(st, b); err != nil {
		l.t.Fatal(err)
	}
}

// lead makes st's Read the leader. It returns when that waits, and where its
// error will come.
func (l *leading) lead(st *mux.Stream) <-chan error {
	l.t.Helper()
	for range 50 { // one that is answered before it waits begins anew
		l.call(st)
	}
	got := make(chan error, 1)
	l.wg.Go(func() {
		_, err := st.Read(make([]byte, 10))
		got <- err
	})
	synctest.Wait()
	if mux.Leader(l.s) != st {
		l.t.Fatal("the stream that asks and is answered in turn does not lead")
	}
	return got
}

func TestLeaderEnds(t *testing.T) {
	cut := errors.New("cut")
	for _, c := range []struct {
		name string
		do   func(*leading, *mux.Stream)
		want error
		dead bool // the session
	}{
		{"answer", func(_ *leading, st *mux.Stream) { st.Write([]byte("x")) }, nil, false},
		{"deadline", func(_ *leading, st *mux.Stream) { st.SetReadDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded, false},
		{"past deadline", func(_ *leading, st *mux.Stream) { st.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded, false},
		{"FIN", func(_ *leading, st *mux.Stream) { st.CloseWrite() }, io.EOF, false},
		{"Close", func(_ *leading, st *mux.Stream) { st.Close() }, net.ErrClosed, false},
		{"Abort", func(_ *leading, st *mux.Stream) { st.Abort() }, net.ErrClosed, false},
		{"session's Close", func(l *leading, _ *mux.Stream) { l.s.Close() }, mux.ErrSessionClosed, true},
		{"session's Abort", func(l *leading, _ *mux.Stream) { l.s.Abort(cut) }, cut, true},
		{"peer's Close", func(l *leading, _ *mux.Stream) { l.peer.Close() }, io.ErrUnexpectedEOF, true},
		{"connection", func(l *leading, _ *mux.Stream) { l.conn.Close() }, io.ErrUnexpectedEOF, true},
		{"nonsense", func(l *leading, _ *mux.Stream) { l.conn.Write(make([]byte, 24)[:23]); l.conn.Write([]byte{9}) }, mux.ErrProtocol, true},
		{"silence", func(l *leading, _ *mux.Stream) { time.Sleep(time.Minute) }, mux.ErrDead, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLeading(t, mux.Config{KeepAlive: -1})
				defer l.end()
				st, other := l.open(), l.open()
				l.call(other)
				got := l.lead(st)
				c.do(l, st)
				if err := <-got; !errors.Is(err, c.want) {
					t.Errorf("Read: got %v, want %v", err, c.want)
				}
				synctest.Wait()
				if c.dead {
					if l.s.Err() == nil {
						t.Error("the session lives")
					}
					return
				}
				l.call(other) // somebody reads
				if err := l.s.Err(); err != nil {
					t.Errorf("the session ended: %v", err)
				}
			})
		})
	}
}

// A deadline that interrupts a leader takes nothing: what comes later is read.
func TestLeaderDeadlineLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeading(t, mux.Config{})
		defer l.end()
		st := l.open()
		for range 3 {
			got := l.lead(st)
			st.SetReadDeadline(time.Now().Add(time.Second))
			if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("got %v, want the deadline", err)
			}
			st.SetReadDeadline(time.Time{})
		}
		time.Sleep(5 * time.Minute) // pings are answered
		l.call(st)
	})
}

// A leader that is moved to a later deadline still leads, or is replaced.
func TestLeaderDeadlineMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeading(t, mux.Config{})
		defer l.end()
		st := l.open()
		got := l.lead(st)
		begun := time.Now()
		st.SetReadDeadline(begun.Add(time.Second))
		st.SetReadDeadline(begun.Add(3 * time.Second))
		if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != 3*time.Second {
			t.Errorf("got %v after %v, want the deadline after 3s", err, time.Since(begun))
		}
	})
}

// pushed opens a stream from the peer: who speaks, and who hears it here.
func (l *leading) pushed() (from, to *mux.Stream) {
	l.t.Helper()
	from, err := l.peer.Open(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	to, err = l.s.Accept(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return from, to
}

// What the peer says unasked while nobody reads is seen within two ticks of what
// the streak has lasted, and seldom so late: who computes between two Reads has
// to be quick ever longer before it leads again, but for one who was quick long.
func TestFreeForATick(t *testing.T) {
	for _, c := range []struct {
		name    string
		calls   int           // before each push
		pause   time.Duration // before each of them, in which nothing is at hand
		most    time.Duration
		rounds  int
		atLeast int // of them are late
		atMost  int
	}{
		{"short streaks", 20, 0, 2 * mux.MinTick, 100, 1, 10},
		{"paid for", 100, 0, 2 * mux.MinTick, 50, 45, 50},
		{"long streak", 1000, 100 * time.Microsecond, 2 * mux.MaxTick, 10, 9, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLeading(t, mux.Config{})
				defer l.end()
				from, to := l.pushed()
				st := l.open()
				late := 0
				for range c.rounds {
					var seen time.Time
					var reading sync.WaitGroup
					reading.Go(func() { // waits before the right is free, as a control lane does
						to.Read(make([]byte, 10))
						seen = time.Now()
					})
					synctest.Wait()
					for range c.calls {
						time.Sleep(c.pause)
						l.call(st)
					}
					begun := time.Now()
					from.Write([]byte("x"))
					reading.Wait()
					if d := seen.Sub(begun); d > c.most {
						t.Fatalf("seen after %v", d)
					} else if d > 0 {
						late++
					}
				}
				if late < c.atLeast || late > c.atMost {
					t.Errorf("%d of %d were late, want %d to %d", late, c.rounds, c.atLeast, c.atMost)
				}
			})
		})
	}
}

// Who uses another stream has the connection read at once.
func TestFreeIsReclaimed(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*leading, *mux.Stream)
	}{
		{"Write", func(l *leading, other *mux.Stream) {
			// The first window and some of the next. Nobody reads what comes back:
			// when that fills its window, the peer has granted half a window at least.
			if _, err := other.Write(make([]byte, 300<<10)); err != nil {
				l.t.Error(err)
			}
		}},
		{"call", func(l *leading, other *mux.Stream) { l.call(other) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLeading(t, mux.Config{})
				defer l.end()
				st, other := l.open(), l.open()
				l.call(other)
				for range 20 {
					l.call(st)
				}
				begun := time.Now()
				c.do(l, other)
				if d := time.Since(begun); d > 0 {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}

// The end of the stream that was answered last leaves nobody to wait for: what
// comes next, for another one, is seen at once.
func TestNotFreeAfterItsEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*mux.Stream)
	}{
		{"Close", func(st *mux.Stream) { st.Close() }},
		{"Abort", func(st *mux.Stream) { st.Abort() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLeading(t, mux.Config{})
				defer l.end()
				other := l.open()
				l.call(other)
				var seen time.Time
				var reading sync.WaitGroup
				reading.Go(func() {
					other.Read(make([]byte, 10))
					seen = time.Now()
				})
				synctest.Wait()
				st := l.open()
				for range 50 {
					l.call(st)
				}
				c.do(st)
				synctest.Wait()
				begun := time.Now()
				other.Write([]byte("x"))
				reading.Wait()
				if d := seen.Sub(begun); d != 0 {
					t.Errorf("seen after %v", d)
				}
			})
		})
	}
}
