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

// claim is a name that was granted, and that the Client means to have in every
// session. What is under way with a name is done in turn: see alone.
type claim struct {
	name string

	// guarded by Client.mu
	args    control.ClaimArgs
	l       *Listener // nil: claimed without one
	result  Claim     // of the last time
	in      *session  // in which that was
	guarded *session  // the session in which the listener's name is watched
}

// Claim claims a name for this session, and again after each reconnect, then
// without Replace unless it is an ended session of this Client that still has
// it. It fails with NameTaken if there is another owner and nothing in opts
// helps. A Claim has nobody who accepts channels: Listen does. Claim, Release,
// Update and Close of a Listener wait for one another if they are about the same
// name; what a Claim that was given up may have got is released first. A name that
// is lost later shows in Watch, in Config.OnState if a reconnect was the cause,
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

// claim claims a name for l, or for nobody.
func (c *Client) claim(ctx context.Context, args control.ClaimArgs, l *Listener) (Claim, error) {
	var res Claim
	err := c.each(ctx, func(s *session) error { return c.claimOn(ctx, s, args, l, &res) })
	if err != nil {
		return Claim{}, err
	}
	return res, nil
}

// claimOn makes a claim in one session. If it is given up before the answer,
// nobody will know whether it was granted: the name is released, before anybody
// else claims it here, unless an earlier claim has it.
func (c *Client) claimOn(ctx context.Context, s *session, args control.ClaimArgs, l *Listener, res *Claim) error {
	done, err := c.alone(ctx, args.Name)
	if err != nil {
		return err
	}
	err = s.call(ctx, control.MethodClaim, args, res)
	if err == nil {
		defer done()
		return s.settle(args, l, *res)
	}
	c.mu.Lock()
	cl := c.claims[args.Name]
	c.mu.Unlock()
	if cl != nil && errors.Is(err, NameTaken) { // who waited has left the line
		c.lose(cl, err)
	}
	if _, answered := errors.AsType[*Error](err); cl == nil && !answered && ctx.Err() != nil && s.spawn(func() {
		defer done()
		s.release(s.ctx, args.Name)
	}) {
		return err
	}
	done()
	return err
}

// settle records a grant, if s is still the session that counts. The caller
// has the turn.
func (s *session) settle(args control.ClaimArgs, l *Listener, res Claim) error {
	c := s.c
	c.mu.Lock()
	if c.session != s {
		c.mu.Unlock()
		return ErrNotConnected
	}
	cl := c.claims[args.Name]
	if cl == nil {
		cl = &claim{name: args.Name}
		c.claims[cl.name] = cl
	}
	if args.Info == nil {
		args.Info = cl.args.Info
	}
	args.Replace = false // an act, not a property
	cl.args, cl.result, cl.in = args, res, s
	if l != nil {
		cl.l = l
	}
	c.mu.Unlock()
	s.look(cl)
	return nil
}

// Release gives a name up: the next in line owns it, or it is free. A name
// that one waits for is waited for no more. A Listener on it ends.
func (c *Client) Release(ctx context.Context, name string) error {
	for {
		done, err := c.alone(ctx, name)
		if err != nil {
			return err
		}
		cl, s := c.forget(name)
		if s != nil && (cl != nil || !s.over()) {
			defer done()
			err := s.call(ctx, control.MethodRelease, control.NameArgs{Name: name}, nil)
			if cl != nil && (errors.Is(err, ErrNotConnected) || errors.Is(err, NotOwner) && cl.in != s) {
				return nil // it went with its session
			}
			return err
		}
		done()
		if cl != nil {
			return nil // it went with the last session
		}
		if _, err := c.await(ctx); err != nil { // the server shall say that it is not ours
			return err
		}
	}
}

// forget takes a name out of what is to be claimed again, and ends its
// listener. s is the session that may have it.
func (c *Client) forget(name string) (cl *claim, s *session) {
	c.mu.Lock()
	cl, s = c.claims[name], c.holderLocked()
	delete(c.claims, name)
	c.mu.Unlock()
	if cl != nil && cl.l != nil {
		cl.l.end(fmt.Errorf("%w: %q was released", ErrNameLost, name))
	}
	return cl, s
}

// Update replaces the info that is published with an owned name. It is kept
// over reconnects, from the moment of the call on: after an error that is no
// *Error it may or may not be published.
func (c *Client) Update(ctx context.Context, name string, info any) error {
	doc, err := document("info", info)
	if err != nil {
		return err
	}
	return c.each(ctx, func(s *session) error { return s.update(ctx, name, doc) })
}

// update sets the info first: if the session ends before the answer, the name
// is claimed again with it.
func (s *session) update(ctx context.Context, name string, doc json.RawMessage) error {
	done, err := s.c.alone(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	before := s.c.setInfo(name, doc)
	err = s.call(ctx, control.MethodUpdate, control.UpdateArgs{Name: name, Info: doc}, nil)
	if _, answered := errors.AsType[*Error](err); answered && !errors.Is(err, ShuttingDown) {
		s.c.setInfo(name, before)
	}
	return err
}

// setInfo sets what a claim publishes when it is made again, and returns what
// it was.
func (c *Client) setInfo(name string, doc json.RawMessage) (before json.RawMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl := c.claims[name]; cl != nil {
		before, cl.args.Info = cl.args.Info, doc
	}
	return before
}

// lose gives a claim up and says so.
func (c *Client) lose(cl *claim, err error) {
	c.mu.Lock()
	lost := c.dropLocked(cl)
	c.mu.Unlock()
	if lost {
		c.mourn(cl, err)
	}
}

// dropLocked takes a claim out of the books, if it is still there.
func (c *Client) dropLocked(cl *claim) bool {
	if c.claims[cl.name] != cl {
		return false
	}
	delete(c.claims, cl.name)
	return true
}

// mourn tells the listener, the log and OnState of a claim that was dropped;
// its fields change no more.
func (c *Client) mourn(cl *claim, err error) {
	err = fmt.Errorf("%w: %q: %w", ErrNameLost, cl.name, err)
	if cl.l != nil {
		cl.l.end(err)
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
