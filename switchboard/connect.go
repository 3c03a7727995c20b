package switchboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/names"
)

// errCallerGone ends an offer whose caller's lane has ended, or has carried a
// byte before the answer.
var errCallerGone = errors.New("the caller is gone")

// call is a connect that was understood.
type call struct {
	args    control.ConnectArgs
	name    names.Name // the called name, or
	session uint64     // the called session, if name is empty
	timeout time.Duration
}

// serveConnect makes a channel of the lane that a caller opened
// (PROTOCOL.md §6).
func (s *session) serveConnect(lane channel.Lane, req int32, args []json.RawMessage) {
	c, err := s.parseConnect(args)
	if err != nil {
		s.srv.counts.refused(err)
		refuse(lane, req, err)
		return
	}
	s.connect(lane, req, c)
}

// connect makes the channel, and waits for all that this takes.
func (s *session) connect(lane channel.Lane, req int32, c call) {
	// Not of s.ctx: whoever kills the session cancels its links.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(s.ctx))
	defer cancel(nil)
	defer time.AfterFunc(c.timeout, func() { cancel(errNoAnswer) }).Stop()
	l, err := s.newLink(channel.NewID(), c.args.To, lane, cancel)
	if err != nil {
		refuse(lane, req, err)
		return
	}
	quiet := s.listenFor(lane, func() { cancel(errCallerGone) })
	res, done, err := s.open(ctx, l, c)
	if done != nil {
		defer done()
	}
	if !quiet() { // the caller broke the silence, or is gone
		err = errCallerGone
	}
	if err == nil {
		if err = reply(lane, req, res); err == nil {
			l.relay()
			return
		}
	} else if err != errCallerGone {
		defer l.over()
		s.log.Debug("connect refused", "to", c.args.To, "channel", l.id.String(), "err", err)
		s.failedOpen(c.args.To, err)
		l.cancel(err)
		l.abortCallee()
		refuse(lane, req, err)
		return
	}
	l.end(reasonGone, s, err)
	lane.Abort()
	l.over()
}

// relay joins the two lanes. It returns when that is over, or with two yamux
// lanes at once: their sessions do the rest.
func (l *link) relay() {
	began := time.Now()
	l.noteOpen()
	over := func(err error) {
		l.noteClose(began, err)
		l.over()
		if l.caller.log.Enabled(l.caller.ctx, slog.LevelDebug) {
			in, out := l.pipe.Counts()
			l.caller.log.Debug("channel ends", "channel", l.id.String(), "name", l.name, "in", in, "out", out,
				"dur", time.Since(began).Round(time.Millisecond), "err", err)
		}
	}
	_, callee, lane := l.ends()
	a, isStream := l.a.(*mux.Stream)
	b, areStreams := lane.(*mux.Stream)
	if !isStream || !areStreams {
		l.pipe.Pace = [2]*mux.Pace{l.srv.pace(l.caller.key), l.srv.pace(callee.key)}
		err := errPanic
		defer func() { over(err) }()
		err = l.pipe.Relay(l.srv.buffers, l.a, lane)
		return
	}
	l.pipe.Splice(a, b, func(err error) {
		if err == nil {
			over(nil)
			return
		}
		// Not here: to tell an end may take a moment.
		l.caller.spawn(func() {
			if !l.breaks() {
				a.Reset(mux.ReasonNone)
				b.Reset(mux.ReasonNone)
				over(nil)
				return
			}
			reason, at := l.reasonOf(err), callee
			if broken, ok := errors.AsType[*channel.LaneError](err); ok {
				l.broke(broken.Side, err)
				if broken.Side == channel.A {
					at = l.caller
				}
			}
			a.Reset(reason)
			b.Reset(reason)
			if reason == mux.ReasonQuota { // which the end where it broke has not done; it may be slow to hear
				at.notify(l.id, reason.String())
			}
			over(err)
		})
	})
}

// resetReason is what the reset of a channel that broke says to its ends.
func resetReason(err error) mux.Reason {
	if reset, ok := errors.AsType[*mux.ResetError](err); ok && reset.Reason != mux.ReasonNone {
		return reset.Reason
	}
	switch {
	case errors.Is(err, mux.ErrHeld):
		return mux.ReasonQuota
	case errors.Is(err, mux.ErrReset):
		return mux.ReasonReset
	case errors.Is(err, mux.ErrFlood):
		return mux.ReasonCalm
	}
	return mux.ReasonGone
}

