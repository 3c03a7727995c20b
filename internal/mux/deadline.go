package mux

import (
	"os"
	"sync"
	"time"
)

// deadline is the read or the write deadline of a stream. Only who waits pays
// for a timer. All of it is guarded by the session's mu.
type deadline struct {
	at    time.Time
	timer *time.Timer // armed since somebody has waited; nil: not, or it has fired
}

// setLocked replaces the deadline and wakes cond's waiters, who look at it.
func (d *deadline) setLocked(t time.Time, cond *sync.Cond) {
	d.stopLocked()
	d.at = t
	cond.Broadcast()
}

// armLocked has cond's waiters woken when the deadline passes. The timer's
// function only marks and wakes: nobody has to wait for it.
func (d *deadline) armLocked(st *Stream, cond *sync.Cond) {
	if d.at.IsZero() || d.timer != nil {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(d.at), func() {
		defer st.s.guard()
		cond.L.Lock()
		defer cond.L.Unlock()
		if d.timer == timer { // else it was replaced just now
			d.timer = nil
			cond.Broadcast()
			if d == &st.rd {
				st.s.kickLocked(st)
			}
		}
	})
	d.timer = timer
}

func (d *deadline) stopLocked() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (d *deadline) errLocked() error {
	if !d.at.IsZero() && !time.Now().Before(d.at) {
		return os.ErrDeadlineExceeded
	}
	return nil
}
