package client

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// manifest is what peers serve on control lanes. The server never asks for
// more; a stock muxrpc library may want to see it.
func manifest() map[string]any {
	return map[string]any{
		control.MethodManifest:  "async",
		control.MethodPing:      "async",
		control.MethodOffer:     "async",
		control.MethodGoingAway: "async",
		"channel":               map[string]any{"close": "async", "link": "async", "fd": "async"},
	}
}

// quickOffer is the size of an offer that is answered on the session's reader.
const quickOffer = 8 << 10

// startStream is given each stream that the server opens, on the session's
// reader, which must not wait: an offer that is there already and can be taken
// is answered at once.
func (s *session) startStream(stream *mux.Stream, by *mux.Batch) {
	var head [muxrpc.WholeHead]byte
	waits, _ := stream.Peek(head[:])
	if size := muxrpc.Whole(head[:], waits); size == 0 || size > quickOffer {
		s.goStream(stream, func() { s.serveStream(stream) })
		return
	}
	p, err := muxrpc.ReadPacket(stream, quickOffer)
	if err != nil {
		stream.Abort()
		return
	}
	req, err := muxrpc.ParseRequest(p)
	if err != nil || req.Name != control.MethodOffer || req.Type != "duplex" {
		s.goStream(stream, func() { s.serveCalls(stream, p) })
		return
	}
	o, l, err := s.readOffer(req.Args)
	switch {
	case err != nil:
		s.goStream(stream, func() { s.refuseOffer(stream, p.Req, o.info, err) })
	case !o.simple() || l.admit != nil:
		if !s.spawn(func() { s.acceptSlow(stream, p.Req, &o, l) }) {
			l.unreserve()
			stream.Abort()
		}
	default:
		by.Gather(s.mux)
		s.acceptOffer(stream, p.Req, o.info, l)
	}
}

// goStream serves a stream on a goroutine of the session.
func (s *session) goStream(stream *mux.Stream, serve func()) {
	if !s.spawn(serve) {
		stream.Abort()
	}
}

// serveStream serves one stream that the server opened: an offer, which makes
// it a channel, or calls.
func (s *session) serveStream(stream *mux.Stream) {
	if err := stream.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		stream.Abort()
		return
	}
	p, err := muxrpc.ReadPacket(stream, control.MaxPeerBody)
	if err != nil {
		stream.Abort()
		return
	}
	req, err := muxrpc.ParseRequest(p)
	if err == nil && req.Name == control.MethodOffer && req.Type == "duplex" {
		o, l, err := s.readOffer(req.Args)
		switch {
		case err != nil:
			s.refuseOffer(stream, p.Req, o.info, err)
		case !o.simple() || l.admit != nil:
			s.acceptSlow(stream, p.Req, &o, l)
		default:
			s.acceptOffer(stream, p.Req, o.info, l)
		}
		return
	}
	s.serveCalls(stream, p)
}

// serveCalls serves a stream whose first packet is no offer.
func (s *session) serveCalls(stream *mux.Stream, first muxrpc.Packet) {
	if err := stream.SetReadDeadline(time.Time{}); err != nil {
		stream.Abort()
		return
	}
	rpc := muxrpc.NewSession(stream, muxrpc.Config{Handler: s, MaxBody: control.MaxPeerBody, Limit: s.limit, First: &first})
	select {
	case <-rpc.Done():
	case <-s.ctx.Done():
	}
	rpc.Close()
}

// refuseOffer answers an offer with an error, and ends its stream.
func (s *session) refuseOffer(stream *mux.Stream, req int32, info channel.Info, err error) {
	s.log.Debug("offer refused", "channel", info.ID, "name", info.Name, "err", err)
	if errors.Is(err, Busy) {
		stream.Abort() // the caller sees busy; an answer would be a refusal
		return
	}
	if err := sendAnswer(stream, flagsError, req, control.ToWire(err)); err != nil {
		stream.Abort()
		return
	}
	stream.Close()
}

// acceptOffer answers an offer on the stream that becomes the channel, for
// which l has a place, and clears the stream's deadlines. It does not wait: a
// fresh stream takes a small answer at once.
func (s *session) acceptOffer(stream *mux.Stream, req int32, info channel.Info, l *Listener) {
	conn := channel.NewConn(s.adopt(stream, &info), info)
	err := sendAnswer(stream, flagsRequest, req, control.OfferResult{})
	if err == nil {
		err = stream.SetDeadline(time.Time{})
	}
	if err != nil {
		l.unreserve()
		conn.Abort()
		return
	}
	l.deliver(conn)
}

// offer is what the server says of a channel to its callee.
type offer struct {
	info    channel.Info
	token   string           // to come with on a new lane; "" on yamux
	direct  *control.LinkAsk // a link is asked for at once
	require bool             // and nothing goes over the lane
	sealed  bool
}

// simple reports whether a yes is all that is asked for.
func (o *offer) simple() bool { return o.direct == nil && !o.require && !o.sealed }

// readOffer reads an offer, and takes a place for it.
func (s *session) readOffer(args []json.RawMessage) (offer, *Listener, error) {
	o, err := parseOffer(args)
	if err != nil {
		return o, nil, err
	}
	l, err := s.c.reserve(o.info.Name)
	return o, l, err
}

