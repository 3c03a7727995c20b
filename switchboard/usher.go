package switchboard

import (
	"context"
	"time"
)

// Handshakes over TCP begin at HandshakeRate: as many at once as would in hasteFor,
// and then, while others wait, those that are due every usherEvery. It does not
// count those that come from where somebody has logged in, nor those that do: so
// what it bounds is the work for strangers.
const (
	hasteFor   = time.Second
	usherEvery = 5 * time.Millisecond
)

// waitsLocked reports whether a connection that has just come has to wait for its
// turn, and takes that if not.
func (a *admission) waitsLocked(pool *halfOpen, src source) bool {
	if pool != a.net || src.exempt() || a.limits.HandshakeRate < 0 || a.over || a.sources.knows(a.now(), src) {
		return false
	}
	return pool.porch.n > 0 || !a.takeTurnLocked(a.now())
}

func (a *admission) takeTurnLocked(now time.Duration) bool {
	due := max(a.due, now)
	if due-now > hasteFor {
		return false
	}
	a.due = due + time.Second/time.Duration(a.limits.HandshakeRate)
	return true
}

// welcomeLocked gives back the turn of one that has logged in; who waits of the same
// source is the next.
func (a *admission) welcomeLocked(src source) {
	if src.exempt() || a.limits.HandshakeRate < 0 {
		return
	}
	if a.sources.meet(a.now(), src) {
		a.due -= time.Second / time.Duration(a.limits.HandshakeRate)
	}
	a.net.porch.prefer(src)
}

// usher begins the handshakes of those that wait on the porch, until ctx ends.
func (a *admission) usher(ctx context.Context) {
	for {
		select {
		case <-a.rung:
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			select {
			case <-time.After(usherEvery):
			case <-ctx.Done():
				return
			}
			var starts []func()
			starts, more = a.turns()
			for _, start := range starts {
				start()
			}
		}
	}
}

// turns takes off the porch whose turn it is. more: others wait still.
func (a *admission) turns() (starts []func(), more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	for a.net.porch.n > 0 && a.takeTurnLocked(now) {
		if w := a.net.next(now); w.start != nil {
			starts = append(starts, w.start)
		} // else its accept has not come to begin yet, which will see that it may
	}
	return starts, a.net.porch.n > 0
}