// abortCallee resets the callee's lane, if there is one.
func (l *link) abortCallee() {
	if _, _, b := l.ends(); b != nil {
		b.Abort()
	}
}

// parseConnect checks what can be checked without the registry.
func (s *session) parseConnect(args []json.RawMessage) (call, error) {
	c := call{timeout: s.srv.limits.OpenTimeout}
	if err := s.spend(control.MethodConnect); err != nil {
		return c, err
	}
	if err := control.Decode(args, &c.args); err != nil {
		return c, err
	}
	a := &c.args
	if id, ok := control.ParseSession(a.To); ok {
		c.session = id
	} else if o, err := readName(s.rights.Load().tenant(), a.To); err == nil {
		c.name = qualified(o.Tenant, o.Name)
	} else {
		return c, err
	}
	switch {
	case len(a.Meta) > control.MaxMeta:
		return c, control.BadRequest.With("meta is larger than 4 KiB")
	case a.Epoch != nil && c.name == "":
		return c, control.BadRequest.With("epoch needs a name")
	case a.TimeoutMS != nil && (*a.TimeoutMS < control.MinTimeoutMS || *a.TimeoutMS > control.MaxTimeoutMS):
		return c, control.BadRequest.With(fmt.Sprintf("timeout_ms is %d to %d", control.MinTimeoutMS, control.MaxTimeoutMS))
	case a.Resume < 0:
		return c, control.BadRequest.With("resume is not negative")
	}
	if a.TimeoutMS != nil {
		c.timeout = time.Duration(*a.TimeoutMS) * time.Millisecond
	}
	return c, nil
}

// listenFor watches a lane that has to be silent until it is answered; broken
// is called when it is not, or has ended. quiet ends the watch, and reports
// whether the lane kept silent.
func (s *session) listenFor(lane channel.Lane, broken func()) (quiet func() bool) {
	if stream, ok := lane.(*mux.Stream); ok {
		return stream.Notify(0, func(*mux.Batch) { broken() })
	}
	var wg sync.WaitGroup
	silent := false
	wg.Go(func() {
		defer s.shield()
		var b [1]byte
		n, err := lane.Read(b[:])
		if ne, ok := errors.AsType[net.Error](err); n == 0 && ok && ne.Timeout() {
			silent = true
			return
		}
		broken()
	})
	return func() bool {
		lane.SetReadDeadline(time.Unix(1, 0)) // if it fails, the lane is dead and the read has ended
		wg.Wait()
		return silent && lane.SetReadDeadline(time.Time{}) == nil
	}
}

// open finds the callee, offers it the channel and binds its lane. done, if
// not nil, is to be called when the callee's lane is no longer used.
func (s *session) open(ctx context.Context, l *link, c call) (*control.ConnectResult, func(), error) {
	target, entry, err := s.reserve(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	defer s.srv.unreserve(target, s.key)
	l.meant(entry.to, target)

	_, isStream := l.a.(*mux.Stream)
	w, err := s.wishFor(c, target, l.id, isStream && entry.mux != nil)
	if err != nil {
		return nil, nil, err
	}
	offer := s.offerArgs(l, c, entry, &w)
	var done func()
	var links *control.Links
	if entry.mux != nil {
		links, err = s.offerOnStream(ctx, l, &w, entry.mux, offer)
	} else {
		done, err = s.offerOnControl(ctx, l, &w, entry.control, offer)
	}
	if err != nil {
		return nil, done, err
	}
	return l.result(&w, entry.epoch, links), done, nil
}

// result is what a caller is told of its channel.
func (l *link) result(w *wish, epoch uint64, links *control.Links) *control.ConnectResult {
	if links != nil {
		l.offer(links)
	}
	return &control.ConnectResult{
		Channel: l.id.String(),
		Peer:    control.Callee{ID: w.target.key, Name: l.name, Session: w.target.name(), Epoch: epoch},
		Direct:  links,
		Sealed:  w.sealed,
	}
}

// offerArgs is what the callee is told.
func (s *session) offerArgs(l *link, c call, f found, w *wish) control.OfferArgs {
	mine := s.rights.Load()
	return control.OfferArgs{
		Channel: l.id.String(),
		Name:    c.args.To,
		Peer: control.Caller{
			ID:      s.key,
			Session: s.name(),
			Names:   w.target.rights.Load().texts(f.callerNames),
			Level:   mine.level().String(),
			Tenant:  mine.tenant(),
		},
		Meta:    c.args.Meta,
		Epoch:   f.epoch,
		Direct:  w.link,
		Require: w.require,
		Sealed:  w.sealed,
	}
}
