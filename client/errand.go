package client

import (
	"sync"
	"time"
)

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

// farewell resets the channels that have moved, while there is a session to tell
// the server over, and waits until it has been told of all that are over.
func (c *Client) farewell() {
	for range 2 { // the second time for those that were just moving
		for _, e := range c.movedEnds() {
			e.Abort()
		}
		c.errands.await(closeTimeout/2, c.done)
	}
}
