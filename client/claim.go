package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cad2f06c/switchboard/internal/control"
)

// ClaimOptions say how a name is claimed (PROTOCOL.md §5). The zero value
// claims a free name and publishes nothing about it.
type ClaimOptions struct {
	Queue   bool // wait in line while there is another owner, and go back there when replaced
	Replace bool // take the name from an owner that yields, or has the same key
	Yield   bool // let anybody who may own the name replace us
	Info    any  // published with the name, as JSON of at most 4 KiB; nil: nothing new
}

// Claim is what a claim made of the claimant: State is "owner" or "waiting".
type Claim = control.ClaimResult

// The states of a Claim.
const (
	stateOwner   = "owner"
	stateWaiting = "waiting"
)

// claim is a name that the Client means to have in every session.
type claim struct {
	name string

	// guarded by Client.mu
	args    control.ClaimArgs
	l       *Listener // nil: claimed without one
	settled bool      // granted at least once: to be claimed again after a reconnect
	result  Claim     // of the last time
	guarded *session  // the session in which the listener's name is watched
}

// Claim claims a name for this session, and again after each reconnect, then
// without Replace unless it is an ended session of this Client that still has
// it. It fails with NameTaken if there is another owner and nothing in opts
// helps. A Claim has nobody who accepts channels: Listen does. A name that is
// lost later shows in Watch, in Config.OnState if a reconnect was the cause,
// and at a Listener.
func (c *Client) Claim(ctx context.Context, name string, opts ClaimOptions) (Claim, error) {
	args, err := opts.args(name)
	if err != nil {
		return Claim{}, err
	}
	return c.claim(ctx, args, nil)
}

func (o ClaimOptions) args(name string) (control.ClaimArgs, error) {
	info, err := document("info", o.Info)
	return control.ClaimArgs{Name: name, Queue: o.Queue, Replace: o.Replace, Yield: o.Yield, Info: info}, err
}

// claim claims a name for l, or for nobody. The record is there before the
// answer, so that a reconnect in between forgets nothing.
func (c *Client) claim(ctx context.Context, args control.ClaimArgs, l *Listener) (Claim, error) {
	c.mu.Lock()
	cl := c.claims[args.Name]
	fresh := cl == nil
	if fresh {
		cl = &claim{name: args.Name}
		c.claims[cl.name] = cl
	}
	if l != nil {
		cl.l = l
	}
	c.mu.Unlock()

	var res Claim
	err := c.each(ctx, func(s *session) error { return c.claimOn(ctx, s, cl, args, &res) })
	if err == nil {
		return res, nil
	}
	if !fresh && errors.Is(err, NameTaken) { // who waited has left the line
		c.lose(cl, err)
		return Claim{}, err
	}
	c.mu.Lock()
	if fresh && !cl.settled && c.claims[cl.name] == cl {
		delete(c.claims, cl.name)
	}
	if cl.l == l {
		cl.l = nil
	}
	c.mu.Unlock()
	return Claim{}, err
}

// claimOn makes a claim in one session. If it is given up before the answer,
// nobody will know whether it was granted: the name is released, before anybody
// else claims it here.
func (c *Client) claimOn(ctx context.Context, s *session, cl *claim, args control.ClaimArgs, res *Claim) error {
	done, err := c.alone(ctx, cl.name)
	if err != nil {
		return err
	}
	if err = s.call(ctx, control.MethodClaim, args, res); err == nil {
		err = c.settle(s, cl, args, *res)
	}
	c.mu.Lock()
	settled := cl.settled
	c.mu.Unlock()
	_, answered := errors.AsType[*Error](err)
	if err != nil && !answered && !settled && ctx.Err() != nil {
		if s.spawn(func() { defer done(); s.release(cl.name) }) {
			return err
		}
	}
	done()
	return err
}

// alone waits until nothing else is under way with a name, so that a release
// that is late does not hit a claim that came after it. done ends the turn.
func (c *Client) alone(ctx context.Context, name string) (done func(), err error) {
	for {
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
			return nil, ctx.Err()
		}
	}
}

