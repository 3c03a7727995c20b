package channel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Times of a resumable channel.
const (
	probeAfter = time.Second            // of waiting for an ACK, without any frame on the active path
	deadAfter  = 3 * time.Second        // behind the probe
	homeless   = 30 * time.Second       // without any path
	partTime   = 2 * deadAfter          // for the other end's goodbye, when all is over
	resetTime  = time.Second            // for a RESET to be read
	ackDelay   = 20 * time.Millisecond  // of an ACK that nobody is in a hurry for
	tickTime   = 250 * time.Millisecond // between looks at the times above
)

var (
	errPeerReset = errors.New("the other end has reset the channel")
	errHomeless  = errors.New("no path for 30 s")
	errLinger    = errors.New("the other end does not go on")
)

// resumer is the Lane of a resumable channel: it drives a resumeCore over
// several paths, each a Lane of its own with a goroutine for each direction.
// Like the core, it holds no more than the window in each direction, and a frame
// for each path in use.
//
//	open ──both directions over──▸ parting ──goodbye read, or 6 s──▸ done
//	  └─Abort, RESET, no path for 30 s, an impossible frame──▸ broken ──1 s──▸ done
type resumer struct {
	spawn func(func()) // runs what serves a path
	lost  func()       // told, on any goroutine, that the last link has died; or nil
	told  func()       // likewise, once, that it is broken or done

	// guarded by mu
	mu       sync.Mutex
	c        resumeCore
	paths    []*resumeLane
	readable sync.Cond
	writable sync.Cond
	reads    condDeadline
	writes   condDeadline
	busy     bool        // a Write is in progress
	shut     bool        // by Close or Abort
	done     bool        // all is over and known to be
	err      error       // why it is broken
	live     bool        // the other end can answer
	pending  bool        // the lane is still to come
	early    *resumeLane // the first link, before it speaks
	ticker   *time.Timer
	acker    *time.Timer
	since    struct{ homeless, over, shut time.Time }
	una      uint64 // when since.shut was set
}

// condDeadline is a deadline of those who wait for a condition.
type condDeadline struct {
	timer *time.Timer
	past  bool
}

func newResumer(window int, spawn func(func()), lost func()) *resumer {
	r := &resumer{spawn: spawn, lost: lost, c: newResumeCore(window), pending: true}
	r.readable.L, r.writable.L = &r.mu, &r.mu
	return r
}

// Read reads what has come, over any path.
func (r *resumer) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case r.shut:
			return 0, net.ErrClosed
		case r.reads.past:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		}
		if n := r.c.read(b); n > 0 {
			if r.c.in.owe == oweNow {
				r.wakeLocked()
			}
			return n, nil
		}
		switch {
		case r.c.eof():
			return 0, io.EOF
		case r.err != nil:
			return 0, r.err
		}
		r.readable.Wait()
	}
}

// Write returns when all of b is held for the other end: it is sent, and sent
// again, until that has acknowledged it. Writes of several goroutines do not
// mix.
func (r *resumer) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if err := r.writeErrLocked(); err != nil {
			return 0, err
		}
		if !r.busy {
			break
		}
		r.writable.Wait()
	}
	r.busy = true
	defer func() {
		r.busy = false
		r.writable.Broadcast()
	}()
	for done := 0; ; {
		n := r.c.write(b[done:])
		if done += n; n > 0 {
			r.wakeLocked()
		}
		if done == len(b) {
			return done, nil
		}
		r.writable.Wait()
		if err := r.writeErrLocked(); err != nil {
			return done, err
		}
	}
}

func (r *resumer) writeErrLocked() error {
	switch {
	case r.shut, r.err == nil && r.c.out.ended:
		return net.ErrClosed
	case r.writes.past:
		return os.ErrDeadlineExceeded
	}
	return r.err
}

