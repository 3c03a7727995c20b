package client

import (
	"context"
	"errors"

	"github.com/cad2f06c/switchboard/internal/control"
)

// alone waits until nothing else is under way with a name, so that a release
// that is late does not hit a claim that came after it. done ends the turn.
// Who has the turn must not wait for a session: one that is being set up may
// need the turn to claim the name again.
func (c *Client) alone(ctx context.Context, name string) (done func(), err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.mu.Lock()
		other := c.busy[name]
		if other == nil {
			mine := make(chan struct{})
			c.busy[name] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				delete(c.busy, name)
				close(mine)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
		}
	}
}

// holderLocked returns the session that has our names, or is about to; nil in
// a gap.
func (c *Client) holderLocked() *session {
	if c.session != nil {
		return c.session
	}
	return c.coming
}

// giveUp releases a name that was just taken out of c.claims. Whoever has the
// turn longer than we wait finds it gone from there, and releases it.
func (c *Client) giveUp(name string) {
	ctx, cancel := context.WithTimeout(c.ctx, closeTimeout)
	defer cancel()
	done, err := c.alone(ctx, name)
	if err != nil {
		return
	}
	defer done()
	c.mu.Lock()
	s, anew := c.holderLocked(), c.claims[name] != nil
	c.mu.Unlock()
	if s != nil && !anew {
		s.release(ctx, name)
	}
}

// release gives a name up that nobody wants. The caller has the turn.
func (s *session) release(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	err := s.call(ctx, control.MethodRelease, control.NameArgs{Name: name}, nil)
	if err != nil && !errors.Is(err, NotOwner) {
		s.log.Debug("name not released", "name", name, "err", err)
	}
}
