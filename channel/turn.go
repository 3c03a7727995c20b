package channel

import "sync/atomic"

// turn is a lock for one user at a time. Unlike a sync.Mutex it can be waited
// for together with something else, and unlike a channel it costs two atomic
// operations as long as nobody waits. Those who wait come before those who come.
type turn struct {
	taken   atomic.Bool
	waiters atomic.Int32
	free    chan struct{} // holds at most one wake-up, for whichever waiter takes it
}

func newTurn() turn { return turn{free: make(chan struct{}, 1)} }

// try takes the turn if it is free and nobody waits for it.
func (t *turn) try() bool { return t.waiters.Load() == 0 && t.taken.CompareAndSwap(false, true) }

// take waits for the turn.
func (t *turn) take() { t.takeUnless(nil, nil) }

// takeUnless waits for the turn, or until one of two channels is closed; nil
// never is. It reports whether it has the turn.
func (t *turn) takeUnless(over, done <-chan struct{}) bool {
	if t.try() {
		return true
	}
	t.waiters.Add(1)
	defer t.waiters.Add(-1)
	for !t.taken.CompareAndSwap(false, true) {
		select {
		case <-t.free:
		case <-over:
			return false
		case <-done:
			return false
		}
	}
	return true
}

// give gives the turn back.
func (t *turn) give() {
	t.taken.Store(false)
	if t.waiters.Load() > 0 { // who waits was counted before it found the turn taken
		select {
		case t.free <- struct{}{}:
		default:
		}
	}
}
