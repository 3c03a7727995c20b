package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
)

// adoptMost is how many channels one channel.adopt names; its body stays far
// below the server's limit.
const adoptMost = 100

// movedEnds returns the ends that live on links of their own.
func (c *Client) movedEnds() []*end {
	c.mu.Lock()
	defer c.mu.Unlock()
	var moved []*end
	for _, e := range c.ends {
		for ; e != nil; e = e.next {
			if e.moved() {
				moved = append(moved, e)
			}
		}
	}
	return moved
}

// movedTo returns the kind of link that the end has moved to, "" if it has not.
func (e *end) movedTo() channel.Kind {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.kind
}

// moved reports whether the end is on a link, and not over, or not all of it has come.
func (e *end) moved() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.kind != "" && !(e.readOver && e.writeOver && !e.path.Delivering())
}

// answer notes the session that answers for an end that has moved.
func (e *end) answer(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.under = s
}

// armLease gives the channels that have moved some time without a control session,
// a minute unless the server says otherwise (PROTOCOL.md §10): nobody could revoke
// them.
func (c *Client) armLease(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease == nil {
		c.lease = time.AfterFunc(d, c.leaseOver)
	}
}

// lease is what the direct channels have of it when the session has ended: if it
// was because nothing was heard, nobody could revoke them since that began.
func (s *session) lease(cause error) time.Duration {
	d := s.me.Server.Lease()
	if errors.Is(cause, mux.ErrDead) || errors.Is(cause, errSilent) {
		d -= deadAfter
	}
	return max(d, 0)
}

// renewLease ends that time: there is a session again, s, unless it is over already,
// and the time of the next gap runs.
func (c *Client) renewLease(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease != nil && c.holderLocked() == s {
		c.lease.Stop()
		c.lease = nil
	}
}

// leaseOver ends what nobody can revoke any more: what the session that there is, if
// there is one, does not answer for.
func (c *Client) leaseOver() {
	c.mu.Lock()
	c.lease = nil
	s := c.session
	c.mu.Unlock()
	for _, e := range c.movedEnds() {
		e.mu.Lock()
		spared := e.survive || s != nil && e.under == s
		e.mu.Unlock()
		if !spared {
			c.log.Warn("channel ended: no control session for too long", "channel", e.id)
			e.path.Break(channel.ErrLinkLost)
		}
	}
}

// adoptAll tells the server of a new session which direct channels still live,
// and ends those that it does not want. It is called before the session is
// anybody else's. What the server has no time for it is asked again, while the lease
// runs on.
func (c *Client) adoptAll(s *session) {
	left := s.adoptEnds(append(c.movedEnds(), c.untoldEnds()...))
	if len(left) == 0 {
		c.renewLease(s)
		return
	}
	s.spawn(func() {
		var pause backoff
		for sleep(s.ctx, pause.next(false)) {
			if left = s.adoptEnds(left); len(left) == 0 {
				c.renewLease(s)
				return
			}
		}
	})
}

// adoptEnds returns the ends that are still to be adopted.
func (s *session) adoptEnds(ends []*end) (left []*end) {
	ctx, cancel := context.WithTimeout(s.ctx, setupTimeout)
	defer cancel()
	for len(ends) > 0 {
		some := ends[:min(len(ends), adoptMost)]
		if !s.adoptThese(ctx, some) {
			break
		}
		ends = ends[len(some):]
	}
	return ends
}

func (s *session) adoptThese(ctx context.Context, ends []*end) bool {
	args := control.AdoptArgs{Channels: make([]control.Adopt, len(ends))}
	for i, e := range ends {
		role := control.RoleCallee
		if e.caller {
			role = control.RoleCaller
		}
		args.Channels[i] = control.Adopt{Channel: e.id.String(), Peer: e.peer, Role: role, Name: e.name, Link: string(e.movedTo())}
	}
	var res control.AdoptResult
	if err := s.call(ctx, control.MethodChannelAdopt, args, &res); err != nil {
		s.log.Warn("direct channels not adopted", "channels", len(ends), "err", err)
		return false
	}
	for _, e := range ends {
		s.c.forgetUntold(e)
		if slices.Contains(res.Drop, e.id.String()) {
			s.log.Info("direct channel dropped by the server", "channel", e.id)
			e.setReason(string(control.NotAllowed))
			e.path.Break(channel.ErrLinkLost)
			continue
		}
		e.answer(s)
		if !e.moved() { // it has ended meanwhile, and might have said so too early
			e.tellClosed(s)
		}
	}
	return true
}
