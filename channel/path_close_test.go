package channel_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
)

// some is what a lane, or a link, holds and one read does not take.
var some = strings.Repeat("0123456789", 4000)

// TestPathHalfClose: each direction ends by itself, in each phase.
func TestPathHalfClose(t *testing.T) {
	for _, caller := range []bool{true, false} {
		inPhases(t, func(t *testing.T, e *ends, p phase) {
			this, other := e.end(caller)
			send(t, this, "last")
			if err := this.CloseWrite(); err != nil {
				t.Error(err)
			}
			e.goOn(t, p)
			recvAll(t, other, "last")
			send(t, other, some)
			recv(t, this, some)
			e.move2(t)
			send(t, other, "end")
			other.CloseWrite()
			recvAll(t, this, "end")
			this.Close()
			other.Close()
			e.wait()
		})
	}
}

// move2 moves if that has not been done.
func (e *ends) move2(t testing.TB) {
	if st, _, _ := e.caller.Stage(); st == channel.Relayed {
		e.move(t).want(t)
	}
}

// TestPathHalfCloseBoth: both directions end at once, in each phase.
func TestPathHalfCloseBoth(t *testing.T) {
	inPhases(t, func(t *testing.T, e *ends, p phase) {
		for _, c := range []*channel.Path{e.caller, e.callee} {
			send(t, c, "last")
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
		}
		e.goOn(t, p)
		recvAll(t, e.caller, "last")
		recvAll(t, e.callee, "last")
		e.caller.Close()
		e.callee.Close()
		e.wait()
	})
}

// TestPathClose: what was written before a Close is delivered, and its end,
// in each phase and at each end, while the closed end has bytes unread.
func TestPathClose(t *testing.T) {
	for _, caller := range []bool{true, false} {
		inPhases(t, func(t *testing.T, e *ends, p phase) {
			this, other := e.end(caller)
			send(t, other, "unread")
			synctest.Wait() // a lane resets what comes behind its Close
			send(t, this, some)
			began := time.Now()
			if err := this.Close(); err != nil {
				t.Error(err)
			}
			if err := this.Close(); err != nil {
				t.Errorf("the second Close: %v", err)
			}
			if d := time.Since(began); d > 0 {
				t.Errorf("Close took %v", d)
			}
			want := some
			if p == during && caller {
				want = "x" + want
			}
			recvAll(t, other, want)
			other.Close()
			e.wait()
			if d := time.Since(began); d > time.Second {
				t.Errorf("all of it took %v", d)
			}
			isClosed(t, this)
			isClosed(t, other)
		})
	}
}

func isClosed(t *testing.T, c net.Conn) {
	t.Helper()
	_, rerr := c.Read(make([]byte, 1))
	_, werr := c.Write([]byte("y"))
	for _, err := range []error{rerr, werr, c.SetDeadline(time.Now())} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("behind Close: %v", err)
		}
	}
}

// TestPathCloseBoth: both ends close at once, over unread bytes.
func TestPathCloseBoth(t *testing.T) {
	inPhases(t, func(t *testing.T, e *ends, p phase) {
		send(t, e.caller, some)
		send(t, e.callee, some)
		synctest.Wait()
		began := time.Now()
		e.caller.Close()
		e.callee.Close()
		e.wait()
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// TestPathCloseWakes: Close ends a Read and a Write that wait, in each phase.
func TestPathCloseWakes(t *testing.T) {
	for _, caller := range []bool{true, false} {
		inPhases(t, func(t *testing.T, e *ends, p phase) {
			this, _ := e.end(caller)
			errs := make(chan error, 2)
			e.wg.Go(func() { _, err := io.Copy(io.Discard, this); errs <- err })
			e.wg.Go(func() { _, err := this.Write(make([]byte, 8<<20)); errs <- err })
			synctest.Wait()
			this.Close()
			for range 2 {
				if err := <-errs; !errors.Is(err, net.ErrClosed) {
					t.Errorf("woken with %v", err)
				}
			}
		})
	}
}

// TestPathLinger: a Close waits at most 5 s for an other end that does not
// read, write or end, and that end then reads an error, or all and the end.
func TestPathLinger(t *testing.T) {
	for _, caller := range []bool{true, false} {
		inPhases(t, func(t *testing.T, e *ends, p phase) {
			this, other := e.end(caller)
			this.SetWriteDeadline(time.Now().Add(time.Second))
			this.Write(make([]byte, 8<<20)) // more than anybody takes
			began := time.Now()
			this.Close()
			e.lingers.Wait()
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("it took %v", d)
			}
			// What a lane has taken it keeps; from a link it is cut off.
			if _, err := io.ReadAll(other); err == nil && (p == after || p == during && caller) {
				t.Error("the other end reads an end of what was cut off")
			}
			other.Close()
			e.wait()
		})
	}
}

// TestPathAbort: the other end reads an error and never an end, in each phase.
func TestPathAbort(t *testing.T) {
	for _, caller := range []bool{true, false} {
		for _, closed := range []bool{false, true} {
			inPhases(t, func(t *testing.T, e *ends, p phase) {
				this, other := e.end(caller)
				errs := make(chan error, 1)
				e.wg.Go(func() { _, err := io.ReadAll(other); errs <- err })
				if p != during || caller {
					send(t, this, "bytes")
				}
				if closed && p != before {
					this.Close() // and the linger is cut short
				}
				began := time.Now()
				if err := this.Abort(); err != nil {
					t.Error(err)
				}
				if err := <-errs; err == nil && !closed {
					t.Error("the other end reads an end")
				}
				other.Close()
				e.wait()
				if d := time.Since(began); d > time.Second {
					t.Errorf("it took %v", d)
				}
				isClosed(t, this)
			})
		}
	}
}

// TestPathBreak: the first reason is the one that stays.
func TestPathBreak(t *testing.T) {
	inPhases(t, func(t *testing.T, e *ends, p phase) {
		why := errors.New("because")
		e.callee.Break(why)
		e.callee.Break(errors.New("late"))
		for range 2 {
			if _, err := e.callee.Read(make([]byte, 1)); !errors.Is(err, why) {
				t.Errorf("Read: %v", err)
			}
			if _, err := e.callee.Write([]byte("y")); !errors.Is(err, why) {
				t.Errorf("Write: %v", err)
			}
		}
		if _, err := io.ReadAll(e.caller); err == nil {
			t.Error("the other end reads an end")
		}
	})
}

// TestPathCloseWaitsForMark: both directions have ended on the lane, and the
// callee is closed before the caller's mark comes: the caller still reads all
// that is on the lane, late.
func TestPathCloseWaitsForMark(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		e.caller.CloseWrite()
		e.callee.Register()
		la, lb := lane(t)
		e.wg.Go(func() {
			if err := e.callee.Move(t.Context(), lb); err != nil {
				t.Errorf("the callee's Move: %v", err)
			}
		})
		send(t, e.callee, some)
		e.callee.Close()
		time.Sleep(time.Second)
		e.wg.Go(func() {
			if err := e.caller.Move(t.Context(), la); err != nil {
				t.Errorf("the caller's Move: %v", err)
			}
		})
		time.Sleep(10 * time.Second)
		recvAll(t, e.caller, some)
		e.caller.Close()
		e.wait()
	})
}
