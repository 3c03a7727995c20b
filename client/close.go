package client

import (
	"maps"
	"slices"
	"time"

	"github.com/cad2f06c/switchboard/channel"
)

// lookAgain is the time between two looks at the closed channels.
const lookAgain = time.Millisecond

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