// settle records a grant, if s is still the session that counts.
func (c *Client) settle(s *session, cl *claim, args control.ClaimArgs, res Claim) error {
	c.mu.Lock()
	if c.session != s {
		c.mu.Unlock()
		return ErrNotConnected
	}
	if args.Info == nil {
		args.Info = cl.args.Info
	}
	args.Replace = false // an act, not a property
	if c.claims[cl.name] == nil {
		c.claims[cl.name] = cl // another claim of the name has failed meanwhile
	}
	cl.args, cl.result, cl.settled = args, res, true
	c.mu.Unlock()
	s.look(cl)
	return nil
}

// Release gives a name up: the next in line owns it, or it is free. A name
// that one waits for is waited for no more. A Listener on it ends.
func (c *Client) Release(ctx context.Context, name string) error {
	if cl, gap := c.forget(name, true); cl != nil && gap {
		return nil // it went with its session
	}
	s, err := c.await(ctx)
	if err != nil {
		return err
	}
	done, err := c.alone(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	cl, _ := c.forget(name, false)
	err = s.call(ctx, control.MethodRelease, control.NameArgs{Name: name}, nil)
	if cl != nil && errors.Is(err, ErrNotConnected) {
		return nil
	}
	return err
}

// forget takes a name out of what is to be claimed again, and ends its
// listener; if onlyInGap, only while there is no session. gap reports whether
// there is none.
func (c *Client) forget(name string, onlyInGap bool) (cl *claim, gap bool) {
	c.mu.Lock()
	cl, gap = c.claims[name], c.session == nil || c.session.over()
	if onlyInGap && !gap {
		c.mu.Unlock()
		return nil, false
	}
	delete(c.claims, name)
	c.mu.Unlock()
	if cl != nil && cl.l != nil {
		cl.l.end(fmt.Errorf("%w: %q was released", ErrNameLost, name))
	}
	return cl, gap
}

// giveUp releases a name unless it is claimed anew.
func (s *session) giveUp(name string) {
	ctx, cancel := context.WithTimeout(s.ctx, closeTimeout)
	defer cancel()
	done, err := s.c.alone(ctx, name)
	if err != nil {
		return
	}
	defer done()
	s.c.mu.Lock()
	cl := s.c.claims[name]
	anew := cl != nil && cl.settled
	s.c.mu.Unlock()
	if !anew {
		s.release(name)
	}
}

// release gives a name up whose claim nobody wants; a session that ends does
// it, too.
func (s *session) release(name string) {
	ctx, cancel := context.WithTimeout(s.ctx, closeTimeout)
	defer cancel()
	err := s.call(ctx, control.MethodRelease, control.NameArgs{Name: name}, nil)
	if err != nil && !errors.Is(err, NotOwner) {
		s.log.Debug("name not released", "name", name, "err", err)
	}
}

// Update replaces the info that is published with an owned name. It is kept
// over reconnects.
func (c *Client) Update(ctx context.Context, name string, info any) error {
	doc, err := document("info", info)
	if err != nil {
		return err
	}
	before := c.publishInfo(name, doc) // at once: a reconnect in between claims with it
	err = c.retry(ctx, control.MethodUpdate, control.UpdateArgs{Name: name, Info: doc}, nil)
	if _, answered := errors.AsType[*Error](err); answered {
		c.publishInfo(name, before)
	}
	return err
}

// publishInfo sets what a claim publishes when it is made again, and returns
// what it was.
func (c *Client) publishInfo(name string, doc json.RawMessage) (before json.RawMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl := c.claims[name]; cl != nil {
		before, cl.args.Info = cl.args.Info, doc
	}
	return before
}

// lose gives a claim up and says so to its listener, the log and OnState.
func (c *Client) lose(cl *claim, err error) {
	c.mu.Lock()
	if c.claims[cl.name] != cl {
		c.mu.Unlock()
		return
	}
	delete(c.claims, cl.name)
	l := cl.l
	c.mu.Unlock()
	err = fmt.Errorf("%w: %q: %w", ErrNameLost, cl.name, err)
	if l != nil {
		l.end(err)
	}
	c.log.Warn("name lost", "name", cl.name, "err", err)
	c.tell(State{Kind: NameLost, Name: cl.name, Err: err})
}

// document writes what is published or sent along, at most 4 KiB of it.
func document(what string, v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("client: %s: %w", what, err)
	}
	if len(raw) > control.MaxMeta {
		return nil, control.BadRequest.With(what + " is larger than 4 KiB")
	}
	return raw, nil
}
