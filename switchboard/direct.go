package switchboard

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// attemptAnswer is how long a callee may take to say where it listens.
const attemptAnswer = 5 * time.Second

// DirectQuery is what Config.Direct is asked about: a channel from one key to
// another by the name, or session id, that the caller has called.
type DirectQuery struct {
	Caller, Callee shs.PublicKey
	Name           string
}

// DirectGrant is the answer: the kinds of direct links that the channel may
// have, none if there are none, and whether it may outlive a control session
// that is gone for more than 60 s.
type DirectGrant struct {
	Kinds   []channel.Kind
	Survive bool
}

// allKinds are the kinds of direct links.
func allKinds() []channel.Kind { return []channel.Kind{channel.FD, channel.Unix, channel.Net} }

// isKind reports whether a text names one.
func isKind(s string) bool { return slices.Contains(allKinds(), channel.Kind(s)) }

// ParseKinds checks a list of kinds of direct links, "fd", "unix" and "net", as
// Config.DirectKinds takes it. The result is never nil: an empty list is none.
func ParseKinds(list []string) ([]channel.Kind, error) {
	kinds := make([]channel.Kind, 0, len(list))
	for _, text := range list {
		kind := channel.Kind(text)
		switch {
		case !isKind(text):
			return nil, fmt.Errorf("kind of link %.64q: want fd, unix or net", text)
		case slices.Contains(kinds, kind):
			return nil, fmt.Errorf("kind of link %q comes twice", kind)
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

// ParseAdvertise reads an IP address as Config.AdvertiseHost takes it: one that
// other machines may dial, so none that is loopback, link-local, multicast or
// unspecified.
func ParseAdvertise(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, fmt.Errorf("address %.64q: want an IP address, such as 192.0.2.1", s)
	}
	if a = a.Unmap(); !dialableHost(a) || a.IsLoopback() {
		return netip.Addr{}, fmt.Errorf("address %s: other machines cannot dial it", a)
	}
	return a, nil
}

// grant is what the settings allow. It must not be called with the lock held.
func (s *Server) grant(q DirectQuery) DirectGrant {
	if s.cfg.Direct == nil {
		return DirectGrant{Kinds: s.cfg.DirectKinds}
	}
	g := s.cfg.Direct(q)
	var kinds []channel.Kind
	for _, kind := range s.cfg.DirectKinds {
		if slices.Contains(g.Kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return DirectGrant{Kinds: kinds, Survive: g.Survive}
}

// secrets are the attempts of a key's sessions that may still come to a link.
type secrets []pendingSecret

type pendingSecret struct {
	channel channel.ID
	until   time.Time
}

// take notes a new one, and reports false if there are too many.
func (p *secrets) take(id channel.ID, now time.Time, l *Limits) bool {
	*p = slices.DeleteFunc(*p, func(s pendingSecret) bool { return !s.until.After(now) })
	if len(*p) >= l.Attempts {
		return false
	}
	*p = append(*p, pendingSecret{id, now.Add(l.AttemptLife)})
	return true
}

// drop forgets those of a channel.
func (p *secrets) drop(id channel.ID) {
	*p = slices.DeleteFunc(*p, func(s pendingSecret) bool { return s.channel == id })
}

// wish is what an offer asks of its callee beyond a channel over the relay.
type wish struct {
	s       *session // the caller's
	target  *session
	link    *control.LinkAsk // nil: no direct link
	require bool
	sealed  bool
	id      channel.ID
}

func (w *wish) none() bool { return w.link == nil && !w.require && !w.sealed }

var (
	errNoKind   = control.Unavailable.With("no direct link is possible between the two")
	errNoLink   = control.Unavailable.With("the callee offers no direct link")
	errNoSeal   = control.Unavailable.With("the callee does not seal channels")
	errSecrets  = control.Busy.With("too many direct links are being tried; try again soon")
	errNoMoved  = control.NotFound.With("no such channel")
	errTooMoved = control.Quota.With("too many moved channels on this session")
)

// wishFor is what a connect to target comes to. streams says that both lanes
// are on yamux.
func (s *session) wishFor(c call, target *session, id channel.ID, streams bool) (wish, error) {
	a := &c.args
	w := wish{s: s, target: target, require: a.Require, sealed: a.Sealed, id: id}
	if len(a.Direct) == 0 || !streams {
		if a.Require {
			return w, errNoKind
		}
		return w, nil
	}
	link, err := s.askLink(target, c.args.To, a.Direct, a.Resume, id)
	if err != nil && a.Require {
		return w, err
	}
	w.link = link // or none: the channel stays on the relay
	return w, nil
}

// askLink begins an attempt at a direct link to target.
func (s *session) askLink(target *session, name string, asked []string, resume int64, id channel.ID) (*control.LinkAsk, error) {
	g := s.srv.grant(DirectQuery{Caller: s.key, Callee: target.key, Name: name})
	kinds := s.srv.topology().kinds(asked, g.Kinds, s.place, target.place)
	if len(kinds) == 0 {
		return nil, errNoKind
	}
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	switch {
	case !s.srv.moved.room(s.id):
		s.srv.over.count(overMoved)
		return nil, errTooMoved
	case !s.srv.moved.room(target.id):
		return nil, errNoLink
	case !s.srv.keys[s.key].secrets.take(id, time.Now(), &s.srv.limits):
		s.srv.over.count(overAttempts)
		return nil, errSecrets
	}
	ask := &control.LinkAsk{Kinds: kinds, Survive: g.Survive}
	if slices.Contains(kinds, control.KindNet) {
		ask.Resume = resume
	}
	rand.Read(ask.Secret[:])
	if slices.Contains(kinds, control.KindUnix) {
		ask.UID = &s.place.uid
	}
	return ask, nil
}

// topology is that of the server, as far as it does not change while it serves.
func (s *Server) topology() topology {
	s.mu.Lock()
	defer s.mu.Unlock()
	return topology{advertise: s.cfg.AdvertiseHost, ports: s.ports}
}

// granted reads a callee's yes: what the caller may dial, or why the channel
// cannot be as the caller wants it.
func (w *wish) granted(answer json.RawMessage) (*control.Links, error) {
	if w.none() {
		return nil, nil
	}
	res, err := control.DecodeOfferResult(answer)
	switch {
	case w.sealed && (err != nil || !res.Sealed):
		return nil, errNoSeal
	case w.require && (err != nil || !res.Require || res.Direct == nil):
		return nil, errNoLink
	case err != nil || w.link == nil || res.Direct == nil:
		return nil, nil
	}
	links := w.s.linksTo(w.target, w.id, w.link, *res.Direct)
	if links == nil && w.require {
		return nil, errNoLink
	}
	return links, nil
}

// linksTo are what a caller may dial of a callee's answer; nil if there are none.
func (s *session) linksTo(target *session, id channel.ID, ask *control.LinkAsk, a control.LinkAnswer) *control.Links {
	links, dropped := s.srv.topology().links(ask.Kinds, a, s.place, target.place)
	if len(dropped) > 0 {
		target.log.Debug("links dropped", "kinds", dropped)
	}
	if a.FD && slices.Contains(ask.Kinds, control.KindFD) {
		if i, err := s.passPair(target, id); err == nil {
			links = slices.Insert(links, 0, control.Link{FD: &i})
		} else {
			s.log.Debug("no sockets passed", "channel", id.String(), "err", err)
		}
	}
	if len(links) == 0 {
		return nil
	}
	out := &control.Links{Secret: ask.Secret, Links: links, Survive: ask.Survive}
	if links[len(links)-1].Net != "" {
		out.Resume = a.Resume
	}
	return out
}

// offer notes which links a caller is told of. It reports false if the channel
// is over.
func (l *link) offer(links *control.Links) bool {
	l.srv.mu.Lock()
	defer l.srv.mu.Unlock()
	for _, link := range links.Links {
		if kind := kindOf(link); !slices.Contains(l.kinds, kind) {
			l.kinds = append(l.kinds, kind)
		}
	}
	l.survive = links.Survive
	return !l.closing
}

// direct serves channel.direct: another attempt at a direct link, for which the
// callee is asked.
func (s *session) direct(c *muxrpc.Call) {
	l, target, ask, err := s.beginDirect(c.Args())
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Go(func() {
		defer s.shield()
		links, err := s.tryLink(c.Context(), l, target, ask)
		if err != nil {
			s.fail(c, err)
			return
		}
		res := control.ChannelDirectResult{Direct: *links}
		s.told(c, c.ReplyJSON(control.AppendJSON(nil, &res)))
	})
}

// beginDirect checks a channel.direct, and draws its secret.
func (s *session) beginDirect(args []json.RawMessage) (*link, *session, *control.LinkAsk, error) {
	var a control.ChannelDirectArgs
	if err := control.Decode(args, &a); err != nil {
		return nil, nil, nil, err
	}
	id, err := channel.ParseID(a.Channel)
	if err != nil || a.Resume < 0 {
		return nil, nil, nil, control.BadRequest.With("channel is 32 lower-case hex digits, resume is not negative")
	}
	s.srv.mu.Lock()
	l := s.srv.links[id]
	if l == nil && a.Resume > 0 {
		if l = s.movedLinkLocked(id); l != nil {
			s.srv.mu.Unlock()
			ask, err := s.askLink(l.callee, l.name, a.Direct, a.Resume, id)
			return l, l.callee, ask, err
		}
	}
	if l == nil || l.caller != s || l.closing {
		s.srv.mu.Unlock()
		return nil, nil, nil, errNoMoved
	}
	target, streams := l.callee, l.streamsLocked()
	s.srv.mu.Unlock()
	if !streams {
		return nil, nil, nil, errNoKind
	}
	ask, err := s.askLink(target, l.name, a.Direct, a.Resume, id)
	return l, target, ask, err
}

// streamsLocked reports whether both lanes are on yamux.
func (l *link) streamsLocked() bool {
	_, a := l.a.(*mux.Stream)
	_, b := l.b.(*mux.Stream)
	return a && b && l.callee.mux != nil
}

// tryLink asks the callee to listen.
func (s *session) tryLink(ctx context.Context, l *link, target *session, ask *control.LinkAsk) (*control.Links, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, attemptAnswer, control.Timeout.With("the callee does not say where it listens"))
	defer cancel()
	s.srv.mu.Lock()
	m := target.mux
	s.srv.mu.Unlock()
	stream, err := callStream(ctx, m, control.MethodChannelLink, "async", &control.ChannelLinkArgs{Channel: l.id.String(), Direct: *ask})
	if err != nil {
		return nil, offerErrorIn(ctx, err)
	}
	stop := s.whenOver(ctx, func() { stream.Abort() })
	p, err := muxrpc.ReadPacket(stream, control.MaxServerBody)
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		stream.Abort()
		return nil, offerErrorIn(ctx, err)
	}
	stream.Close()
	if p.Req != -1 || p.Flags&muxrpc.FlagEnd != 0 {
		return nil, errNoLink
	}
	res, err := control.DecodeLinkResult(p.Body)
	if err != nil {
		return nil, errNoLink
	}
	links := s.linksTo(target, l.id, ask, res.Direct)
	if links == nil || !l.offer(links) {
		return nil, errNoLink
	}
	return links, nil
}
