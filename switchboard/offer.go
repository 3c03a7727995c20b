package switchboard

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// offerOnStream offers a channel on a fresh stream; the callee's yes makes
// this very stream its lane. When ctx ends, or the caller's link is killed,
// the stream is reset.
func (s *session) offerOnStream(ctx context.Context, l *link, w *wish, m *mux.Session, offer control.OfferArgs) (*control.Links, error) {
	stream, err := callStream(ctx, m, control.MethodOffer, "duplex", &offer)
	if err != nil {
		return nil, offerErrorIn(ctx, err)
	}
	stop := s.whenOver(ctx, func() { stream.Abort() })
	p, err := muxrpc.ReadPacket(stream, control.MaxServerBody)
	if !stop() { // answer and end met: the end was first
		return nil, context.Cause(ctx)
	}
	if err != nil {
		stream.Abort()
		return nil, offerErrorIn(ctx, err)
	}
	if p.Req != -1 || p.Flags&muxrpc.FlagEnd != 0 {
		stream.Close()
		return nil, refusal(p)
	}
	links, err := w.granted(p.Body)
	if err == nil && stream.SetDeadline(time.Time{}) != nil {
		err = control.PeerGone
	}
	if err != nil {
		stream.Abort()
		return nil, err
	}
	return links, l.bind(stream, w.target, w.target)
}

// errNoAnswer is what a caller is told when its time is up.
var errNoAnswer = control.Timeout.With("no answer in time")

// offerErrorIn is offerError, unless ctx has ended: that was the cause then.
func offerErrorIn(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return offerError(err)
}

// offerError says what a broken offer means to the caller: a backlog that is
// full, or a callee that is gone.
func offerError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded): // the lane's clock was first
		return errNoAnswer
	case errors.Is(err, mux.ErrReset), errors.Is(err, mux.ErrStreams):
		return control.Busy.With("the callee took no more channels")
	}
	return control.PeerGone.With("the callee is gone")
}

// refusal is what a caller is told of a callee's no: its message, never its
// code.
func refusal(p muxrpc.Packet) error {
	var no struct {
		Message string `json:"message"`
	}
	// An answer that makes no sense is a refusal without a message.
	_ = json.Unmarshal(p.Body, &no)
	return control.Refused.With(tame(no.Message))
}

