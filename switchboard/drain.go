package switchboard

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// drainGrace is the part of the drain time, as its divisor, in which no channel
// is ended.
const drainGrace = 3

// drain is the stop of Serve: see there. All sessions are told at once; each ends
// when its last channel does. The channels that are left after a third of the
// time are ended one after the other, the last when the time is up, so that
// their peers do not all come to the next server at once.
func (s *Server) drain(life context.Context) {
	began := time.Now()
	s.mu.Lock()
	s.stopping = true
	close(s.quit)
	sessions := slices.Collect(maps.Values(s.sessions))
	links := slices.Collect(maps.Values(s.links))
	slices.SortFunc(links, func(a, b *link) int { // session by session, those with few channels first
		return cmp.Or(cmp.Compare(len(a.caller.links), len(b.caller.links)), cmp.Compare(a.caller.id, b.caller.id))
	})
	for w := range s.watches {
		w.endLocked(control.ShuttingDown)
	}
	s.mu.Unlock()
	s.note(audit.Event{Event: evShuttingDown, N: uint64(len(links)), Attrs: map[string]string{"sessions": strconv.Itoa(len(sessions))}})
	s.log.Info("stopping", "sessions", len(sessions), "channels", len(links), "drain", s.cfg.DrainTimeout)
	s.adm.close()
	grace, cancel := context.WithDeadline(life, began.Add(s.cfg.DrainTimeout))
	defer cancel()
	var wg sync.WaitGroup
	for _, sess := range sessions {
		wg.Go(func() { sess.noted(func() { sess.leave(grace) }) })
	}
	s.wg.Go(func() { s.spread(grace, began, links) })
	wg.Wait()
	cancel()
	s.wg.Wait()
	s.log.Info("stopped", "dur", time.Since(began).Round(time.Millisecond))
}

// spread ends channels one after the other until ctx ends. What is left to the
// last moment leave ends.
func (s *Server) spread(ctx context.Context, began time.Time, links []*link) {
	whole := s.cfg.DrainTimeout
	first := whole / drainGrace
	for i, l := range links {
		at := began.Add(first + (whole-first)*time.Duration(i+1)/time.Duration(len(links)))
		select {
		case <-time.After(time.Until(at)):
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		open := s.links[l.id] == l
		s.mu.Unlock()
		if open {
			l.caller.aside(func() { l.end(reasonStop, nil, control.ShuttingDown) })
		}
	}
}

// leave ends a session in good order: no new channels; watches hear why, open
// channels may finish, both within grace; then goodbye.
func (s *session) leave(grace context.Context) {
	idle := make(chan struct{})
	s.srv.mu.Lock()
	s.leaving = true
	s.idle = idle
	s.checkIdleLocked()
	m := s.mux
	var pending, parked []*link
	for l := range s.links {
		switch {
		case l.b == nil:
			pending = append(pending, l)
		case l.moved:
			parked = append(parked, l) // it does without its lanes
		}
	}
	rpcs := make([]*muxrpc.Session, 0, len(s.rpcs))
	for rpc := range s.rpcs {
		rpcs = append(rpcs, rpc)
	}
	s.srv.mu.Unlock()

	told := s.tellGoingAway(m != nil)
	for _, l := range pending {
		l.cancel(control.ShuttingDown)
	}
	for _, l := range parked {
		l.end(reasonStop, nil, control.ShuttingDown)
	}
	select {
	case <-idle:
	case <-grace.Done():
		s.revoke(reasonStop, control.ShuttingDown)
	case <-s.ctx.Done():
	}
	<-told
	if m != nil {
		// Not before: some libraries take a go-away for the end of all streams.
		_ = m.GoAway()
	}
	bye, cancel := context.WithTimeout(s.ctx, goodbyeTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, rpc := range rpcs {
		wg.Go(func() { s.noted(func() { _ = rpc.Goodbye(bye) }) }) // best effort: the end follows anyway
	}
	wg.Wait()
	s.kill(control.ShuttingDown)
}

// tellGoingAway calls going_away on a session. told is closed when the call is
// ahead of whatever is sent from then on, or was not taken in time.
func (s *session) tellGoingAway(quick bool) (told <-chan struct{}) {
	done := make(chan struct{})
	s.aside(func() {
		ctx, cancel := context.WithTimeout(s.ctx, goodbyeTimeout)
		defer cancel()
		wait := s.beginCall(ctx, control.MethodGoingAway, &control.GoingAwayArgs{DrainMS: s.srv.cfg.DrainTimeout.Milliseconds()})
		if quick { // yamux: it is
			close(done)
			wait()
			return
		}
		wait()
		close(done)
	})
	return done
}
