package client

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
)

// kindsOf returns which of the asked kinds we serve, as a callee or a caller.
func (s *session) kindsOf(asked []string) []channel.Kind {
	var kinds []channel.Kind
	for _, k := range s.kinds() {
		if slices.Contains(asked, string(k)) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// kinds are the kinds of links that this client makes, in order.
func (c *Client) kinds() []channel.Kind {
	all := []channel.Kind{channel.FD, channel.Unix, channel.Net}
	if c.cfg.DirectKinds == nil {
		return all
	}
	return slices.DeleteFunc(all, func(k channel.Kind) bool { return !slices.Contains(c.cfg.DirectKinds, k) })
}

// listenFor opens what a caller may dial for one attempt.
func (e *end) listenFor(ask *control.LinkAsk) (*awaited, control.LinkAnswer, error) {
	c := e.s.c
	kinds := e.s.kindsOf(ask.Kinds)
	if c.cfg.Direct == DirectNever || len(kinds) == 0 {
		return nil, control.LinkAnswer{}, control.Unavailable.With("no direct links here")
	}
	a := channel.Attempt{
		Network: c.cfg.NetworkKey,
		Key:     c.cfg.Key,
		Channel: e.id,
		Secret:  ask.Secret,
		Peer:    e.peer,
		Clock:   &c.alarms,
	}
	if ask.UID != nil {
		a.UID = *ask.UID
	} else {
		kinds = without(kinds, channel.Unix)
	}
	var host string
	if tcp, ok := e.s.conn.LocalAddr().(*net.TCPAddr); ok {
		host = tcp.IP.String() // where the server sees us
		if tcp.Zone != "" {
			host += "%" + tcp.Zone
		}
	}
	w := newAwaited()
	answer := control.LinkAnswer{FD: slices.Contains(kinds, channel.FD)}
	if ln, err := a.Listen(kinds, channel.ListenOptions{Host: host}); err == nil {
		w.ln = ln
		answer.Unix, answer.Net = ln.Unix(), ln.Port()
		if answer.Net != 0 {
			answer.Resume = c.agree(ask.Resume)
			e.setWindow(answer.Resume)
		}
	} else if !answer.FD {
		e.s.log.Debug("no direct link", "channel", e.id, "err", err)
		return nil, control.LinkAnswer{}, control.Unavailable.With("no direct link can be listened for")
	}
	if !e.await(w) { // the server may call before the answer has left
		return nil, control.LinkAnswer{}, control.Unavailable.With("the channel is over")
	}
	return w, answer, nil
}

// awaitLink waits for the caller, and moves the channel to its link. It
// returns when that is done.
func (e *end) awaitLink(ctx context.Context, w *awaited, survive bool) error {
	defer e.awaitNo(w)
	kind, err := e.follow(ctx, w)
	if err != nil {
		return err
	}
	e.hasMoved(kind, survive, nil)
	return nil
}

// await notes what is to be closed with the end. It reports false, and closes
// it, if the end is over.
func (e *end) await(w *awaited) bool {
	e.mu.Lock()
	over := e.forgotten
	e.ln = w
	e.mu.Unlock()
	if over {
		w.Close()
	}
	return !over
}

// awaitNo forgets it, unless another attempt has begun.
func (e *end) awaitNo(w *awaited) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ln == w {
		e.ln = nil
	}
}

// channelLink serves channel.link: another attempt for a channel that is
// relayed.
func (s *session) channelLink(args []json.RawMessage) (any, error) {
	var a control.ChannelLinkArgs
	if err := control.Decode(args, &a); err != nil {
		return nil, err
	}
	if e := s.c.resumable(a.Channel); e != nil {
		return s.linkMore(e, &a.Direct)
	}
	e := s.findEnd(a.Channel)
	if e == nil || e.path == nil || e.caller {
		return nil, control.NotFound.With("no such channel here")
	}
	if stage, _, _ := e.path.Stage(); stage != channel.Relayed {
		return nil, control.Unavailable.With("the channel has moved")
	}
	ln, answer, err := e.listenFor(&a.Direct)
	if err != nil {
		return nil, err
	}
	if !s.c.spawn(func() {
		if err := e.awaitLink(s.c.ctx, ln, a.Direct.Survive); err != nil {
			s.log.Debug("channel not moved", "channel", e.id, "err", err)
		}
	}) {
		ln.Close()
		return nil, control.Unavailable.With("closing")
	}
	return control.ChannelLinkResult{Direct: answer}, nil
}

// findEnd returns this session's callee end of a channel.
func (s *session) findEnd(text string) *end {
	id, err := channel.ParseID(text)
	if err != nil {
		return nil
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for e := s.c.ends[id]; e != nil; e = e.next {
		if e.s == s && !e.caller {
			return e
		}
	}
	return nil
}

// acceptSlow takes up an offer that asks for more than a lane: a direct link
// at once, a seal. It answers, and delivers the channel when it is ready.
func (s *session) acceptSlow(stream *mux.Stream, req int32, o *offer, l *Listener) {
	if err := l.admits(s, o.info); err != nil {
		l.unreserve()
		s.refuseOffer(stream, req, o.info, err)
		return
	}
	e := s.adopt(stream, &o.info)
	res := control.OfferResult{Sealed: o.sealed}
	var ln *awaited
	if o.direct != nil {
		var answer control.LinkAnswer
		var err error
		if ln, answer, err = e.listenFor(o.direct); err == nil {
			res.Direct, res.Require = &answer, o.require
		}
	}
	err := sendAnswer(stream, flagsRequest, req, res)
	if err == nil {
		err = stream.SetDeadline(time.Time{})
	}
	if err == nil && o.require && !res.Require {
		l.unreserve()
		e.Close() // an abort might overtake the answer, by which the server knows
		return
	}
	if err == nil {
		err = s.ready(e, o, l, ln)
	} else if ln != nil {
		ln.Close()
	}
	if err != nil {
		s.log.Debug("offer came to nothing", "channel", o.info.ID, "name", o.info.Name, "err", err)
		l.unreserve()
		if o.require { // an abort might overtake the answer: the caller learns by itself that there is no link
			e.Close()
		} else {
			e.Abort()
		}
	}
}

// ready makes an accepted channel what it was agreed to be, and delivers it.
func (s *session) ready(e *end, o *offer, l *Listener, ln *awaited) error {
	ctx := s.c.ctx
	if ln != nil && o.require {
		e.require()
		ctx, cancel := context.WithTimeout(s.ctx, markFor) // whose end would wait for us
		defer cancel()
		if err := e.awaitLink(ctx, ln, o.direct.Survive); err != nil {
			return err
		}
	} else if ln != nil && !s.c.spawn(func() {
		if err := e.awaitLink(ctx, ln, o.direct.Survive); err != nil {
			s.log.Debug("channel not moved", "channel", e.id, "err", err)
		}
	}) {
		ln.Close()
		return errClosed
	}
	lane := channel.Lane(e)
	if o.sealed {
		var err error
		if lane, err = e.sealAs(ctx, false); err != nil {
			return err
		}
	}
	l.deliver(channel.NewConn(lane, o.info))
	return nil
}
