package switchboard

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/policy"
)

// reasonRevoked ends a moved channel that the rules no longer allow.
const reasonRevoked = "revoked"

// notePorts notes the TCP ports that the server listens on: no callee may send
// a caller there.
func (s *Server) notePorts(lns []net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ln := range lns {
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
			s.ports = append(s.ports, uint16(tcp.Port))
		}
	}
}

// movedOver serves channel.moved: a channel leaves the relay. What its lanes do
// from there on concerns nobody.
func (s *session) movedOver(a control.ChannelMovedArgs) (bool, error) {
	id, err := channel.ParseID(a.Channel)
	if err != nil || !isKind(a.Link) {
		return false, control.BadRequest.With("channel is 32 lower-case hex digits, link is fd, unix or net")
	}
	srv := s.srv
	srv.mu.Lock()
	l := srv.links[id]
	switch {
	case l == nil || l.caller != s || l.closing || !slices.Contains(l.kinds, a.Link):
		err = errNoMoved
	case l.moved: // parked, and on another link now
		if m := srv.moved.channels[id]; m != nil {
			m.kind = a.Link
		}
	case !srv.moved.room(s.id) || !srv.moved.room(l.callee.id):
		srv.over.count(overMoved)
		err = errTooMoved
	default:
		l.moved = true
		l.noteMovedLocked(a.Link)
		srv.tellLocked(srv.moved.enter(time.Now(), l.asMovedLocked(a.Link)))
		srv.rouse()
	}
	srv.dropSecretsLocked(s.key, id)
	srv.mu.Unlock()
	if err == nil {
		srv.unnamed.over(id)
	}
	if err != nil {
		return false, err
	}
	if !a.Resume {
		abort(l.a, mux.ReasonNone)
		abort(l.b, mux.ReasonNone)
	}
	return true, nil
}

// movedLinkLocked is what an attempt needs to know of a channel that has moved
// and lost its lanes, of which this session is the caller; nil if there is none.
func (s *session) movedLinkLocked(id channel.ID) *link {
	m := s.srv.moved.channels[id]
	if m == nil || m.closing {
		return nil
	}
	caller, callee := &m.ends[roleCaller], &m.ends[roleCallee]
	if caller.state != endBound || caller.session != s.id || callee.state != endBound {
		return nil
	}
	target := s.srv.sessions[callee.session]
	if target == nil || target.mux == nil || s.mux == nil {
		return nil
	}
	return &link{srv: s.srv, id: id, name: m.name, caller: s, callee: target, moved: true}
}

// asMovedLocked is the channel as the books of moved ones have it. A session
// that has ended just now stands for nothing any more.
func (l *link) asMovedLocked(kind string) *moved {
	m := &moved{id: l.id, name: l.name, to: l.to, since: l.since, kind: kind, survive: l.survive}
	m.in, m.out = l.pipe.Counts()
	for r, sess := range []*session{l.caller, l.callee} {
		e := &m.ends[r]
		e.key, e.far, e.session = sess.key, sess.transport == transportNet, sess.id
		if sess.ended {
			e.state, e.session = endAway, 0
		}
	}
	if l.early {
		m.ends[roleCallee].state, m.ends[roleCallee].session = endDone, 0
	}
	return m
}

// endClosed serves channel.closed. The callee may be through before the caller
// has said channel.moved.
func (s *session) endClosed(a control.ChannelClosedArgs) (bool, error) {
	id, err := channel.ParseID(a.Channel)
	if err != nil || a.Sent < 0 || a.Received < 0 {
		return false, control.BadRequest.With("channel is 32 lower-case hex digits, sent and received are not negative")
	}
	srv := s.srv
	srv.mu.Lock()
	ok := srv.moved.through(id, s, a)
	if l := srv.links[id]; !ok && l != nil && l.callee == s && !l.moved && !l.early && len(l.kinds) > 0 {
		l.early, ok = true, true
	}
	srv.mu.Unlock()
	if !ok {
		return false, errNoMoved
	}
	s.log.Debug("an end of a moved channel is over", "channel", a.Channel, "reason", tame(a.Reason), "sent", a.Sent, "received", a.Received)
	return true, nil
}

