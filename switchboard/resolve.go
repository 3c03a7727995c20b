package switchboard

import (
	"context"
	"errors"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/names"
	"github.com/cad2f06c/switchboard/shs"
)

// found is what one look into the books says about a callee.
type found struct {
	epoch       uint64          // of the called name
	to          policy.Object   // by which the caller may talk
	callerNames []names.Name    // owned by the caller's key
	mux         *mux.Session    // the callee takes offers on streams, or
	control     *muxrpc.Session // on its control lane
}

// reserve resolves whom a caller means and takes a place among the callee's
// pending offers, in one step. While the places are taken it waits for one,
// and looks again: a burst of calls is served, a callee that does not answer
// costs its callers their time and then busy.
func (s *session) reserve(ctx context.Context, c call) (*session, found, error) {
	for waits := false; ; waits = true {
		target, f, free, err := s.tryReserve(c)
		if err != nil || target != nil {
			return target, f, err
		}
		if !waits {
			s.srv.over.count(overOffers)
		}
		select {
		case <-free:
		case <-ctx.Done():
			cause := context.Cause(ctx)
			if errors.Is(cause, control.Timeout) {
				cause = control.Busy.With("the callee has too many offers to answer")
			}
			return nil, found{}, cause
		}
	}
}

// tryReserve returns the callee, or a channel that is closed when a place may
// have become free, or why the call cannot be made: in the order of
// PROTOCOL.md §6.
func (s *session) tryReserve(c call) (*session, found, <-chan struct{}, error) {
	srv := s.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	target, epoch, to, err := s.resolveLocked(c)
	switch {
	case err != nil:
		return nil, found{}, nil, err
	case c.args.Key != nil && *c.args.Key != target.key:
		return nil, found{}, nil, control.PeerMismatch.With("the callee has another key")
	case c.args.Epoch != nil && *c.args.Epoch != epoch:
		return nil, found{}, nil, control.Stale.With("the name has another owner since")
	case !target.takesCallsLocked():
		return nil, found{}, nil, control.Unavailable.With("the callee takes no calls")
	}
	if target.offers >= srv.limits.Offers || target.callers[s.key] >= srv.limits.OffersPerCaller {
		if target.slotFree == nil {
			target.slotFree = make(chan struct{})
		}
		return nil, found{}, target.slotFree, nil
	}
	target.offers++
	target.callers[s.key]++
	return target, found{
		epoch:       epoch,
		to:          to,
		callerNames: srv.registry.NamesOfKey(s.key),
		mux:         target.mux,
		control:     target.control,
	}, nil, nil
}

// resolveLocked finds the session that a caller means, and by which name it may
// talk to it. A session may be called by its id only by who may talk to a name of
// it, or shares a channel with it: then there is no name.
func (s *session) resolveLocked(c call) (*session, uint64, policy.Object, error) {
	srv, r := s.srv, s.rights.Load()
	if c.name != "" {
		// Asked whether there is such a name or not, so that it takes as long.
		seen := s.sees(r, c.name)
		e, ok := srv.registry.Get(c.name)
		if !ok || !seen || srv.sessions[e.Owner.Session] == nil {
			return nil, 0, policy.Object{}, errNoName
		}
		to := srv.objectLocked(e)
		if !s.may(policy.Talk, to) {
			return nil, 0, to, errNoTalk
		}
		return srv.sessions[e.Owner.Session], e.Epoch, to, nil
	}
	target := srv.sessions[c.session]
	if target == nil {
		return nil, 0, policy.Object{}, errNoSession
	}
	for _, n := range srv.registry.NamesOf(target.id) {
		to := object(n)
		to.Owned, to.Owner = true, target.rights.Load().level()
		if r.may(policy.Talk, to) {
			return target, 0, to, nil
		}
	}
	if target.talks[s.key] > 0 || srv.moved.shares(target.id, s.key) {
		return target, 0, policy.Object{}, nil
	}
	return nil, 0, policy.Object{}, errNoSession
}

// unreserve gives the place back.
func (s *Server) unreserve(target *session, caller shs.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	target.offers--
	if target.callers[caller]--; target.callers[caller] == 0 {
		delete(target.callers, caller)
	}
	if target.slotFree != nil {
		close(target.slotFree)
		target.slotFree = nil
	}
}