// tame cuts a callee's message to 256 bytes and drops control characters.
func tame(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	if len(s) <= control.MaxRefusal {
		return s
	}
	n := control.MaxRefusal
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// pendingOffer is an offer to a callee without yamux, which comes for it with
// accept on a new connection of the same key. Whoever takes it out of
// books.offers, under the lock, decides what becomes of it.
type pendingOffer struct {
	token    string
	key      shs.PublicKey
	accepted chan accepted // buffered: one accept can win
}

// accepted is a callee's lane that came for an offer. Its connection lives
// until done is closed.
type accepted struct {
	sess *session
	lane channel.Lane
	req  int32
	done chan struct{}
}

// offerOnControl offers a channel as an async call on the callee's control
// lane, and waits for its accept. An accept may come before the answer and
// counts as one, unless the answer has to say more than yes.
func (s *session) offerOnControl(ctx context.Context, l *link, w *wish, rpc *muxrpc.Session, offer control.OfferArgs) (done func(), err error) {
	target := w.target
	var token [16]byte
	rand.Read(token[:])
	o := &pendingOffer{token: hex.EncodeToString(token[:]), key: target.key, accepted: make(chan accepted, 1)}
	offer.Token = o.token
	s.srv.mu.Lock()
	s.srv.offers[l.id] = o
	s.srv.mu.Unlock()

	asked, cancel := context.WithCancel(ctx)
	answers := make(chan error, 1)
	target.spawn(func() {
		err := error(control.PeerGone.With("the callee is gone"))
		defer func() { answers <- err }()
		err = w.askOnControl(asked, rpc, offer)
	})
	defer cancel()
	coming := o.accepted
	if !w.none() {
		coming = nil // until the answer is there
	}
	for {
		select {
		case err := <-answers:
			if err == nil { // "I come"
				answers, coming = nil, o.accepted
				continue
			}
			if no, ok := errors.AsType[*muxrpc.RemoteError](err); ok {
				err = control.Refused.With(tame(no.Message))
			} else if !errors.Is(err, control.Unavailable) {
				err = offerErrorIn(ctx, err)
			}
			return s.withdraw(l, o, w, err, "")
		case <-target.ctx.Done():
			return s.withdraw(l, o, w, control.PeerGone.With("the callee is gone"), "")
		case <-ctx.Done():
			return s.withdraw(l, o, w, context.Cause(ctx), reasonGone)
		case got := <-coming:
			return l.take(got, target)
		}
	}
}

// askOnControl makes the offer, and looks whether the yes is one to all of it.
func (w *wish) askOnControl(ctx context.Context, rpc *muxrpc.Session, offer control.OfferArgs) error {
	if w.none() {
		return rpc.Call(ctx, control.MethodOffer, offer, nil)
	}
	var answer json.RawMessage
	if err := rpc.Call(ctx, control.MethodOffer, offer, &answer); err != nil {
		return err
	}
	_, err := w.granted(answer)
	return err
}

// withdraw ends an offer that was not accepted. An accept that won the race
// counts: then err does not, unless the answer had to say more than yes.
func (s *session) withdraw(l *link, o *pendingOffer, w *wish, err error, tell string) (func(), error) {
	s.srv.mu.Lock()
	_, mine := s.srv.offers[l.id]
	delete(s.srv.offers, l.id)
	s.srv.mu.Unlock()
	if !mine && w.none() {
		return l.take(<-o.accepted, w.target)
	}
	if tell != "" {
		w.target.notify(l.id, tell)
	}
	if !mine {
		got := <-o.accepted
		got.lane.Abort()
		return func() { close(got.done) }, err
	}
	return nil, err
}

// take binds the lane that came for an offer, and tells it so.
func (l *link) take(got accepted, target *session) (done func(), err error) {
	done = func() { close(got.done) }
	if err := l.bind(got.lane, got.sess, target); err != nil {
		got.lane.Abort()
		return done, err
	}
	if err := reply(got.lane, got.req, &control.AcceptResult{Channel: l.id.String()}); err != nil {
		return done, control.PeerGone.With("the callee is gone")
	}
	return done, nil
}

// errNoOffer is the one answer to every accept that fits no offer: wrong
// token, wrong key, too late, unknown.
var errNoOffer = control.NotFound.With("no such offer")

// serveAccept binds the lane of a callee that comes for an offer.
func (s *session) serveAccept(lane channel.Lane, req int32, args []json.RawMessage) {
	var a control.AcceptArgs
	err := s.spend(control.MethodAccept)
	if err == nil {
		err = control.Decode(args, &a)
	}
	var o *pendingOffer
	if err == nil {
		if o = s.srv.takeOffer(a, s.key); o == nil {
			err = errNoOffer
		}
	}
	if err != nil {
		s.srv.counts.refused(err)
		refuse(lane, req, err)
		return
	}
	got := accepted{sess: s, lane: lane, req: req, done: make(chan struct{})}
	o.accepted <- got
	<-got.done // the caller's goroutine has the lane until then
}

// takeOffer finds the offer that an accept is for, and takes it out: a token
// is good for one use.
func (s *Server) takeOffer(a control.AcceptArgs, key shs.PublicKey) *pendingOffer {
	id, err := channel.ParseID(a.Channel)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.offers[id]
	if o == nil || o.key != key || subtle.ConstantTimeCompare([]byte(o.token), []byte(a.Token)) == 0 {
		return nil
	}
	delete(s.offers, id)
	return o
}
