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
)

// inRelays runs f in a bubble for each relay.
func inRelays(t *testing.T, f func(t *testing.T, e *ends)) {
	for _, r := range relays {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newEnds(t, r.make(t))) })
		})
	}
}

// fill writes to a lane until it takes no more: one Write, of which size and
// error are returned, the latter when wg is done.
func fill(t *testing.T, p net.Conn, wg *sync.WaitGroup) (size int, done *error) {
	size, done = 8<<20, new(error)
	wg.Go(func() { _, *done = p.Write(make([]byte, size)) })
	synctest.Wait()
	return size, done
}

// TestPathUnmoved: a link that dies before the caller's mark has not been
// there, and another one does.
func TestPathUnmoved(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		var wg sync.WaitGroup
		size, werr := fill(t, e.caller, &wg) // its mark waits for this
		res := e.move(t)
		synctest.Wait()
		e.link[1].Abort()
		if err := <-res.callee; !errors.Is(err, channel.ErrUnmoved) {
			t.Errorf("the callee's Move: %v", err)
		}
		if err := <-res.caller; !errors.Is(err, channel.ErrUnmoved) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's Move: %v", err)
		}
		if st, _, _ := e.caller.Stage(); st != channel.Relayed {
			t.Errorf("stage %v", st)
		}
		recv(t, e.callee, string(make([]byte, size)))
		wg.Wait()
		if *werr != nil {
			t.Error(*werr)
		}
		send(t, e.callee, "still")
		recv(t, e.caller, "still")
		e.move(t).want(t)
		send(t, e.caller, "there")
		recv(t, e.callee, "there")
		send(t, e.callee, "back")
		recv(t, e.caller, "back")
	})
}

// TestPathLinkDies: a link that dies behind the caller's mark breaks the
// channel at both ends, and no byte is made up.
func TestPathLinkDies(t *testing.T) {
	inPhases(t, func(t *testing.T, e *ends, p phase) {
		if p == before {
			return // TestPathUnmoved
		}
		send(t, e.caller, "lost")
		e.link[0].NetConn().Close()
		e.link[1].NetConn().Close()
		if got, err := io.ReadAll(e.caller); len(got) > 0 || !errors.Is(err, channel.ErrLinkLost) {
			t.Errorf("the caller reads %q and %v", got, err)
		}
		want := ""
		if p == during {
			want = "x" // on the lane, which the caller may have reset by now
		}
		got, err := io.ReadAll(e.callee)
		if err == nil || !bytes.HasPrefix([]byte(want+"lost"), got) {
			t.Errorf("the callee reads %q and %v", got, err)
		}
		for _, end := range []*channel.Path{e.caller, e.callee} {
			if _, err := end.Write([]byte("y")); err == nil {
				t.Error("a Write on a broken channel")
			}
			if err := end.Close(); err != nil {
				t.Error(err)
			}
		}
		e.wait()
	})
}

// TestPathRelayDies: before a move it is the lane's own error, and the link
// goes too; while its bytes are needed ErrRelayLost; behind that nothing.
func TestPathRelayDies(t *testing.T) {
	inPhases(t, func(t *testing.T, e *ends, p phase) {
		e.die()
		synctest.Wait()
		if p == after {
			e.caller.SetDeadline(time.Now().Add(time.Second))
			e.callee.SetDeadline(time.Now().Add(time.Second))
			send(t, e.caller, "there")
			recv(t, e.callee, "there")
			send(t, e.callee, "back")
			recv(t, e.caller, "back")
			e.caller.Close()
			recvAll(t, e.callee, "")
			e.callee.Close()
			e.wait()
			return
		}
		_, err := io.ReadAll(e.caller)
		if err == nil || errors.Is(err, channel.ErrRelayLost) != (p == during) {
			t.Errorf("the caller reads %v", err)
		}
		if _, err := io.ReadAll(e.callee); err == nil {
			t.Error("the callee reads an end")
		}
		if p == before && e.callee.Register() {
			t.Error("a channel without a lane can be moved")
		}
	})
}

// TestPathOwnSessionGoes: the lane is closed from this side, by the end of its
// session, and not by the Path.
func TestPathOwnSessionGoes(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		send(t, e.caller, "x")
		res := e.move(t)
		synctest.Wait()
		e.leave()
		if _, err := e.caller.Read(make([]byte, 1)); !errors.Is(err, channel.ErrRelayLost) {
			t.Errorf("the caller reads %v", err)
		}
		if err := <-res.caller; !errors.Is(err, channel.ErrRelayLost) {
			t.Errorf("the caller's Move: %v", err)
		}
		if _, err := io.ReadAll(e.callee); err == nil {
			t.Error("the callee reads an end")
		}
	})
}

