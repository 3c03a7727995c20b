package switchboard

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
	"github.com/cad2f06c/switchboard/shs"
)

// What is written down where, one function an event.

// ofKey is why a proven key could not log in.
type ofKey struct {
	key shs.PublicKey
	err error
}

func (e ofKey) Error() string { return "key " + e.key.String() + ": " + e.err.Error() }
func (e ofKey) Unwrap() error { return e.err }

func (s *Server) noteStarted() {
	if !s.audited() {
		return
	}
	rules := s.rules.Load()
	s.note(audit.Event{Event: evStarted, N: uint64(rules.source.Keys()), Attrs: map[string]string{"policy": rules.policy.ID(), "version": s.cfg.Version}})
}

// noteRefused writes down a connection that came to no session. Who floods is
// counted by where it comes from: a key costs it nothing.
func (s *Server) noteRefused(conn net.Conn, o origin, err error) {
	if !s.audited() {
		return
	}
	e := audit.Event{Event: evLoginRefused, Source: placeOf(o, conn).source().String(), Decision: decisionDenied, Reason: err.Error()}
	if k, ok := errors.AsType[ofKey](err); ok {
		e.Peer, e.Reason = k.key.String(), k.err.Error()
	}
	if o.transport == transportUnix {
		e.Unix, e.UID, e.PID = true, int(o.uid), int(o.pid)
	}
	s.note(e)
}

func (s *Server) noteBarred(src source, why outcome, d time.Duration) {
	s.note(audit.Event{Event: evPenalty, Source: src.String(), Reason: why.Error(), Dur: d})
}

func (s *session) noteLogin(mode string) {
	if !s.srv.audited() {
		return
	}
	r := s.rights.Load()
	e := audit.Event{Event: evLogin, Decision: "allowed", Attrs: map[string]string{"transport": s.transport, "mode": mode, "level": r.level().String()}}
	if s.process.Started > 0 {
		e.Attrs["pid_started"] = strconv.FormatUint(s.process.Started, 10)
	}
	if r.grant != nil {
		e.Rule = r.grant.Rule().String()
	}
	s.note(e)
}

func (s *session) noteEnd(err error) {
	e := audit.Event{Event: evSessionEnd, Dur: time.Since(s.began)}
	if !cleanEnd(err) {
		e.Reason = err.Error()
	}
	s.note(e)
}

// noteName writes down a change of a name that a session has asked for.
func (s *session) noteName(event, text string, epoch uint64, state string) {
	if !s.srv.audited() {
		return
	}
	o, err := readName(s.rights.Load().tenant(), text)
	if err != nil {
		return // it cannot be: the registry has taken it
	}
	e := audit.Event{Event: event, Name: string(o.Name), Tenant: policy.TenantText(o.Tenant), N: epoch}
	if state != "" {
		e.Attrs = map[string]string{"state": state}
	}
	s.note(e)
}

// failedClaim writes down a claim that came to nothing for another reason than
// the rules, which may has written.
func (s *session) failedClaim(name string, err error) {
	if errors.Is(err, errNoOwn) || !s.srv.audited() {
		return
	}
	e := audit.Event{Event: evClaimFailed, Name: name, Reason: control.ToWire(err).Name}
	if errors.Is(err, names.ErrTaken) || errors.Is(err, names.ErrReserved) {
		e.Decision = decisionDenied
	}
	s.note(e)
}

// sees is rights.sees of what the session has named, and writes a no down:
// whether there is such a name or not, so that it takes as long.
func (s *session) sees(r *rights, n names.Name) bool {
	if r.sees(n) {
		return true
	}
	if s.srv.audited() {
		s.may(policy.See, object(n))
	}
	return false
}

// called is the name of a channel as the log has it.
func called(to policy.Object, name string) (string, string) {
	if to.Name == "" {
		return name, ""
	}
	return string(to.Name), policy.TenantText(to.Tenant)
}

func (l *link) noteOpen() {
	s := l.caller
	s.srv.counts.opened.Add(1)
	if !s.srv.audited() {
		return
	}
	e := audit.Event{Event: evOpen, Channel: l.id.String(), Peer: l.callee.keyText, Target: l.callee.name()}
	e.Name, e.Tenant = called(l.to, l.name)
	s.note(e)
}

// noteClose writes down the end of a channel over the server. One that has moved
// goes on.
func (l *link) noteClose(began time.Time, err error) {
	s := l.caller
	in, out := l.pipe.Counts()
	s.srv.counts.bytes.Add(in + out)
	if !s.srv.audited() {
		return
	}
	s.srv.mu.Lock()
	to, callee, moved := l.to, l.callee, l.moved
	s.srv.mu.Unlock()
	if moved {
		return
	}
	e := audit.Event{Event: evClose, Channel: l.id.String(), Peer: callee.keyText, Bytes: in + out, Dur: time.Since(began)}
	e.Name, e.Tenant = called(to, l.name)
	if err != nil && err != io.EOF {
		e.Reason = l.reasonOf(err).String()
	}
	s.note(e)
}

