package channel_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/shs"
)

// relay is a relayed channel with nothing around its two lanes.
type relay struct {
	caller, callee channel.Lane
	reset          func() // the server resets both lanes
	die            func() // the server is gone
	leave          func() // the caller's session is closed under it
}

// pipeRelay is a lane between the two ends with no server at all.
func pipeRelay(t testing.TB) relay {
	a, b := lane(t)
	cut := func() {
		a.NetConn().Close()
		b.NetConn().Close()
	}
	return relay{a, b, cut, cut, func() { a.NetConn().Close() }}
}

// muxRelay is two streams that a server has joined.
func muxRelay(t testing.TB) relay {
	session := func() (peer, server *mux.Session) {
		a, b := testnet.Pipe()
		quiet := mux.Config{KeepAlive: -1, DeadAfter: -1} // so that a bubble sees who waits for ever
		peer, server = mux.Client(a, quiet), mux.Server(b, quiet)
		t.Cleanup(func() {
			peer.Abort(nil)
			server.Abort(nil)
		})
		return peer, server
	}
	open := func(a, b *mux.Session) (*mux.Stream, *mux.Stream) {
		x, err := a.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		y, err := b.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return x, y
	}
	a, sa := session()
	b, sb := session()
	caller, x := open(a, sa)
	y, callee := open(sb, b)
	reset := func() {
		x.Reset(mux.ReasonReset)
		y.Reset(mux.ReasonReset)
	}
	var p channel.Pipe
	p.Splice(x, y, func(err error) {
		if err != nil {
			reset()
		}
	})
	return relay{caller, callee, reset, func() {
		sa.Abort(nil)
		sb.Abort(nil)
	}, func() { a.Abort(nil) }}
}

// relays are the kinds of relay that the tests run over.
var relays = []struct {
	name string
	make func(testing.TB) relay
}{{"pipe", pipeRelay}, {"mux", muxRelay}}

// ends are the two Paths of a channel, and what their lingers and moves run on.
type ends struct {
	relay
	caller, callee *channel.Path
	link           [2]*shs.Conn // the last one
	lingers, wg    sync.WaitGroup
}

func newEnds(t testing.TB, r relay) *ends {
	e := &ends{relay: r}
	e.caller = channel.NewPath(r.caller, true, e.lingers.Go)
	e.callee = channel.NewPath(r.callee, false, e.lingers.Go)
	t.Cleanup(func() {
		e.caller.Abort()
		e.callee.Abort()
		e.wait()
	})
	return e
}

// wait waits for all that goes on behind the ends.
func (e *ends) wait() {
	e.wg.Wait() // first: what is left there may begin to linger
	e.lingers.Wait()
}

// end returns one of the two, and the other one.
func (e *ends) end(caller bool) (this, other *channel.Path) {
	if caller {
		return e.caller, e.callee
	}
	return e.callee, e.caller
}

// result is what the two Moves return, when they do.
type result struct{ caller, callee <-chan error }

// move moves both ends to a new link. When the caller is done the server
// resets the lanes.
func (e *ends) move(t testing.TB) result {
	la, lb := lane(t)
	e.link = [2]*shs.Conn{la, lb}
	x, y := make(chan error, 1), make(chan error, 1)
	if !e.callee.Register() {
		t.Error("not registered")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	e.wg.Go(func() {
		defer cancel()
		err := e.caller.Move(ctx, la)
		if err == nil {
			e.reset()
		}
		x <- err
	})
	e.wg.Go(func() { y <- e.callee.Move(ctx, lb) })
	return result{x, y}
}

// want checks that both have moved.
func (r result) want(t testing.TB) {
	t.Helper()
	if err := errors.Join(<-r.caller, <-r.callee); err != nil {
		t.Error(err)
	}
}

// phase is how far a channel is when something happens to it.
type phase int

const (
	before phase = iota // relayed
	during              // the caller sends over the link, the callee has not read all of the lane
	after               // direct
)

func (p phase) String() string { return [...]string{"before", "during", "after"}[p] }

// inPhases runs f in a bubble for each relay and each phase. In during, the
// callee has to read "x" before it can go on; it has been read in the others.
func inPhases(t *testing.T, f func(t *testing.T, e *ends, p phase)) {
	for _, r := range relays {
		for p := before; p <= after; p++ {
			t.Run(r.name+"/"+p.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEnds(t, r.make(t))
					send(t, e.caller, "x")
					if p != during {
						recv(t, e.callee, "x")
					}
					if p != before {
						res := e.move(t)
						synctest.Wait()
						if p == after {
							res.want(t)
						}
					}
					f(t, e, p)
				})
			})
		}
	}
}

// goOn takes a channel that is in a phase as far as it goes without a reader.
func (e *ends) goOn(t testing.TB, p phase) {
	t.Helper()
	switch p {
	case before:
		e.move(t)
	case during:
		recv(t, e.callee, "x")
	}
	synctest.Wait()
}

func send(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
		t.Errorf("wrote %d of %d bytes: %v", n, len(s), err)
	}
}

func recv(t testing.TB, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("got %.20q and %v, want %.20q", got, err, want)
	}
}

// recvAll reads to the end, which has to be one.
func recvAll(t testing.TB, c net.Conn, want string) {
	t.Helper()
	if got, err := io.ReadAll(c); err != nil || string(got) != want {
		t.Errorf("got %d bytes and %v, want %d and the end", len(got), err, len(want))
	}
}

// TestPathMoves: bytes both ways before, during and after the move, then the
// ends.
func TestPathMoves(t *testing.T) {
	for _, r := range relays {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testMoves(t, newEnds(t, r.make(t))) })
		})
	}
}

func testMoves(t *testing.T, e *ends) {
	there, back := make([]byte, 1<<20), make([]byte, 1<<19)
	rng := rand.NewChaCha8([32]byte{})
	rng.Read(there)
	rng.Read(back)
	var wg sync.WaitGroup
	send := func(p *channel.Path, data []byte) {
		wg.Go(func() {
			for len(data) > 0 {
				n := min(1+rand.IntN(40_000), len(data))
				if _, err := p.Write(data[:n]); err != nil {
					t.Error(err)
					return
				}
				data = data[n:]
			}
			if err := p.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
	}
	recv := func(p *channel.Path, want []byte) {
		wg.Go(func() {
			got, err := io.ReadAll(p)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %d bytes and %v, want %d", len(got), err, len(want))
			}
		})
	}
	send(e.caller, there)
	send(e.callee, back)
	res := e.move(t)
	recv(e.caller, back)
	recv(e.callee, there)
	wg.Wait()
	res.want(t)
	if st, sent, got := e.caller.Stage(); st != channel.Direct || sent != 1<<20 || got != 1<<19 {
		t.Errorf("caller is at %v, %d, %d", st, sent, got)
	}
	e.caller.Close()
	e.callee.Close()
	e.wait()
}
