package switchboard

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
	"github.com/cad2f06c/switchboard/shs"
)

// SetPolicy replaces the policy while the server runs, in one step. Sessions that
// are no longer admitted end, with their names and channels; names whose owner
// may not own them any more are released; watches see names come and go as they
// begin and cease to exist for their peer; channels whose caller may not talk to
// the called name any more end at both ends with the reason "revoked", those that
// have moved to a direct link as far as their peers do as they are told. All this
// is under way when SetPolicy returns, and done within a second. Nobody else
// notices. Safe for concurrent use.
func (s *Server) SetPolicy(p *Policy) error {
	_, err := s.setPolicy(p, nil)
	return err
}

// amendPolicy puts in force what next makes of the policy in force. If that has been
// replaced meanwhile, next is asked again: no change is lost to another.
func (s *Server) amendPolicy(next func(*Policy) (*Policy, error)) error {
	for {
		now := s.rules.Load()
		p, err := next(now.source)
		if err != nil {
			return err
		}
		if done, err := s.setPolicy(p, now); done || err != nil {
			return err
		}
	}
}

// setPolicy is SetPolicy, but does nothing if the rules are no longer those that were
// expected.
func (s *Server) setPolicy(p *Policy, expected *rules) (done bool, err error) {
	made, err := p.bind(s.key)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	if expected != nil && s.rules.Load() != expected {
		s.mu.Unlock()
		return false, nil
	}
	s.ruled.tell()
	old := s.rules.Swap(made)
	if old.policy.ID() != made.policy.ID() {
		s.noteRules(old, made)
	}
	if s.stopping && len(s.sessions) == 0 || old.policy.ID() == made.policy.ID() {
		s.newRightsLocked() // of those that come to the same
		s.mu.Unlock()
		return true, nil // or Serve may have returned
	}
	s.wg.Add(1) // what kill starts is waited for by Serve
	defer s.wg.Done()
	before, out := s.newRightsLocked()
	var entries []*names.Entry
	s.newRev, entries = s.registry.Snapshot(time.Now())
	s.showLocked(before, entries)
	s.disownLocked(out)
	parted := s.partedLocked(made)
	s.breakLocked(parted)
	mine := s.revokeMovedLocked(made, out, parted)
	s.mu.Unlock()
	for sess, notices := range mine {
		sess.revokeKey(notices)
	}
	return true, nil
}

