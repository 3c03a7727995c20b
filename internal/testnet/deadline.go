package testnet

import (
	"sync"
	"time"
)

// deadline is the read or the write deadline of a connection.
type deadline struct {
	mu      sync.Mutex
	at      time.Time     // zero: none
	changed chan struct{} // made by the first watch after a set; closed by set
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// watch begins one wait under the deadline, or says that it has passed.
func (d *deadline) watch() (watch, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	w := watch{changed: d.changed}
	if d.at.IsZero() {
		return w, false
	}
	left := time.Until(d.at)
	if left <= 0 {
		return w, true
	}
	w.timer = time.NewTimer(left)
	w.fired = w.timer.C
	return w, false
}

// watch is one wait: it ends with the deadline, or when that is set anew.
type watch struct {
	changed <-chan struct{}
	timer   *time.Timer
	fired   <-chan time.Time
}

// wait returns when anything has happened; the caller looks what it was.
func (w watch) wait(a, b <-chan struct{}) {
	defer w.stop()
	select {
	case <-a:
	case <-b:
	case <-w.changed:
	case <-w.fired:
	}
}

// take puts a token into turn and reports true, or wakes without it.
func (w watch) take(turn chan<- struct{}, closed <-chan struct{}) bool {
	defer w.stop()
	select {
	case turn <- struct{}{}:
		return true
	case <-closed:
	case <-w.changed:
	case <-w.fired:
	}
	return false
}

func (w watch) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}
