package switchboard

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// Reasons of channel.close that are no mux.Reason of a broken lane
// (PROTOCOL.md §6).
const (
	reasonGone = "peer_gone" // the session or connection of the other end died
	reasonStop = "shutting_down"
)

// link is a channel in the server's books, from the connect that asks for it
// until both lanes have ended.
//
//	pending ──the callee answers──▸ bound ──both directions ended──▸ over
//	   └── refused, timeout, an end is gone ──▸ over ◂── broken ──┤
//	                                                              └── moved: see there
type link struct {
	// set at construction
	srv    *Server
	id     channel.ID
	name   string // what was called
	caller *session
	a      channel.Lane // the caller's
	cancel context.CancelCauseFunc

	pipe channel.Pipe
	told sync.Once

	// guarded by srv.mu
	to      policy.Object // the name by which the caller may talk to the callee; no name: it calls back
	b       channel.Lane  // the callee's; nil while pending
	callee  *session      // whose lane b is
	offered *session      // which session was called; the same unless it came on a new connection
	since   time.Time     // when it was bound
	kinds   []string      // of the direct links that the caller was told of
	survive bool          // granted with them
	early   bool          // the callee said channel.closed before the caller said channel.moved
	moved   bool          // what becomes of the lanes is nothing to its ends
	closing bool          // it breaks, and may not move any more
	ended   bool          // by end, and so:
	why     mux.Reason    // what the resets say, whoever is first to reset a lane
}

// newLink enters a connect into the books of its session.
func (s *session) newLink(id channel.ID, name string, lane channel.Lane, cancel context.CancelCauseFunc) (*link, error) {
	l := &link{srv: s.srv, id: id, name: name, caller: s, a: lane, cancel: cancel}
	l.pipe.Broke = l.broke
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	if s.leaving || s.srv.stopping {
		return nil, control.ShuttingDown
	}
	s.links[l] = struct{}{}
	return l, nil
}

// meant notes whom the caller means, and why it may talk to that.
func (l *link) meant(to policy.Object, target *session) {
	l.srv.mu.Lock()
	defer l.srv.mu.Unlock()
	l.to, l.offered = to, target
}

// bind gives the link its callee. It fails if either end is gone already, or the
// rules have changed in between.
func (l *link) bind(b channel.Lane, callee, offered *session) error {
	l.srv.mu.Lock()
	if err := l.allowedLocked(); err != nil {
		l.srv.mu.Unlock()
		return err
	}
	l.b, l.callee, l.offered, l.since = b, callee, offered, time.Now()
	callee.links[l] = struct{}{}
	l.srv.links[l.id] = l
	for _, t := range l.talksLocked() {
		t.sess.talks[t.with]++
	}
	l.srv.mu.Unlock()
	// kill cancels first and looks for links then, so one of the two sees it.
	if callee.ctx.Err() != nil {
		return control.PeerGone
	}
	return context.Cause(l.caller.ctx)
}

// talk says that a session shares an open channel with a key, which may call
// it back by its id.
type talk struct {
	sess *session
	with shs.PublicKey
}

// talksLocked lists them; nil while pending, and of what calls back: that would keep
// itself alive.
func (l *link) talksLocked() []talk {
	if l.callee == nil || l.to.Name == "" {
		return nil
	}
	ts := []talk{{l.caller, l.callee.key}, {l.callee, l.caller.key}}
	if l.offered != l.callee {
		ts = append(ts, talk{l.offered, l.caller.key})
	}
	return ts
}

// over takes the link out of the books.
func (l *link) over() {
	l.srv.unnamed.over(l.id)
	l.srv.mu.Lock()
	defer l.srv.mu.Unlock()
	for _, t := range l.talksLocked() {
		if t.sess.talks[t.with]--; t.sess.talks[t.with] == 0 {
			delete(t.sess.talks, t.with)
		}
	}
	l.caller.dropLinkLocked(l)
	if l.callee == nil {
		l.srv.dropSecretsLocked(l.caller.key, l.id) // nobody listens
		return
	}
	delete(l.srv.links, l.id)
	l.callee.dropLinkLocked(l)
}

// breaks notes that the channel ends before its time, which its ends are to be
// told. It reports false if it has moved: then they need not know.
func (l *link) breaks() bool {
	l.srv.mu.Lock()
	defer l.srv.mu.Unlock()
	l.closing = true
	return !l.moved
}

func (s *session) dropLinkLocked(l *link) {
	delete(s.links, l)
	s.checkIdleLocked()
}