// newRightsLocked gives all sessions their rights by the rules of now. It returns
// those that they had, and who has none any more.
func (s *Server) newRightsLocked() (before map[*session]*rights, out []*session) {
	before = make(map[*session]*rights, len(s.sessions))
	for _, sess := range s.sessions {
		was := sess.rights.Load()
		before[sess] = was
		if was.grant == nil {
			continue // it ends already
		}
		sess.beginRightsLocked()
		if sess.rights.Load().grant == nil {
			out = append(out, sess)
		}
	}
	slices.SortFunc(out, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	for w := range s.watches {
		if tenant := w.sess.rights.Load().tenant(); tenant != w.tenant {
			s.matchers.remove(w.tenant, w.match, w)
			w.tenant = tenant
			s.matchers.add(w.tenant, w.match, w)
		}
	}
	return before, out
}

// showLocked tells watches of the names that have begun or ceased to exist for
// their peers.
func (s *Server) showLocked(before map[*session]*rights, entries []*names.Entry) {
	changed := make(map[*session]bool)
	for w := range s.watches {
		was, is := before[w.sess], w.sess.rights.Load()
		if was == nil || is.grant == nil {
			continue
		}
		differs, known := changed[w.sess]
		if !known {
			differs = !sameView(was, is)
			changed[w.sess] = differs
		}
		if !differs {
			continue
		}
		for _, e := range entries {
			w.showLocked(was, is, e, s.newRev)
		}
	}
}

// showLocked tells a watch of one name, if that has begun or ceased to exist for
// it, or is written otherwise.
func (w *watch) showLocked(was, is *rights, e *names.Entry, rev uint64) {
	saw, sees := w.covers(was, e.Name), w.covers(is, e.Name)
	renamed := saw && sees && was.text(e.Name) != is.text(e.Name)
	if saw && (!sees || renamed) {
		gone := &names.Change{Rev: rev, Kind: names.Disconnected, Name: e.Name,
			Was: &names.Was{Key: e.Key, Session: e.Session, Epoch: e.Epoch}}
		ev := newEvent(gone)
		w.pushLocked(told{ev, was.formFor(ev)})
	}
	if sees && (!saw || renamed) {
		ev := newEvent(&names.Change{Rev: rev, Kind: names.Connected, Name: e.Name, Entry: e})
		w.pushLocked(told{ev, is.formFor(ev)})
	}
}

// disownLocked releases the names, and the places in lines, of sessions that end
// and of those that may not own them any more. All waits go first: no name is
// handed to who may not own it. None is held for who may not come back.
func (s *Server) disownLocked(out []*session) {
	now := time.Now()
	for _, sess := range s.sessions {
		for _, n := range s.registry.WaitsOf(sess.id) {
			s.disownOneLocked(now, sess, n)
		}
	}
	for _, sess := range s.sessions {
		for _, n := range s.registry.NamesOf(sess.id) {
			s.disownOneLocked(now, sess, n)
		}
	}
	for _, sess := range out {
		sess.leaving = true
	}
}

func (s *Server) disownOneLocked(now time.Time, sess *session, n names.Name) {
	if sess.rights.Load().may(policy.Own, object(n)) {
		return
	}
	_, changes, err := s.registry.Release(now, sess.id, n)
	if err == nil { // it cannot fail: it owns the name or waits
		s.publishLocked(changes, 0)
	}
}

// allowedLocked says why the caller of a channel may not have it, if it may not.
func (l *link) allowedLocked() error {
	r := l.caller.rights.Load()
	if l.to.Name == "" {
		return nil // it calls back: see breakLocked
	}
	to := l.to
	to.Owner = l.offered.rights.Load().level()
	switch {
	case r.may(policy.Talk, to):
		return nil
	case r.may(policy.See, to):
		return errNoTalk
	}
	return errNoName
}

// couple are two keys that share a channel.
type couple [2]shs.PublicKey

func coupleOf(a, b shs.PublicKey) couple {
	if slices.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return couple{a, b}
}

// partedLocked are the couples that lose the last channel by a name between them, to
// the rules: what calls back goes with it, whether either is relayed or has moved.
func (s *Server) partedLocked(r *rules) map[couple]bool {
	parted, kept := make(map[couple]bool), make(map[couple]bool)
	note := func(caller, callee shs.PublicKey, allowed bool) {
		if both := coupleOf(caller, callee); allowed {
			kept[both] = true
		} else {
			parted[both] = true
		}
	}
	for _, l := range s.links {
		if l.to.Name != "" && !l.moved && !l.closing {
			note(l.caller.key, l.callee.key, l.allowedLocked() == nil)
		}
	}
	for _, m := range s.moved.channels {
		if m.to.Name != "" && !m.closing {
			note(m.ends[roleCaller].key, m.ends[roleCallee].key, r.allows(m))
		}
	}
	maps.DeleteFunc(parted, func(both couple, _ bool) bool { return kept[both] })
	return parted
}

// breakLocked ends the channels over the server that the rules no longer allow, and
// what calls back between those who are parted.
func (s *Server) breakLocked(parted map[couple]bool) {
	for _, l := range s.links {
		if l.moved || l.closing {
			continue
		}
		if l.allowedLocked() != nil || l.to.Name == "" && parted[coupleOf(l.caller.key, l.callee.key)] {
			l.caller.aside(func() { l.end(reasonRevoked, nil, errNoTalk) })
		}
	}
}

// revokeMovedLocked ends the moved channels that the rules no longer allow. It
// returns who ends, and what each of these has to be told before.
func (s *Server) revokeMovedLocked(r *rules, out []*session, parted map[couple]bool) map[*session][]notice {
	mine := make(map[*session][]notice, len(out))
	for _, sess := range out {
		mine[sess] = nil
	}
	var others []notice
	lost := func(m *moved) bool {
		return !r.allows(m) || m.callsBack() && parted[coupleOf(m.ends[roleCaller].key, m.ends[roleCallee].key)]
	}
	for _, n := range s.moved.revoke(lost, reasonRevoked) {
		if sess := s.sessions[n.session]; sess != nil && sess.rights.Load().grant == nil {
			mine[sess] = append(mine[sess], n)
		} else {
			others = append(others, n)
		}
	}
	s.tellLocked(others)
	return mine
}

// allows reports whether the rules allow a moved channel: both ends may come, and
// the caller may talk to the callee.
func (r *rules) allows(m *moved) bool {
	caller, callee := &m.ends[roleCaller], &m.ends[roleCallee]
	rights, err := r.admit(caller.key, caller.origin())
	if err != nil {
		return false
	}
	theirs, err := r.admit(callee.key, callee.origin())
	if err != nil {
		return false
	}
	if m.to.Name == "" {
		return true
	}
	to := m.to
	to.Owned, to.Owner = true, theirs.level()
	return rights.may(policy.Talk, to)
}

// callsBack reports whether a moved channel has called a session, by no right of its
// own: of one whose name nobody knows yet it is not so.
func (m *moved) callsBack() bool {
	_, session := control.ParseSession(m.name)
	return m.to.Name == "" && session
}

// origin is where an end's last session came from.
func (e *movedEnd) origin() policy.Origin {
	if e.far {
		return policy.Far
	}
	return policy.Local
}

// revokeKey ends a session whose key is out, and its channels. Those that have
// moved only its peer can end, so it is told of them first.
func (s *session) revokeKey(notices []notice) {
	if len(notices) == 0 {
		s.kill(errRevoked)
		return
	}
	for _, l := range s.openLinks() {
		s.aside(func() { l.end(reasonGone, s, errRevoked) })
	}
	s.aside(func() {
		defer s.kill(errRevoked)
		s.goodbyes(notices)
	})
}
