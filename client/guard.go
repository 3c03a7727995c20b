package client

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
)

// look starts the guard of a listener's name, once a session.
func (s *session) look(cl *claim) {
	s.c.mu.Lock()
	l := cl.l
	begin := l != nil && cl.guarded != s
	if begin {
		cl.guarded = s
	}
	s.c.mu.Unlock()
	if begin {
		s.spawn(func() { s.guard(l, cl) })
	}
}

// guard watches a listener's own name for loss, as long as the listener and
// the session live: nobody tells an owner in private that it was replaced
// (PROTOCOL.md §5). Without it a listener could wait for ever.
func (s *session) guard(l *Listener, cl *claim) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	defer s.guards.Add(-1)
	if s.guards.Add(1) > maxGuards {
		s.pollName(ctx, cl)
		return
	}
	stream, err := s.ctl.Open(ctx, "source", control.MethodWatch, control.WatchArgs{Match: cl.name})
	if err != nil {
		s.unguarded(ctx, cl, err)
		return
	}
	present := false
	for {
		body, _, err := stream.Recv(ctx)
		if err != nil {
			stream.Abort(nil)
			s.unguarded(ctx, cl, err)
			return
		}
		var ev Event
		if err := json.Unmarshal(body, &ev); err != nil {
			stream.Abort(nil)
			s.unguarded(ctx, cl, err)
			return
		}
		switch ev.Type {
		case control.EventLagged:
			present = false
		case control.EventSynced:
			if !present {
				s.noOwner(cl)
			}
			present = true
		case control.EventDisconnected:
			s.noOwner(cl)
		default:
			present = true
			if ev.Entry != nil {
				s.newOwner(cl, *ev.Entry)
			}
		}
	}
}

// Bounds of guards: how many of a session's watches they take, and how often
// the names of the others are asked for.
const (
	maxGuards = 4
	pollPause = 2 * time.Second
)

// unguarded goes on without a watch, unless it ended because there is nothing
// left to look after.
func (s *session) unguarded(ctx context.Context, cl *claim, err error) {
	if ctx.Err() == nil && !s.over() && !errors.Is(err, ShuttingDown) {
		s.log.Info("name is asked for, not watched", "name", cl.name, "err", fromServer(ctx, err))
		s.pollName(ctx, cl)
	}
}

// pollName guards a name without a watch.
func (s *session) pollName(ctx context.Context, cl *claim) {
	for sleep(ctx, pollPause) {
		var e Entry
		err := s.call(ctx, control.MethodGet, control.NameArgs{Name: cl.name}, &e)
		switch {
		case err == nil:
			s.newOwner(cl, e)
		case errors.Is(err, NotFound):
			s.noOwner(cl)
		}
	}
}

// newOwner looks at who owns a claimed name now.
func (s *session) newOwner(cl *claim, e Entry) {
	c := s.c
	c.mu.Lock()
	mine := e.Session == s.me.Session
	switch {
	case e.Epoch < cl.result.Epoch: // from before our claim
	case mine:
		cl.result.State, cl.result.Epoch, cl.result.Rev = stateOwner, e.Epoch, max(cl.result.Rev, e.Epoch)
	case cl.result.State == stateOwner && cl.args.Queue: // replaced: at the head of the line now
		cl.result.State, cl.result.Epoch = stateWaiting, 0
		s.log.Info("name replaced, waiting for it", "name", cl.name)
	case cl.result.State == stateOwner:
		c.mu.Unlock()
		c.lose(cl, control.NameTaken.With("the name was taken over by "+e.ID.String()))
		return
	}
	c.mu.Unlock()
}

// noOwner looks at a claimed name that nobody owns now.
func (s *session) noOwner(cl *claim) {
	s.c.mu.Lock()
	owner := cl.result.State == stateOwner
	s.c.mu.Unlock()
	if owner {
		s.c.lose(cl, control.NotOwner.With("the server released the name"))
	}
}
