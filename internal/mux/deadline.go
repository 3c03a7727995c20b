package mux

import (
	"os"
	"sync"
	"time"
)

// deadline is the read or the write deadline of a stream. All of it is
// guarded by the session's mu.
type deadline struct {
	timer   *time.Timer // nil: none, or it has passed
	expired bool
}

// setLocked replaces the deadline and wakes cond's waiters now and when it
// passes. The timer's function only marks and wakes: nobody has to wait for
// it.
func (d *deadline) setLocked(t time.Time, cond *sync.Cond) {
	d.stopLocked()
	d.expired = false
	if !t.IsZero() {
		if left := time.Until(t); left <= 0 {
			d.expired = true
		} else {
			var timer *time.Timer
			timer = time.AfterFunc(left, func() {
				cond.L.Lock()
				defer cond.L.Unlock()
				if d.timer == timer { // else it was replaced just now
					d.timer, d.expired = nil, true
					cond.Broadcast()
				}
			})
			d.timer = timer
		}
	}
	cond.Broadcast()
}

func (d *deadline) stopLocked() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (d *deadline) errLocked() error {
	if d.expired {
		return os.ErrDeadlineExceeded
	}
	return nil
}
