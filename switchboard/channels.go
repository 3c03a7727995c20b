package switchboard

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/control"
)

// reasonClosed is what the ends of a channel are told that was closed without a
// reason.
const reasonClosed = "closed"

// CloseChannel ends a channel, relayed or moved to a direct link. Both ends are
// called channel.close with the reason, "closed" if it is empty; what is over 256
// bytes of it is cut. A relayed channel is reset behind that. A direct one only
// its ends can end; an end that has no session at the moment is told so when it
// comes back. It does not wait for the ends. The error is ErrNoChannel if there
// is no such channel, or it is being closed. Safe for concurrent use.
func (s *Server) CloseChannel(id channel.ID, reason string) error {
	if reason = tame(reason); reason == "" {
		reason = reasonClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return ErrNoChannel // all relayed ones end, and nobody can be told of others
	}
	l := s.links[id]
	tell, ok := s.moved.close(id, reason)
	s.tellLocked(tell)
	if l != nil && (ok || !l.moved && !l.closing) {
		l.caller.aside(func() { l.end(reason, nil, context.Canceled) })
		return nil
	}
	if !ok {
		return ErrNoChannel
	}
	return nil
}

// admin reports whether the session is an administrator's.
func (s *session) admin() bool { return s.rights.Load().admin() }

var errNoAdmin = control.NotAllowed.With("this is for administrators")

// closeChannel serves channels.close.
func (s *session) closeChannel(a control.ChannelCloseArgs) (bool, error) {
	if err := s.administers(control.MethodChannelsClose); err != nil {
		return false, err
	}
	id, err := channel.ParseID(a.Channel)
	if err != nil {
		return false, control.BadRequest.With("channel is 32 lower-case hex digits")
	}
	if !s.srv.hasChannel(id) {
		return false, errNoMoved
	}
	if err := s.commit(audit.Event{Event: evChannelClosed, Channel: id.String(), Reason: tame(a.Reason)}); err != nil {
		return false, err
	}
	if err := s.srv.CloseChannel(id, a.Reason); err != nil {
		return false, errNoMoved
	}
	return true, nil
}

// hasChannel reports whether there is such a channel.
func (s *Server) hasChannel(id channel.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[id] != nil || s.moved.channels[id] != nil
}

// channels serves channels.list.
func (s *session) channels(a control.ChannelsListArgs) (control.ChannelsList, error) {
	if a.All {
		if err := s.administers(control.MethodChannelsList); err != nil {
			return control.ChannelsList{}, err
		}
	}
	var all []control.ChannelInfo
	s.srv.mu.Lock()
	if a.All {
		all = s.srv.everyChannelLocked(a.After)
	} else {
		all = s.srv.channelsOfLocked(s, a.After)
	}
	s.srv.mu.Unlock()
	slices.SortFunc(all, func(x, y control.ChannelInfo) int { return strings.Compare(x.Channel, y.Channel) })
	return page(all, control.MaxPeerBody-pageRoom), nil
}

// page is as much of a sorted list as has room.
func page(all []control.ChannelInfo, room int) control.ChannelsList {
	shown, more := fitting(all, room)
	return control.ChannelsList{Channels: shown, More: more}
}

// everyChannelLocked lists the channels behind an id.
func (s *Server) everyChannelLocked(after string) (all []control.ChannelInfo) {
	for id, l := range s.links {
		if !l.moved && behindID(id, after) {
			all = append(all, l.infoLocked())
		}
	}
	for id, m := range s.moved.channels {
		if behindID(id, after) {
			all = append(all, m.info())
		}
	}
	return all
}

// channelsOfLocked lists those that have an end at a session of this one's key.
func (s *Server) channelsOfLocked(of *session, after string) (all []control.ChannelInfo) {
	seen := make(map[channel.ID]struct{})
	see := func(id channel.ID) bool {
		_, twice := seen[id]
		seen[id] = struct{}{}
		return !twice && behindID(id, after)
	}
	for _, sess := range s.sessions {
		if sess.key != of.key {
			continue
		}
		for l := range sess.links {
			if l.b != nil && !l.moved && see(l.id) {
				all = append(all, l.infoLocked())
			}
		}
		for id := range s.moved.of[sess.id] {
			if see(id) {
				all = append(all, s.moved.channels[id].info())
			}
		}
	}
	return all
}

// behindID reports whether an id comes behind the text of one.
func behindID(id channel.ID, after string) bool {
	return after == "" || bytes.Compare([]byte(id.String()), []byte(after)) > 0
}

func (l *link) infoLocked() control.ChannelInfo {
	in, out := l.pipe.Counts()
	return control.ChannelInfo{
		Channel: l.id.String(), Name: l.name, State: control.StateRelayed, In: in, Out: out, Since: l.since.UnixMilli(),
		Caller: control.ChannelEnd{ID: l.caller.key, Session: l.caller.name()},
		Callee: control.ChannelEnd{ID: l.callee.key, Session: l.callee.name()},
	}
}

func (m *moved) info() control.ChannelInfo {
	return control.ChannelInfo{
		Channel: m.id.String(), Name: m.name, State: control.StateDirect, Link: m.kind, In: m.in, Out: m.out, Since: m.since.UnixMilli(),
		Caller: m.ends[roleCaller].info(), Callee: m.ends[roleCallee].info(),
	}
}

func (e *movedEnd) info() control.ChannelEnd {
	end := control.ChannelEnd{ID: e.key}
	if e.session != 0 {
		end.Session = control.FormatSession(e.session)
	}
	return end
}
