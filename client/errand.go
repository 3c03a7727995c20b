package client

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
)

// lookAgain is the time between two looks at the closed channels.
const lookAgain = time.Millisecond

// errands are what the server is still to be told of channels that are over, or
// that move while they end. Close waits for them for a moment: what the server
// is not told it keeps in its books for a minute.
type errands struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n becomes 0; nil while nobody asks
}

// begin counts one in, and done out.
func (w *errands) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
}

func (w *errands) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n--; w.n == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// await waits until none is left, at most for d, or until over is closed.
func (w *errands) await(d time.Duration, over <-chan struct{}) {
	w.mu.Lock()
	if w.n == 0 {
		w.mu.Unlock()
		return
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	case <-over:
	}
}

// farewell lets closed channels say their end, resets the channels that have
// moved, while there is a session to tell the server over, and waits until it has
// been told of all that are over.
func (c *Client) farewell() {
	c.part(closeTimeout / 2)
	for range 2 { // the second time for those that were just moving
		for _, e := range c.movedEnds() {
			e.Abort()
		}
		c.errands.await(closeTimeout/2, c.done)
	}
}

// part waits until the closed channels that linger have sent what was written on
// them, and the end behind it, at most for d: Close cuts off what lingers, and
// the other end would read a reset.
func (c *Client) part(d time.Duration) {
	late := time.NewTimer(d)
	defer late.Stop()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for c.owes() {
		select {
		case <-look.C:
		case <-late.C:
			return
		case <-c.done:
			return
		}
	}
}

// owes reports whether a closed channel has still something to send.
func (c *Client) owes() bool {
	c.mu.Lock()
	lingers := slices.Collect(maps.Keys(c.lingers))
	c.mu.Unlock()
	return slices.ContainsFunc(lingers, (*channel.Path).Owes)
}
