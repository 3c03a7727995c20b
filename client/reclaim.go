package client

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/cad2f06c/switchboard/internal/control"
)

// deadSession is an ended session of ours, which the server may not have
// noticed yet. Session ids are unique only while one server runs.
type deadSession struct {
	session string
	started int64
}

// maxDead is how many of those are remembered.
const maxDead = 16

// bury remembers an ended session.
func (c *Client) bury(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = append(c.dead, deadSession{s.me.Session, s.me.Server.Started})
	c.dead = c.dead[max(0, len(c.dead)-maxDead):]
}

// restore claims all names again, in a session that nobody else uses yet.
func (c *Client) restore(s *session) {
	c.mu.Lock()
	var todo []*claim
	for _, cl := range c.claims {
		todo = append(todo, cl)
	}
	c.mu.Unlock()
	slices.SortFunc(todo, func(a, b *claim) int { return strings.Compare(a.name, b.name) })
	for _, cl := range todo {
		if c.reclaim(s, cl) {
			s.spawn(func() {
				var pause backoff
				for sleep(s.ctx, pause.next(false)) && c.reclaim(s, cl) {
				}
			})
		}
	}
}

// reclaim claims one name again. It reports whether that should be tried once
// more; a name that cannot be had is given up, and not silently.
func (c *Client) reclaim(s *session, cl *claim) (again bool) {
	ctx, cancel := context.WithTimeout(s.ctx, setupTimeout)
	defer cancel()
	done, err := c.alone(ctx, cl.name)
	if err != nil {
		return !s.over()
	}
	defer done()
	c.mu.Lock()
	args, wanted := cl.args, c.claims[cl.name] == cl && cl.in != s
	c.mu.Unlock()
	if !wanted {
		return false
	}
	res, err := s.reclaim(ctx, args)
	c.mu.Lock()
	wanted = c.claims[cl.name] == cl
	if err == nil {
		cl.result, cl.in = res, s
	}
	c.mu.Unlock()
	switch {
	case s.over():
		return false // the next session will
	case !wanted: // its listener was closed meanwhile; nobody claims it but in turn
		s.release(s.ctx, cl.name)
		return false
	case err == nil:
		s.look(cl)
		c.log.Info("name claimed again", "name", cl.name, "state", res.State)
		return false
	case passing(err):
		c.log.Info("name not claimed again yet", "name", cl.name, "err", err)
		return true
	default:
		c.lose(cl, err)
		return false
	}
}

// reclaim claims a name as it was claimed first, but takes it by replace only
// from an ended session of ours that the server has not noticed yet.
func (s *session) reclaim(ctx context.Context, args control.ClaimArgs) (Claim, error) {
	var res Claim
	err := s.call(ctx, control.MethodClaim, args, &res)
	if !errors.Is(err, NameTaken) && (err != nil || res.State != stateWaiting) {
		return res, err
	}
	var e Entry
	if gerr := s.call(ctx, control.MethodGet, control.NameArgs{Name: args.Name}, &e); gerr != nil || !s.buried(e) {
		return res, err
	}
	args.Replace = true
	err = s.call(ctx, control.MethodClaim, args, &res)
	return res, err
}

// buried reports whether e belongs to a session of ours that has ended.
func (s *session) buried(e Entry) bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return e.ID == s.me.ID && slices.Contains(s.c.dead, deadSession{e.Session, s.me.Server.Started})
}

// passing reports whether a claim that failed so may succeed later.
func passing(err error) bool {
	for _, code := range []Code{Busy, RateLimited, Timeout, ShuttingDown, Internal} {
		if errors.Is(err, code) {
			return true
		}
	}
	_, answered := errors.AsType[*Error](err)
	return !answered
}