// checkIdleLocked tells a leave that waits when there is nothing left that
// should end in its own time.
func (s *session) checkIdleLocked() {
	if len(s.links) == 0 && s.watches == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// ends returns the sessions that can be told of the link's end, and its lanes.
func (l *link) ends() (caller, callee *session, b channel.Lane) {
	l.srv.mu.Lock()
	defer l.srv.mu.Unlock()
	return l.caller, l.offered, l.b
}

// end breaks the channel for a reason: it tells both ends, but for the one
// that is the cause, and resets both lanes.
func (l *link) end(reason string, cause *session, err error) {
	l.cancel(err)
	caller, callee, b := l.ends()
	if b == nil {
		return // pending: connect ends what there is
	}
	if !l.breaks() {
		abort(l.a, mux.ReasonNone)
		abort(b, mux.ReasonNone)
		return
	}
	l.told.Do(func() {
		for _, s := range []*session{caller, callee} {
			if s != cause {
				s.notify(l.id, reason)
			}
		}
	})
	code := mux.ReasonGone
	switch {
	case reason == reasonStop:
		code = mux.ReasonShutdown
	case errors.Is(err, control.Quota):
		code = mux.ReasonQuota
	case errors.Is(err, mux.ErrFlood):
		code = mux.ReasonCalm
	}
	code = l.because(code)
	abort(l.a, code)
	abort(b, code)
}

// because notes why the channel is ended, and returns that; the first reason
// stays.
func (l *link) because(code mux.Reason) mux.Reason {
	l.srv.mu.Lock()
	defer l.srv.mu.Unlock()
	if !l.ended {
		l.ended, l.why = true, code
	}
	return l.why
}

// reasonOf is what the resets of a channel whose relay broke say. The reset of one
// lane by end breaks the relay too, and may be seen before that of the other.
func (l *link) reasonOf(err error) mux.Reason {
	l.srv.mu.Lock()
	defer l.srv.mu.Unlock()
	if l.ended {
		return l.why
	}
	return resetReason(err)
}

// abort resets a lane; a yamux lane says why.
func abort(lane channel.Lane, reason mux.Reason) {
	if stream, ok := lane.(*mux.Stream); ok {
		stream.Reset(reason)
		return
	}
	lane.Abort()
}

// broke is called by the relay when one lane has broken, before it resets the
// other.
func (l *link) broke(side channel.Side, err error) {
	survivor, callee, b := l.ends()
	lane := l.a
	if side == channel.A {
		survivor, lane = callee, b
	}
	l.told.Do(func() { survivor.notify(l.id, resetReason(err).String()) })
	l.srv.mu.Lock()
	ended, why := l.ended, l.why
	l.srv.mu.Unlock()
	if ended {
		abort(lane, why) // the relay does not say
	}
}

// notify tells a session that takes calls why a channel ends. On yamux the
// call is on its way when notify returns, so the reset that follows is behind
// it. The answer is taken in the background. A peer that does not take the
// call learns of the end by the reset alone.
func (s *session) notify(id channel.ID, reason string) {
	ctx, cancel := context.WithTimeout(s.ctx, noticeTimeout)
	wait := s.beginNotice(ctx, id, reason)
	s.aside(func() {
		defer cancel()
		wait()
	})
}

// beginNotice makes the call of notify. wait waits for its answer, which is
// `true`, and whose lack changes nothing.
func (s *session) beginNotice(ctx context.Context, id channel.ID, reason string) (wait func()) {
	return s.beginCall(ctx, control.MethodChannelClose, &control.ChannelCloseArgs{Channel: id.String(), Reason: reason})
}

// beginCall makes an async call to a session, if that takes calls. On yamux it
// is on its way when beginCall returns; else it is made by wait, which waits for
// the answer, whatever that is.
func (s *session) beginCall(ctx context.Context, method string, args control.Body) (wait func()) {
	s.srv.mu.Lock()
	m, rpc := s.mux, s.control
	s.srv.mu.Unlock()
	switch {
	case m != nil:
		stream, err := callStream(ctx, m, method, "async", args)
		if err != nil {
			return func() {}
		}
		return func() {
			_, _ = muxrpc.ReadPacket(stream, control.MaxServerBody)
			stream.Close()
		}
	case rpc != nil:
		return func() { _ = rpc.Call(ctx, method, args, nil) }
	}
	return func() {}
}

// callStream opens a stream to a peer and writes a call on it. The stream dies
// with ctx's deadline.
func callStream(ctx context.Context, m *mux.Session, name, kind string, args control.Body) (*mux.Stream, error) {
	stream, err := m.Open(ctx)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		err = stream.SetDeadline(deadline)
	}
	if err == nil {
		err = writeCall(stream, name, kind, args)
	}
	if err != nil {
		stream.Abort()
		return nil, err
	}
	return stream, nil
}

// writeCall writes a call on a lane of its own.
func writeCall(lane channel.Lane, name, kind string, args control.Body) error {
	flags := byte(muxrpc.FlagJSON)
	if kind != "async" {
		flags |= muxrpc.FlagStream
	}
	d := muxrpc.NewDraft()
	d.B = control.AppendCall(d.B, name, kind, args)
	return d.Send(lane, flags, 1)
}

// revoke ends all channels of a session, and waits until they are told.
func (s *session) revoke(reason string, err error) {
	var wg sync.WaitGroup
	for _, l := range s.openLinks() {
		wg.Go(func() { s.noted(func() { l.end(reason, nil, err) }) })
	}
	wg.Wait()
}
