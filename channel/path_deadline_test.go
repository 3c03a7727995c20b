package channel_test

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
)

// timed checks that do ends by its deadline after exactly d.
func timed(t *testing.T, d time.Duration, do func() error) {
	t.Helper()
	began := time.Now()
	if err := do(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it ended with %v", err)
	}
	if took := time.Since(began); took != d {
		t.Errorf("it took %v, want %v", took, d)
	}
}

func read1(p *channel.Path) func() error {
	return func() error { _, err := p.Read(make([]byte, 1)); return err }
}

func writeBulk(p *channel.Path) func() error {
	return func() error { _, err := p.Write(make([]byte, 8<<20)); return err }
}

// TestPathDeadlines: of Read and of Write, set in a phase, and met there.
func TestPathDeadlines(t *testing.T) {
	for _, caller := range []bool{true, false} {
		inPhases(t, func(t *testing.T, e *ends, p phase) {
			this, other := e.end(caller)
			if p == during && !caller {
				this = other // the callee has something to read
			}
			this.SetReadDeadline(time.Now().Add(time.Second))
			timed(t, time.Second, read1(this))
			timed(t, 0, read1(this))
			this.SetReadDeadline(time.Time{})
			e.wg.Go(func() { time.Sleep(time.Second); this.SetReadDeadline(time.Now()) })
			timed(t, time.Second, read1(this)) // under way
			this.SetDeadline(time.Now().Add(2 * time.Second))
			timed(t, 2*time.Second, writeBulk(this))
			timed(t, 0, writeBulk(this))
			timed(t, 0, read1(this))
			this.SetDeadline(time.Time{})
			this.SetWriteDeadline(time.Now().Add(time.Second))
			timed(t, time.Second, writeBulk(this))
		})
	}
}

// TestPathReadMovesOn: a Read with a deadline begins on the lane and ends on
// the link, by the deadline, or with a byte.
func TestPathReadMovesOn(t *testing.T) {
	for _, caller := range []bool{true, false} {
		inPhases(t, func(t *testing.T, e *ends, p phase) {
			if p == after || p == during && !caller {
				return
			}
			this, other := e.end(caller)
			this.SetReadDeadline(time.Now().Add(10 * time.Second))
			e.wg.Go(func() {
				time.Sleep(3 * time.Second)
				e.goOn(t, p)
			})
			timed(t, 10*time.Second, read1(this))
			this.SetReadDeadline(time.Now().Add(time.Second))
			timed(t, time.Second, read1(this))
			this.SetReadDeadline(time.Now().Add(time.Second))
			send(t, other, "late")
			recv(t, this, "late")
		})
	}
}

// TestPathReadSwitches: a Read that waits at the lane takes what comes over
// the link.
func TestPathReadSwitches(t *testing.T) {
	inRelays(t, func(t *testing.T, e *ends) {
		for _, c := range []*channel.Path{e.caller, e.callee} {
			e.wg.Go(func() { recv(t, c, "over the link") })
		}
		synctest.Wait()
		e.move(t).want(t)
		send(t, e.caller, "over the link")
		send(t, e.callee, "over the link")
		e.wg.Wait()
	})
}

// TestPathWriteMovesOn: a Write with a deadline begins on the lane and ends on
// the link.
func TestPathWriteMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t, muxRelay(t))
		began := time.Now()
		e.caller.SetWriteDeadline(began.Add(10 * time.Second))
		const size = 2 << 20
		wrote := make(chan int, 1)
		e.wg.Go(func() {
			n, err := e.caller.Write(make([]byte, size))
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 10*time.Second {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			wrote <- n
		})
		synctest.Wait()
		res := e.move(t)
		recv(t, e.callee, string(make([]byte, size/2)))
		res.want(t)
		n := <-wrote
		if n <= size/2 || n >= size {
			t.Fatalf("wrote %d bytes", n)
		}
		e.caller.SetWriteDeadline(time.Time{})
		e.wg.Go(func() { send(t, e.caller, "more"); e.caller.CloseWrite() })
		recvAll(t, e.callee, string(make([]byte, n-size/2))+"more")
	})
}
