package channel_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/shs"
)

const resumeWindow = 128 << 10

// resume moves both ends to a resumable link. lost gets one for each link that
// is missed at the caller.
func (e *ends) resume(t testing.TB, la, lb *shs.Conn, lost func()) result {
	e.link = [2]*shs.Conn{la, lb}
	x, y := make(chan error, 1), make(chan error, 1)
	if !e.callee.Register() {
		t.Error("not registered")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	e.wg.Go(func() {
		defer cancel()
		x <- e.caller.MoveResumable(ctx, la, channel.Resume{Window: resumeWindow, Lost: lost})
	})
	e.wg.Go(func() { y <- e.callee.MoveResumable(ctx, lb, channel.Resume{Window: resumeWindow}) })
	return result{x, y}
}

// cut kills the link.
func (e *ends) cut() {
	e.link[0].NetConn().Close()
	e.link[1].NetConn().Close()
}

// relink adds another link.
func (e *ends) relink(t testing.TB) {
	la, lb := lane(t)
	e.link = [2]*shs.Conn{la, lb}
	e.callee.AddLink(lb)
	e.caller.AddLink(la)
}

// talk sends n bytes both ways, with pauses of a bubble's clock of up to pause
// ms, and ends both directions. The result is there when all has come.
func (e *ends) talk(t testing.TB, n, pause int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for i, p := range []*channel.Path{e.caller, e.callee} {
		other := []*channel.Path{e.callee, e.caller}[i]
		data := make([]byte, n)
		rand.NewChaCha8([32]byte{byte(i)}).Read(data)
		wg.Go(func() {
			for rest := data; len(rest) > 0; {
				k := min(1+rand.IntN(50_000), len(rest))
				if _, err := p.Write(rest[:k]); err != nil {
					t.Errorf("Write of end %d: %v", i, err)
					return
				}
				rest = rest[k:]
				sleep(rand.IntN(pause + 1))
			}
			if err := p.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			got, err := io.ReadAll(other)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("end %d has read %d bytes of %d, equal %v, and %v", 1-i, len(got), len(data), bytes.HasPrefix(data, got), err)
			}
		})
	}
	return &wg
}

// TestResumeNettest: a resumable Path is a net.Conn, moved and moving.
func TestResumeNettest(t *testing.T) {
	for _, moment := range []string{"moved", "moving"} {
		for _, turned := range []bool{false, true} {
			t.Run(moment+map[bool]string{true: "/turned"}[turned], func(t *testing.T) {
				t.Parallel()
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
					e := newEnds(t, muxRelay(t))
					la, lb := sockets(t, "tcp")
					if moment == "moved" {
						e.resume(t, la, lb, nil).want(t)
					} else {
						e.wg.Go(func() {
							poll(t, time.Duration(rand.IntN(2000))*time.Microsecond)
							if st, _, _ := e.callee.Stage(); st == channel.Relayed && e.callee.Register() {
								e.callee.Unregister()
								e.resume(t, la, lb, nil)
							}
						})
					}
					stop := func() {
						e.caller.Abort()
						e.callee.Abort()
						e.wait()
						la.Abort()
						lb.Abort()
					}
					if turned {
						return e.callee, e.caller, stop, nil
					}
					return e.caller, e.callee, stop, nil
				})
			})
		}
	}
}

// TestResumeKills: links die and come while both directions are full; the lane
// carries on between.
func TestResumeKills(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		la, lb := lane(t)
		lost, over := make(chan struct{}, 1000), make(chan struct{})
		moved := e.resume(t, la, lb, func() { lost <- struct{}{} })
		wg := e.talk(t, 2<<20, 2)
		moved.want(t)
		var killer sync.WaitGroup
		kills := 0
		killer.Go(func() {
			for ; ; kills++ {
				e.cut()
				select {
				case <-lost:
				case <-over:
					return
				}
				sleep(rand.IntN(3))
				e.relink(t)
				sleep(rand.IntN(3))
			}
		})
		wg.Wait()
		close(over)
		killer.Wait()
		if kills < 5 {
			t.Errorf("only %d links have died", kills)
		}
	})
}

// TestResumeServerGone: the lane dies with the server; the channel lives on its
// link, and then on another one.
func TestResumeServerGone(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		la, lb := lane(t)
		e.resume(t, la, lb, nil).want(t)
		wg := e.talk(t, 1<<20, 0)
		e.die()
		e.cut()
		synctest.Wait()
		if e.caller.Linked() || !e.caller.Resumable() {
			t.Error("the caller is somewhere")
		}
		sleep(20_000)
		e.relink(t)
		wg.Wait()
	})
}

