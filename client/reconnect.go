package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// run watches over the sessions, one after the other, until Close or, under
// NoReconnect, until the first one ends.
func (c *Client) run(s *session) {
	var pause backoff
	for s != nil {
		began := time.Now()
		cause := c.outlive(s)
		if c.ctx.Err() != nil || c.cfg.NoReconnect {
			break
		}
		pause.earn(time.Since(began))
		s = c.reconnect(&pause, cause)
	}
	c.mu.Lock()
	c.over = true
	c.failLocked(errClosed, errClosed) // unless NoReconnect has said why
	cause, err := c.cause, c.err
	c.mu.Unlock()
	c.endAll(err)
	c.renewLease(nil) // nothing is left to end
	if errors.Is(cause, errClosed) {
		c.tell(State{Kind: Closed})
	} else {
		c.tell(State{Kind: Closed, Err: cause})
	}
	c.alarms.Close()
	close(c.done)
}

// outlive waits for the end of a session and cleans up after it. It returns
// why it ended.
func (c *Client) outlive(s *session) error {
	select {
	case <-s.ctx.Done():
	case <-s.away:
		// Nothing new may begin here; what has begun may end. When that is so
		// the server knows best: a channel that moves needs both its sessions
		// longer than this end does.
		c.withdraw(s, errGoAway)
		select {
		case <-s.ctx.Done():
		case <-s.farewell():
			s.live.await(drainTimeout, s.ctx.Done())
		}
	}
	cause := context.Cause(s.ctx)
	if cause == nil {
		cause = errGoAway
	}
	c.withdraw(s, cause)
	c.armLease(s.lease(cause))
	c.bury(s)
	s.close()
	c.log.Info("disconnected", "session", s.me.Session, "err", cause)
	c.tell(State{Kind: Disconnected, Err: cause})
	return cause
}

// reconnect tries until it has a session with the claimed names back. It
// returns nil when Close ends it.
func (c *Client) reconnect(pause *backoff, err error) *session {
	refused := 0
	var h herd
	for {
		if errors.Is(err, shs.ErrRefused) || errors.Is(err, shs.ErrProof) {
			refused++
		} else {
			refused = 0
		}
		// A server that stops refuses too: only the second time in a row it
		// is taken for an answer.
		if refused == 2 {
			c.log.Warn("the server refuses the login; trying on slowly", "err", err)
		}
		d := h.pause(pause.next(refused >= 2), time.Duration(c.spread.Load()))
		c.tell(State{Kind: Reconnecting, After: d, Err: err})
		if !sleep(c.ctx, d) {
			return nil
		}
		var s *session
		if s, err = c.connect(c.ctx); err != nil {
			c.log.Info("reconnect failed", "err", err)
			h.failed++
			continue
		}
		c.mu.Lock()
		c.coming = s
		c.mu.Unlock()
		c.adoptAll(s)
		c.restore(s)
		c.publish(s)
		return s
	}
}

// connect logs in and sets a session up.
func (c *Client) connect(ctx context.Context) (*session, error) {
	addrs, err := findAddresses(&c.cfg)
	if err != nil {
		if c.last == nil {
			return nil, err
		}
		addrs = c.last // the file may be gone while the server restarts
	}
	conn, to, err := login(ctx, &c.cfg, addrs)
	if err != nil {
		return nil, err
	}
	c.last = addrs
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	s, err := c.newSession(ctx, conn, to)
	if err != nil {
		return nil, fmt.Errorf("beginning a session at %s:%s: %w", to.addr.Network, to.addr.Addr, err)
	}
	return s, nil
}

// backoff is a growing pause with jitter: half of it is fixed, half random, so
// that clients of a restarted server do not come all at once.
type backoff struct{ d time.Duration }

// next returns the next pause, the longest if that is asked for.
func (b *backoff) next(longest bool) time.Duration {
	b.d = min(max(2*b.d, minBackoff), maxBackoff)
	if longest {
		b.d = maxBackoff
	}
	return b.d/2 + rand.N(b.d/2)
}

// earn takes from the pause ten times what a session has lasted: a server that
// drops everybody at once is left alone for longer and longer, one that was
// killed a few times within seconds is found again at once.
func (b *backoff) earn(lasted time.Duration) { b.d = max(0, b.d-10*min(lasted, maxBackoff)) }

// sleep waits for d and reports whether ctx lived so long.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
