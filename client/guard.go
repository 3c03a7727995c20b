package client

import (
	"context"
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

// Why not a watch for each: a session may have 16 of them, and 16 listeners.
// Why not one watch for all: only "**" would match them, so that every change of
// the whole registry came here. Asking costs less: a key has at most 16 names.

// pollPause is how often the names without a watch are asked for.
const pollPause = 2 * time.Second

// guard looks after a listener's name, as long as the listener and the session
// live: nobody tells an owner in private that it was replaced (PROTOCOL.md §5).
// Without it a listener could wait for ever. One guard of the session has a
// watch, if the server grants it; the others ask, and try to become that one.
func (s *session) guard(l *Listener, cl *claim) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	for {
		if s.guarding.CompareAndSwap(false, true) {
			err := s.watchName(ctx, cl)
			s.guarding.Store(false)
			if ctx.Err() == nil {
				s.log.Debug("name is asked for, not watched", "name", cl.name, "err", err)
			}
		}
		if !sleep(ctx, pollPause) {
			return
		}
		s.askName(ctx, cl)
	}
}

// watchName guards a name until its watch ends.
func (s *session) watchName(ctx context.Context, cl *claim) error {
	stream, err := s.ctl.Open(ctx, "source", control.MethodWatch, control.WatchArgs{Match: cl.name})
	if err != nil {
		return fromServer(ctx, err)
	}
	present := false
	for {
		body, _, err := stream.Recv(ctx)
		var ev Event
		if err == nil {
			ev, err = event(body)
		}
		if err != nil {
			stream.Abort(nil)
			return fromServer(ctx, err)
		}
		switch ev.Type {
		case control.EventLagged:
			present = false
		case control.EventSynced:
			if !present {
				s.noOwner(cl, ev.Rev)
			}
		case control.EventDisconnected:
			present = false
			s.noOwner(cl, ev.Rev)
		default:
			present = true
			if ev.Entry != nil {
				s.newOwner(cl, *ev.Entry)
			}
		}
	}
}

// askName guards a name for this once.
func (s *session) askName(ctx context.Context, cl *claim) {
	s.c.mu.Lock()
	before := cl.result.Rev // what is claimed after the question is not in the answer
	s.c.mu.Unlock()
	var e Entry
	err := s.call(ctx, control.MethodGet, control.NameArgs{Name: cl.name}, &e)
	switch {
	case err == nil:
		s.newOwner(cl, e)
	case errors.Is(err, NotFound):
		s.noOwner(cl, before)
	}
}

// newOwner looks at who owns a claimed name now.
func (s *session) newOwner(cl *claim, e Entry) {
	c := s.c
	c.mu.Lock()
	lost, queued := false, false
	switch owner := cl.result.State == stateOwner; {
	case cl.in != s || e.Epoch < cl.result.Epoch: // from before our claim
	case e.Session == s.me.Session:
		cl.result.State, cl.result.Epoch, cl.result.Rev = stateOwner, e.Epoch, max(cl.result.Rev, e.Epoch)
	case owner && cl.args.Queue: // replaced: at the head of the line now
		cl.result.State, cl.result.Epoch, queued = stateWaiting, 0, true
	case owner:
		lost = c.dropLocked(cl)
	}
	c.mu.Unlock()
	if queued {
		s.log.Info("name replaced, waiting for it", "name", cl.name)
	}
	if lost {
		c.mourn(cl, control.NameTaken.With("the name was taken over by "+e.ID.String()))
	}
}

// noOwner looks at a claimed name that nobody owned at rev.
func (s *session) noOwner(cl *claim, rev uint64) {
	c := s.c
	c.mu.Lock()
	since := cl.in != s || cl.result.Rev > rev // it was claimed
	lost := cl.result.State == stateOwner && !since && c.dropLocked(cl)
	c.mu.Unlock()
	if lost {
		c.mourn(cl, control.NotOwner.With("the server released the name"))
	}
}