// adopt serves channel.adopt: a new session takes the ends of moved channels
// that an earlier one of its key had, of this server or of one before it.
func (s *session) adopt(a control.AdoptArgs) (control.AdoptResult, error) {
	res := control.AdoptResult{Keep: []string{}, Drop: []string{}}
	all := make([]adoption, len(a.Channels))
	for i, c := range a.Channels {
		id, err := channel.ParseID(c.Channel)
		if err != nil || c.Role != control.RoleCaller && c.Role != control.RoleCallee || !isKind(c.Link) {
			return res, control.BadRequest.With("an entry has a channel, the key of its peer, a role and a link")
		}
		all[i] = adoption{id: id, peer: c.Peer, name: c.Name, kind: c.Link, session: s.id, key: s.key, far: s.transport == transportNet}
		if c.Role == control.RoleCallee {
			all[i].role = roleCallee
		}
	}
	for i := range all {
		kept, err := s.adoptOne(all[i])
		if err != nil {
			return res, err
		}
		if kept {
			res.Keep = append(res.Keep, a.Channels[i].Channel)
		} else {
			res.Drop = append(res.Drop, a.Channels[i].Channel)
		}
	}
	return res, nil
}

// adoptOne asks the rules anew, of what the books know rather than of what the
// session says.
func (s *session) adoptOne(a adoption) (kept bool, err error) {
	srv := s.srv
	q := DirectQuery{Caller: a.key, Callee: a.peer, Name: a.name}
	if a.role == roleCallee {
		q.Caller, q.Callee = a.peer, a.key
	}
	kind := a.kind
	srv.mu.Lock()
	if m := srv.moved.channels[a.id]; m != nil {
		q.Name, kind = m.name, m.kind
	}
	srv.mu.Unlock()
	a.to = s.adopted(a)
	g := srv.grant(q)
	a.survive = g.Survive

	srv.mu.Lock()
	defer srv.mu.Unlock()
	l := srv.links[a.id]
	switch {
	case s.leaving:
		return false, control.ShuttingDown
	case !slices.Contains(g.Kinds, channel.Kind(kind)) || !srv.allowsLocked(a):
		srv.tellLocked(srv.moved.deny(a, reasonRevoked))
		return false, nil
	case l != nil && !l.moved: // it is on the relay
		return false, nil
	}
	if srv.moved.full(s.id, a.id) {
		srv.over.count(overMoved)
	}
	kept = srv.moved.adopt(time.Now(), a)
	srv.rouse()
	return kept, nil
}

// adopted is what the caller of an adopted channel says that it has called. Of a
// callee it is not known how its caller writes names.
func (s *session) adopted(a adoption) policy.Object {
	if a.role != roleCaller {
		return policy.Object{}
	}
	to, err := readName(s.rights.Load().tenant(), a.name)
	if err != nil {
		return policy.Object{} // a session of a server before this one
	}
	return to
}

// allowsLocked asks the rules of now about a channel that a session adopts: of
// one that the books have what they know counts.
func (s *Server) allowsLocked(a adoption) bool {
	r := s.rules.Load()
	if m := s.moved.channels[a.id]; m != nil {
		if m.to.Name == "" && m.fits(a) {
			m.to = a.to
		}
		return r.allows(m)
	}
	m := &moved{to: a.to}
	m.ends[a.role] = movedEnd{key: a.key, far: a.far}
	m.ends[a.role.other()] = movedEnd{key: a.peer, far: true}
	if _, err := r.policy.Authenticate(a.peer, policy.Far); err != nil {
		m.ends[a.role.other()].far = false // it may come from here
	}
	return r.allows(m)
}

// rouse makes expireMoved look again.
func (s *Server) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// expireMoved ends the moved channels an end of which stays away. It returns
// when ctx ends: a server that stops leaves them alone.
func (s *Server) expireMoved(ctx context.Context) {
	timer := time.NewTimer(s.limits.DirectLease)
	defer timer.Stop()
	for {
		s.mu.Lock()
		now := time.Now()
		s.tellLocked(s.moved.expire(now))
		next := s.moved.next()
		s.mu.Unlock()
		wait := (<-chan time.Time)(nil)
		if !next.IsZero() {
			timer.Reset(next.Sub(now))
			wait = timer.C
		}
		select {
		case <-wait:
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// tellLocked tells sessions that moved channels of theirs end, each by itself. Serve
// waits for the caller.
func (s *Server) tellLocked(notices []notice) {
	for _, n := range notices {
		if sess := s.sessions[n.session]; sess != nil {
			sess.aside(func() { sess.notify(n.id, n.reason) })
		}
	}
}

// goodbyes tells a session that is about to be ended of its moved channels, and
// waits until it has heard, or for a moment.
func (s *session) goodbyes(notices []notice) {
	ctx, cancel := context.WithTimeout(s.ctx, revokeTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, n := range notices {
		if n.session == s.id {
			wg.Go(func() { s.noted(func() { s.beginNotice(ctx, n.id, n.reason)() }) })
		}
	}
	wg.Wait()
}