// SetDeadline sets both deadlines.
func (r *resumer) SetDeadline(t time.Time) error {
	return errors.Join(r.SetReadDeadline(t), r.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline of Read.
func (r *resumer) SetReadDeadline(t time.Time) error { return r.setDeadline(&r.reads, &r.readable, t) }

// SetWriteDeadline sets the deadline of Write.
func (r *resumer) SetWriteDeadline(t time.Time) error {
	return r.setDeadline(&r.writes, &r.writable, t)
}

func (r *resumer) setDeadline(d *condDeadline, cond *sync.Cond, t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	left := time.Until(t)
	if d.past = !t.IsZero() && left <= 0; d.past {
		cond.Broadcast()
	} else if !t.IsZero() && !r.shut {
		var timer *time.Timer
		timer = time.AfterFunc(left, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if d.timer == timer {
				d.past = true
				cond.Broadcast()
			}
		})
		d.timer = timer
	}
	return nil
}

// CloseWrite ends our direction, behind what was written.
func (r *resumer) CloseWrite() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.shut:
		return net.ErrClosed
	case r.err != nil:
		return r.err
	}
	r.endLocked()
	return nil
}

func (r *resumer) endLocked() {
	r.c.end()
	r.writable.Broadcast()
	r.wakeLocked()
}

// Close ends both directions in order: what was written goes on to be sent, for
// as long as the other end takes it; what comes is thrown away. An end that
// takes no more, or does not end its own direction, has 5 s.
func (r *resumer) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		return nil
	}
	r.shutLocked()
	if r.err == nil && !r.done {
		r.c.in.discard()
		r.since.shut, r.una = time.Now(), r.c.out.una
		r.endLocked()
	}
	return nil
}

// owes reports whether something that a Close of the channel is to deliver, or the
// end behind it, is not acknowledged.
func (r *resumer) owes() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err == nil && !r.done && !r.c.out.over()
}

// Abort resets the channel.
func (r *resumer) Abort() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.shut {
		r.shutLocked()
	}
	if !r.done {
		r.breakLocked(net.ErrClosed, true)
	}
	return nil
}

// shutLocked ends the use of it.
func (r *resumer) shutLocked() {
	r.shut = true
	for _, d := range []*condDeadline{&r.reads, &r.writes} {
		if d.timer != nil {
			d.timer.Stop()
			d.timer = nil
		}
	}
	r.readable.Broadcast()
	r.writable.Broadcast()
}

// breakLocked resets the channel. What the other end has sent in full may
// still be read.
func (r *resumer) breakLocked(err error, tell bool) {
	if r.err != nil || r.done {
		return
	}
	r.err = err
	r.c.out.held.drop(0, true)
	if !r.c.in.over() || r.shut {
		r.c.in.discard()
	}
	r.readable.Broadcast()
	r.writable.Broadcast()
	if p := r.early; p != nil && !p.speaks {
		p.resetLocked(false)
	}
	for _, p := range r.paths {
		p.resetLocked(tell)
	}
	r.stopLocked()
}

// finishLocked lets all paths go, in order.
func (r *resumer) finishLocked() {
	if r.err != nil || r.done {
		return
	}
	r.done = true
	for _, p := range r.paths {
		p.finishLocked()
	}
	r.stopLocked()
}

// stopLocked stops the timers, when it is broken or done.
func (r *resumer) stopLocked() {
	if r.told != nil {
		time.AfterFunc(0, r.told) // not under mu
	}
	for _, t := range []*time.Timer{r.ticker, r.acker} {
		if t != nil {
			t.Stop()
		}
	}
}

// ended notes that a direction, ours or the other, had ended before the link.
func (r *resumer) ended(ours bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ours {
		r.c.outOver()
	} else {
		r.c.inOver()
		r.readable.Broadcast()
	}
}

// settle notes that the lane has come, or will not.
func (r *resumer) settle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = false
	if r.err == nil && !r.done {
		r.wakeLocked()
	}
}

// open reports whether another path is of use.
func (r *resumer) open() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err == nil && !r.done && !r.c.over()
}

// linked reports whether a link is in use.
func (r *resumer) linked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.c.active()
	return a != nil && a.link
}

// stranded reports whether there is no path.
func (r *resumer) stranded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.c.active() == nil
}

// lostErr is what readers and writers are told.
func lostErr(err error) error { return fmt.Errorf("%w: %w", ErrLinkLost, err) }

// LocalAddr returns that of the best path, or nil.
func (r *resumer) LocalAddr() net.Addr { return r.addr(Lane.LocalAddr) }

// RemoteAddr returns that of the best path, or nil.
func (r *resumer) RemoteAddr() net.Addr { return r.addr(Lane.RemoteAddr) }

func (r *resumer) addr(of func(Lane) net.Addr) net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.paths) == 0 {
		return nil
	}
	return of(r.paths[0].lane)
}