// TestPathMoveRefused: what cannot be moved, or not now.
func TestPathMoveRefused(t *testing.T) {
	refused := func(t *testing.T, e *ends) {
		t.Helper()
		la, lb := lane(t)
		if err := e.caller.Move(t.Context(), la); !errors.Is(err, channel.ErrUnmoved) {
			t.Errorf("the caller's Move: %v", err)
		}
		if e.callee.Register() {
			t.Error("registered")
		}
		if _, err := lb.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("the link is not aborted: %v", err)
		}
	}
	ways := map[string]func(t *testing.T, e *ends){
		"closed":  func(t *testing.T, e *ends) { e.caller.Close(); e.callee.Close() },
		"aborted": func(t *testing.T, e *ends) { e.caller.Abort(); e.callee.Abort() },
		"ended": func(t *testing.T, e *ends) {
			e.caller.CloseWrite()
			e.callee.CloseWrite()
			recvAll(t, e.caller, "")
			recvAll(t, e.callee, "")
		},
		"moved":  func(t *testing.T, e *ends) { e.move(t).want(t) },
		"moving": func(t *testing.T, e *ends) { send(t, e.caller, "x"); e.move(t); synctest.Wait() },
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			inRelays(t, func(t *testing.T, e *ends) {
				way(t, e)
				refused(t, e)
			})
		})
	}
}

// TestPathUnregister: a link that was registered and came to nothing.
func TestPathUnregister(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		for range 2 {
			if !e.callee.Register() || e.callee.Register() {
				t.Error("registered not once")
			}
			e.callee.Unregister()
		}
		e.move(t).want(t)
	})
}

// TestPathMoveStopped: a callee's Move ends with its context while it waits
// for the mark.
func TestPathMoveStopped(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		e.callee.Register()
		la, lb := lane(t)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 1)
		e.wg.Go(func() { got <- e.callee.Move(ctx, lb) })
		synctest.Wait()
		cancel()
		if err := <-got; !errors.Is(err, channel.ErrUnmoved) {
			t.Errorf("Move: %v", err)
		}
		if _, err := la.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("the link is not aborted: %v", err)
		}
		e.move(t).want(t)
	})
}

// TestPathMoveBehindLinger: the handshake of a registered link ends when the
// closed channel has given up waiting for it.
func TestPathMoveBehindLinger(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		e.callee.Register()
		e.callee.Close()
		e.lingers.Wait()
		la, lb := lane(t)
		send(t, la, "\x01\x00\x00\x00\x00\x00\x00\x00\x05")
		if err := e.callee.Move(t.Context(), lb); err == nil {
			t.Error("moved")
		}
	})
}

// TestPathWritesDoNotMix: while one Write goes over to the link, another one
// does not come between.
func TestPathWritesDoNotMix(t *testing.T) {
	const size = 300_000
	inRelays(t, func(t *testing.T, e *ends) {
		var wg sync.WaitGroup
		for _, c := range "abcd" {
			wg.Go(func() {
				for range 3 {
					time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
					send(t, e.caller, string(bytes.Repeat([]byte{byte(c)}, size)))
				}
			})
		}
		wg.Go(func() { time.Sleep(100 * time.Millisecond); e.move(t).want(t) })
		buf := make([]byte, size)
		for i := range 12 {
			for n := 0; n < size; {
				time.Sleep(time.Millisecond)
				k, err := e.callee.Read(buf[n:min(size, n+1+rand.IntN(20_000))])
				if n += k; err != nil {
					t.Fatal(err)
				}
			}
			if n := bytes.Count(buf, buf[:1]); n != size {
				t.Fatalf("Write %d is mixed with another behind %d bytes", i, n)
			}
		}
		wg.Wait()
	})
}

// TestPathWriteBehindEnd: it fails and breaks nothing, wherever the end was.
func TestPathWriteBehindEnd(t *testing.T) {
	inPhases(t, func(t *testing.T, e *ends, p phase) {
		end := func(c *channel.Path) {
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := c.Write([]byte("y")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a Write behind the end: %v", err)
			}
		}
		end(e.caller)
		e.goOn(t, p)
		end(e.caller)
		recvAll(t, e.callee, "")
		synctest.Wait() // the lanes may be reset by now
		end(e.caller)
		send(t, e.callee, "back")
		end(e.callee)
		recvAll(t, e.caller, "back")
		end(e.callee)
	})
}

// TestPathTogether: Reads, Writes and a half-close of many goroutines at the
// switch.
func TestPathTogether(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		const writers, size = 8, 100_000
		var writes, reads sync.WaitGroup
		for range writers {
			writes.Go(func() { send(t, e.caller, string(make([]byte, size))) })
		}
		var mu sync.Mutex
		total := 0
		for range 4 {
			reads.Go(func() {
				n, err := io.Copy(io.Discard, e.callee)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				total += int(n)
				mu.Unlock()
			})
		}
		res := e.move(t)
		writes.Wait()
		var ends sync.WaitGroup
		for range 3 {
			ends.Go(func() {
				if err := e.caller.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
		}
		ends.Wait()
		reads.Wait()
		res.want(t)
		if total != writers*size {
			t.Errorf("%d bytes have come", total)
		}
	})
}
