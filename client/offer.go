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
		control.MethodManifest: "async",
		control.MethodPing:     "async",
		control.MethodOffer:    "async",
		"channel":              map[string]any{"close": "async"},
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
	info, l, err := s.readOffer(req.Args)
	if err != nil {
		s.goStream(stream, func() { s.refuseOffer(stream, p.Req, info, err) })
		return
	}
	by.Gather(s.mux)
	s.acceptOffer(stream, p.Req, info, l)
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
		if info, l, err := s.readOffer(req.Args); err != nil {
			s.refuseOffer(stream, p.Req, info, err)
		} else {
			s.acceptOffer(stream, p.Req, info, l)
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
	conn := channel.NewConn(s.adopt(stream, info.ID), info)
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

// readOffer reads an offer, and takes a place for it.
func (s *session) readOffer(args []json.RawMessage) (channel.Info, *Listener, error) {
	info, _, err := offerInfo(args)
	if err != nil {
		return info, nil, err
	}
	l, err := s.c.reserve(info.Name)
	return info, l, err
}

// offerInfo reads what the server says of a channel, and its token if it has
// one.
func offerInfo(args []json.RawMessage) (channel.Info, string, error) {
	var o control.OfferArgs
	if err := control.Decode(args, &o); err != nil {
		return channel.Info{}, "", err
	}
	id, err := channel.ParseID(o.Channel)
	if err != nil {
		return channel.Info{}, "", control.BadRequest.With("channel is not an id")
	}
	return channel.Info{
		ID:      id,
		Key:     o.Peer.ID,
		Session: o.Peer.Session,
		Name:    o.Name,
		Epoch:   o.Epoch,
		Names:   o.Peer.Names,
		Level:   o.Peer.Level,
		Meta:    o.Meta,
	}, o.Token, nil
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
	case call.Name() == control.MethodOffer:
		res, err = control.OfferResult{}, s.comeFor(call.Args())
	default:
		err = &muxrpc.RemoteError{Name: "Error", Message: "no such method"}
	}
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
	s.c.mu.Lock()
	for e := s.c.ends[id]; e != nil; e = e.next {
		e.setReason(a.Reason)
	}
	s.c.mu.Unlock()
	return nil
}

// comeFor answers an offer with a token: yes means that we come on a new lane.
func (s *session) comeFor(args []json.RawMessage) error {
	info, token, err := offerInfo(args)
	if err != nil {
		return err
	}
	if token == "" {
		return control.BadRequest.With("an offer without a token must be the first packet of a stream")
	}
	l, err := s.c.reserve(info.Name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, acceptTimeout)
	s.mu.Lock()
	s.pending[info.ID] = cancel
	s.mu.Unlock()
	forget := func() {
		s.mu.Lock()
		delete(s.pending, info.ID)
		s.mu.Unlock()
		cancel()
	}
	come := func() {
		defer forget()
		conn, err := s.accept(ctx, info, token)
		if err != nil {
			l.unreserve()
			s.log.Warn("offer not taken up", "channel", info.ID, "name", info.Name, "err", err)
			return
		}
		l.deliver(conn)
	}
	if !s.spawn(come) {
		l.unreserve()
		forget()
		return control.Unavailable
	}
	return nil
}

// accept opens a lane and binds it to an offered channel.
func (s *session) accept(ctx context.Context, info channel.Info, token string) (*channel.Conn, error) {
	lane, err := s.openLane(ctx)
	if err != nil {
		return nil, err
	}
	e := s.adopt(lane, info.ID)
	var res control.AcceptResult
	if err := ask(ctx, lane, acceptTimeout, control.MethodAccept, &control.AcceptArgs{Channel: info.ID.String(), Token: token}, &res); err != nil {
		e.Abort()
		return nil, err
	}
	return channel.NewConn(e, info), nil
}