func parseOffer(args []json.RawMessage) (offer, error) {
	var o control.OfferArgs
	if err := control.Decode(args, &o); err != nil {
		return offer{}, err
	}
	id, err := channel.ParseID(o.Channel)
	if err != nil {
		return offer{}, control.BadRequest.With("channel is not an id")
	}
	return offer{
		info: channel.Info{
			ID:      id,
			Key:     o.Peer.ID,
			Session: o.Peer.Session,
			Name:    o.Name,
			Epoch:   o.Epoch,
			Names:   o.Peer.Names,
			Level:   o.Peer.Level,
			Meta:    o.Meta,
			Sealed:  o.Sealed,
		},
		token:   o.Token,
		direct:  o.Direct,
		require: o.Require,
		sealed:  o.Sealed,
	}, nil
}

// ServeCall answers the server's calls. It runs on a lane's reader.
func (s *session) ServeCall(call *muxrpc.Call) {
	var res any
	var err error
	switch {
	case call.Type() != "async":
		err = &muxrpc.RemoteError{Name: "Error", Message: "no such method"}
	case call.Name() == control.MethodManifest:
		res = manifest()
	case call.Name() == control.MethodPing:
		res = time.Now().UnixMilli()
	case call.Name() == control.MethodChannelClose:
		res, err = true, s.channelClose(call.Args())
	case call.Name() == control.MethodGoingAway:
		res = true
		s.goingAway()
	case call.Name() == control.MethodOffer:
		call.Go(func() { // Admit may take its time
			res, err := s.comeFor(call.Args())
			s.answer(call, res, err)
		})
		return
	case call.Name() == control.MethodChannelLink:
		res, err = s.channelLink(call.Args())
	case call.Name() == control.MethodChannelFD:
		res, err = true, s.channelFD(call.Args())
	default:
		err = &muxrpc.RemoteError{Name: "Error", Message: "no such method"}
	}
	s.answer(call, res, err)
}

// answer answers a call of the server.
func (s *session) answer(call *muxrpc.Call, res any, err error) {
	if err != nil {
		err = call.Fail(control.ToWire(err))
	} else {
		err = call.Reply(res)
	}
	if err != nil {
		s.log.Debug("call not answered", "method", call.Name(), "err", err)
	}
}

// channelClose notes why a channel ends. The reset itself comes on its lane;
// an offer that is being taken up is dropped here.
func (s *session) channelClose(args []json.RawMessage) error {
	var a control.ChannelCloseArgs
	if err := control.Decode(args, &a); err != nil {
		return err
	}
	id, err := channel.ParseID(a.Channel)
	if err != nil {
		return control.BadRequest.With("channel is not an id")
	}
	s.mu.Lock()
	drop := s.pending[id]
	s.mu.Unlock()
	if drop != nil {
		drop()
	}
	var moved []*end
	s.c.mu.Lock()
	for e := s.c.ends[id]; e != nil; e = e.next {
		e.setReason(a.Reason)
		if e.path != nil && e.movedTo() != "" {
			moved = append(moved, e)
		}
	}
	s.c.mu.Unlock()
	for _, e := range moved {
		e.path.Break(channel.ErrLinkLost) // the reason is known before
	}
	return nil
}

// comeFor answers an offer with a token: yes means that we come on a new lane,
// which cannot move.
func (s *session) comeFor(args []json.RawMessage) (control.OfferResult, error) {
	o, err := parseOffer(args)
	if err != nil {
		return control.OfferResult{}, err
	}
	if o.token == "" {
		return control.OfferResult{}, control.BadRequest.With("an offer without a token must be the first packet of a stream")
	}
	l, err := s.c.reserve(o.info.Name)
	if err != nil {
		return control.OfferResult{}, err
	}
	if err := l.admits(s, o.info); err != nil {
		l.unreserve()
		return control.OfferResult{}, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, acceptTimeout)
	s.mu.Lock()
	s.pending[o.info.ID] = cancel
	s.mu.Unlock()
	forget := func() {
		s.mu.Lock()
		delete(s.pending, o.info.ID)
		s.mu.Unlock()
		cancel()
	}
	come := func() {
		defer forget()
		if err := s.accept(ctx, &o, l); err != nil {
			s.notTaken(&o, l, err)
		}
	}
	if !s.spawn(come) {
		l.unreserve()
		forget()
		return control.OfferResult{}, control.Unavailable
	}
	return control.OfferResult{Sealed: o.sealed}, nil
}

// notTaken gives back the place of an offer that has come to nothing.
func (s *session) notTaken(o *offer, l *Listener, err error) {
	l.unreserve()
	s.log.Warn("offer not taken up", "channel", o.info.ID, "name", o.info.Name, "err", err)
}

// accept opens a lane, binds it to an offered channel and delivers that: a sealed one
// when it is sealed, for which the session's end does not wait.
func (s *session) accept(ctx context.Context, o *offer, l *Listener) error {
	lane, err := s.openLane(ctx)
	if err != nil {
		return err
	}
	e := s.adopt(lane, &o.info)
	var res control.AcceptResult
	err = ask(ctx, lane, acceptTimeout, control.MethodAccept, &control.AcceptArgs{Channel: o.info.ID.String(), Token: o.token}, &res)
	switch {
	case err != nil:
	case !o.sealed:
		err = s.ready(e, o, l, nil)
	case !s.c.spawn(func() {
		if err := s.ready(e, o, l, nil); err != nil {
			e.Abort()
			s.notTaken(o, l, err)
		}
	}):
		err = errClosed
	}
	if err != nil {
		e.Abort()
	}
	return err
}