// noteMovedLocked writes down that a channel has gone over to a link.
func (l *link) noteMovedLocked(kind string) {
	l.srv.counts.moved.Add(1)
	if !l.srv.audited() {
		return
	}
	e := audit.Event{Event: evMoved, Channel: l.id.String(), Peer: l.callee.keyText, Attrs: map[string]string{"link": kind}}
	e.Name, e.Tenant = called(l.to, l.name)
	l.caller.note(e)
}

// noteForgotten writes down the end of a channel that has moved: bytes is what its
// ends have said, or else what the server has seen.
func (s *Server) noteForgotten(m *moved) {
	if !s.audited() {
		return
	}
	e := audit.Event{
		Event: evClose, Actor: m.ends[roleCaller].key.String(), Peer: m.ends[roleCallee].key.String(), Channel: m.id.String(),
		Bytes: max(m.said, m.in+m.out), Dur: time.Since(m.since), Reason: m.why, Attrs: map[string]string{"link": m.kind},
	}
	e.Name, e.Tenant = called(m.to, m.name)
	s.note(e)
}

// noteRules writes down how rules differ from those before.
func (s *Server) noteRules(old, now *rules) {
	if !s.audited() {
		return
	}
	s.note(audit.Event{Event: evPolicy, N: uint64(now.source.Keys()), Attrs: map[string]string{"from": old.policy.ID(), "to": now.policy.ID()}})
	for _, d := range now.source.differences(old.source) {
		s.note(d)
	}
}

// through is closed, and keeps what the end has said.
func (b *movedBooks) through(id channel.ID, s *session, a control.ChannelClosedArgs) bool {
	m := b.channels[id]
	if m == nil {
		return false
	}
	said, why := m.said, m.why
	m.said, m.why = max(said, a.Sent+a.Received), tame(a.Reason)
	if !b.closed(id, s.id, s.key) { // it has no end of it
		m.said, m.why = said, why
		return false
	}
	return true
}

// differences are the events that lead from the lines of one policy to those of
// another.
func (p *Policy) differences(before *Policy) (all []audit.Event) {
	keys := make(map[shs.PublicKey]struct{})
	for _, lines := range []map[shs.PublicKey]*policy.Peer{p.lines, before.lines} {
		for key := range lines {
			keys[key] = struct{}{}
		}
	}
	add := func(event string, key shs.PublicKey, what string, attrs map[string]string) {
		all = append(all, audit.Event{Event: event, Target: key.String(), Reason: what, Attrs: attrs})
	}
	for _, key := range slices.SortedFunc(maps.Keys(keys), func(a, b shs.PublicKey) int { return slices.Compare(a[:], b[:]) }) {
		was, is := before.lines[key], p.lines[key]
		switch {
		case was == nil:
			add(evPermissions, key, "added", map[string]string{"level": p.levelOf(is), "rights": rightsText(is)})
			continue
		case is == nil:
			add(evPermissions, key, "removed", nil)
			continue
		}
		if from, to := before.levelOf(was), p.levelOf(is); from != to {
			add(evTrustLevel, key, "", map[string]string{"from": from, "to": to})
		}
		if from, to := rightsText(was), rightsText(is); from != to {
			add(evPermissions, key, "changed", map[string]string{"from": from, "to": to})
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(p.cfg.Revoked), func(a, b policy.Key) int { return slices.Compare(a[:], b[:]) }) {
		if _, before := before.cfg.Revoked[key]; !before {
			add(evRevoked, shs.PublicKey(key), "", nil)
		}
	}
	return all
}

// levelOf is the level of a line.
func (p *Policy) levelOf(line *policy.Peer) string {
	if line.HasLevel {
		return line.Level.String()
	}
	return p.cfg.Listed.String()
}

// rightsText is what a line gives beside its level, as it stands there.
func rightsText(line *policy.Peer) string {
	var b strings.Builder
	for _, o := range []struct {
		name string
		list []policy.Pattern
	}{{"own", line.Own}, {"see", line.See}, {"talk", line.Talk}} {
		for i, p := range o.list {
			if i == 0 {
				b.WriteString(" " + o.name + "=")
			} else {
				b.WriteByte(',')
			}
			b.WriteString(p.String())
		}
	}
	if line.Tenant != "" {
		b.WriteString(" tenant=" + line.Tenant)
	}
	if line.Admin {
		b.WriteString(" admin")
	}
	if line.Rate != (policy.Rate{}) {
		fmt.Fprintf(&b, " rate=%d/%d", line.Rate.N, line.Rate.Seconds)
	}
	return strings.TrimPrefix(b.String(), " ")
}