// TestResumeHole: a link that passes nothing on is left for the lane, however
// full both directions are.
func TestResumeHole(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		x, y := testnet.Pipe()
		sx, sy := testnet.Stallable(x), testnet.Stallable(y)
		la, lb := shake(t, sx, sy, false)
		e.resume(t, la, lb, nil).want(t)
		send(t, e.caller, "over the link")
		recv(t, e.callee, "over the link")
		sx.Stall()
		sy.Stall()
		began := time.Now()
		e.talk(t, 1<<20, 0).Wait()
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// TestResumeStalledReader: an application that does not read is no dead path,
// and nobody holds more than the window for it.
func TestResumeStalledReader(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		la, lb := lane(t)
		e.resume(t, la, lb, nil).want(t)
		for _, p := range []*channel.Path{e.caller, e.callee} {
			p.SetWriteDeadline(time.Now().Add(time.Minute))
			n, err := p.Write(make([]byte, 1<<20))
			if n != 2*resumeWindow || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("wrote %d, %v", n, err)
			}
		}
		if !e.caller.Linked() || !e.callee.Linked() {
			t.Error("the link was left")
		}
		e.caller.Abort()
	})
}

// TestResumeHomeless: without any path both ends break after 30 s.
func TestResumeHomeless(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		la, lb := lane(t)
		e.resume(t, la, lb, nil).want(t)
		e.die()
		e.cut()
		began := time.Now()
		var wg sync.WaitGroup
		for _, p := range []*channel.Path{e.caller, e.callee} {
			wg.Go(func() {
				_, err := p.Read(make([]byte, 1))
				if d := time.Since(began); !errors.Is(err, channel.ErrLinkLost) || d < 30*time.Second || d > 31*time.Second {
					t.Errorf("after %v: %v", d, err)
				}
				if _, err := p.Write([]byte("x")); !errors.Is(err, channel.ErrLinkLost) {
					t.Errorf("Write: %v", err)
				}
				if p.AddLink(la) {
					t.Error("it takes a link")
				}
			})
		}
		wg.Wait()
	})
}

// TestResumeAbort: the other end hears of it at once, over whatever path there
// is.
func TestResumeAbort(t *testing.T) {
	for _, cut := range []bool{false, true} {
		for _, caller := range []bool{false, true} {
			inRelays(t, func(t *testing.T, e *ends) {
				la, lb := lane(t)
				e.resume(t, la, lb, nil).want(t)
				if synctest.Wait(); cut {
					e.cut()
					synctest.Wait()
				}
				this, other := e.end(caller)
				began := time.Now()
				this.Abort()
				_, err := other.Read(make([]byte, 1))
				if d := time.Since(began); !errors.Is(err, channel.ErrLinkLost) || d > 100*time.Millisecond {
					t.Errorf("after %v: %v", d, err)
				}
				e.wait()
				if d := time.Since(began); d > 2*time.Second {
					t.Errorf("it lingers for %v", d)
				}
			})
		}
	}
}

// TestResumeClose: what was written before Close is delivered, over another
// path if need be, and then nothing is left.
func TestResumeClose(t *testing.T) {
	for _, cut := range []bool{false, true} {
		inRelays(t, func(t *testing.T, e *ends) {
			la, lb := lane(t)
			e.resume(t, la, lb, nil).want(t)
			synctest.Wait()
			data := make([]byte, resumeWindow)
			rand.NewChaCha8([32]byte{}).Read(data)
			if _, err := e.caller.Write(data); err != nil {
				t.Fatal(err)
			}
			e.caller.Close()
			if _, err := e.caller.Read(data); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read: %v", err)
			}
			if cut {
				e.cut()
			}
			got, err := io.ReadAll(e.callee)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			e.callee.Close()
			began := time.Now()
			e.wait()
			if d := time.Since(began); d > time.Second && !cut {
				t.Errorf("it lingers for %v", d)
			}
		})
	}
}

// TestResumeHalves: a direction that has ended before the move; then the lane
// cannot be a path, but another link can.
func TestResumeHalves(t *testing.T) {
	for _, caller := range []bool{false, true} {
		inRelays(t, func(t *testing.T, e *ends) {
			this, other := e.end(caller)
			send(t, this, "all")
			this.CloseWrite()
			recvAll(t, other, "all")
			la, lb := lane(t)
			e.resume(t, la, lb, nil).want(t)
			if e.caller.Parked() || e.callee.Parked() {
				t.Error("half a lane is parked")
			}
			send(t, other, "on")
			recv(t, this, "on")
			e.cut()
			synctest.Wait()
			send(t, other, " and on")
			e.relink(t)
			other.CloseWrite()
			recvAll(t, this, " and on")
			e.wait()
		})
	}
}
