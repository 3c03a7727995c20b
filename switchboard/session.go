package switchboard

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/peercred"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/names"
	"github.com/cad2f06c/switchboard/shs"
)

// Why a session ends, besides what its connection says.
var (
	errFirstByte = errors.New("the first byte is of no kind of lane")
	errCameWent  = errors.New("came and went")
)

// session is one authenticated connection of a peer, from the handshake to
// its end.
//
//	peek ─┬─ yamux: every stream is a lane; takes calls on streams of ours
//	      ├─ single lane, control: takes calls on that lane
//	      └─ single lane, channel: takes no calls
type session struct {
	// set at construction
	srv       *Server
	id        uint64
	key       shs.PublicKey
	keyText   string
	transport string
	place     place
	process   peercred.Process // that connected, on a Unix socket
	from      string           // its source in words
	conn      *shs.Conn
	log       *slog.Logger
	began     time.Time
	calls     *muxrpc.Limit // in flight on all its lanes
	ctx       context.Context
	cancel    context.CancelCauseFunc

	heard atomic.Int64 // when its last call came, since the server's start

	rights atomic.Pointer[rights] // changed with srv.mu held

	lanes sync.WaitGroup // one goroutine per yamux lane

	// guarded by srv.mu
	mux      *mux.Session                 // nil without yamux
	control  *muxrpc.Session              // without yamux: its one lane, if that is a control lane
	rpcs     map[*muxrpc.Session]struct{} // all control lanes
	links    map[*link]struct{}           // channels with an end on a lane of this session
	idle     chan struct{}                // closed when there are no links and watches; nil while nobody asks
	talks    map[shs.PublicKey]int        // keys with an open channel to this session
	watches  int
	offers   int                   // pending at this callee
	callers  map[shs.PublicKey]int // of these, by the caller's key
	slotFree chan struct{}         // closed when a pending offer ends; nil while nobody waits
	leaving  bool                  // drained or over: no new channels and names
	ended    bool                  // no new lanes
}

// newSession enters an authenticated connection into the books.
func (s *Server) newSession(life context.Context, conn *shs.Conn, o origin) *session {
	sess := &session{
		srv:       s,
		key:       conn.RemoteKey(),
		transport: o.transport,
		place:     placeOf(o, conn),
		process:   o.process,
		conn:      conn,
		began:     time.Now(),
		calls:     muxrpc.NewLimit(s.cfg.Limits.Calls),
		rpcs:      make(map[*muxrpc.Session]struct{}),
		links:     make(map[*link]struct{}),
		talks:     make(map[shs.PublicKey]int),
		callers:   make(map[shs.PublicKey]int),
	}
	sess.keyText, sess.from = sess.key.String(), sess.place.source().String()
	sess.heard.Store(int64(time.Since(s.started)))
	sess.place.files = o.transport == transportUnix && conn.PassesFiles()
	sess.ctx, sess.cancel = context.WithCancelCause(life)
	s.mu.Lock()
	sess.beginRightsLocked()
	s.last++
	sess.id = s.last
	s.sessions[sess.id] = sess
	if s.stopping { // entered behind drain's back
		sess.leaving = true
		sess.cancel(control.ShuttingDown)
	}
	s.mu.Unlock()
	sess.log = s.log.With("peer", sess.key, "session", sess.name())
	attrs := []any{"transport", o.transport, "mode", conn.Mode().String()}
	if o.transport == transportUnix {
		attrs = append(attrs, "pid", o.pid)
	} else {
		attrs = append(attrs, "remote", conn.RemoteAddr().String())
	}
	sess.log.Info("session begins", attrs...)
	s.counts.logins.Add(1)
	sess.noteLogin(conn.Mode().String())
	return sess
}

// name returns the session id as it stands on the wire.
func (s *session) name() string { return control.FormatSession(s.id) }

// owner returns the session as the registry knows it.
func (s *session) owner() names.Owner {
	return names.Owner{Session: s.id, Key: s.key, Transport: s.transport}
}

// run serves the session until it ends, and cleans up after it.
func (s *session) run() {
	err := s.shielded(s.serve)
	s.kill(err)
	s.srv.mu.Lock()
	// A lane may still be at a call that came before the end: what it claimed
	// behind our back would have an owner that never ends.
	s.leaving, s.ended = true, true
	s.srv.dropLocked(s.id)
	s.srv.tellLocked(s.srv.moved.gone(time.Now(), s.id))
	s.srv.rouse()
	m := s.mux
	s.srv.mu.Unlock()
	s.srv.unnamed.end(s)
	// Only an end in order has a goodbye: for the peer, too, a session that
	// broke must not look like one that ended.
	orderly := cleanEnd(err) || errors.Is(err, errCameWent) || errors.Is(err, control.ShuttingDown)
	switch {
	case m != nil && orderly:
		m.Close()
	case m != nil:
		m.Abort(err)
	}
	s.lanes.Wait()
	s.srv.mu.Lock()
	idle := slices.Collect(maps.Keys(s.rpcs))
	clear(s.rpcs)
	s.srv.mu.Unlock()
	for _, rpc := range idle {
		rpc.Close()
	}
	if orderly {
		s.conn.Close()
	} else {
		s.conn.Abort()
	}
	s.srv.over.n[overCalls].Add(int64(s.calls.Refused()))
	s.srv.over.end(err)
	s.logEnd(err)
}

// logEnd logs the one line of a session's end; err is there if it did not end
// in order.
func (s *session) logEnd(err error) {
	attrs := []any{"dur", time.Since(s.began).Round(time.Millisecond)}
	if cause := context.Cause(s.ctx); cleanEnd(err) && cause != context.Canceled {
		err = cause
	}
	if !cleanEnd(err) {
		attrs = append(attrs, "err", err)
	}
	s.log.Info("session ends", attrs...)
	s.noteEnd(err)
}

// kill ends the session for a reason: whoever works for it stops, and its
// channels are reset at both ends, each in a goroutine of its own because the
// other end is told first.
func (s *session) kill(cause error) {
	s.cancel(cause)
	reason := reasonGone
	if errors.Is(cause, control.ShuttingDown) {
		reason = reasonStop
	}
	for _, l := range s.openLinks() {
		s.aside(func() { l.end(reason, s, cause) })
	}
}

// serve lets the first byte pick what the connection is (PROTOCOL.md §3).
func (s *session) serve() error {
	stop := s.whenOver(s.ctx, func() { s.conn.Abort() })
	kind, err := s.peek()
	if !stop() || err != nil {
		return err
	}
	switch kind {
	case 0x00:
		return s.serveMux()
	case 0x02, 0x0a:
		s.srv.patient(s.conn.NetConn())
		return s.serveLane(s.conn, true)
	}
	s.conn.Abort()
	return errFirstByte
}

// peek looks at the first byte without consuming it. Nine zero bytes are no
// yamux header but the goodbye of a muxrpc client that came and went.
func (s *session) peek() (byte, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(firstByteTimeout)); err != nil {
		return 0, err
	}
	b, err := s.conn.Peek(1)
	if err != nil {
		return 0, late(err, "first byte", firstByteTimeout)
	}
	kind := b[0]
	if kind == 0 {
		if b, err = s.conn.Peek(9); err != nil {
			return 0, late(err, "whole first frame", firstByteTimeout)
		}
		if [9]byte(b) == [9]byte{} {
			s.conn.SetWriteDeadline(time.Now().Add(goodbyeTimeout))
			_ = muxrpc.WritePacket(s.conn, muxrpc.Packet{}) // the peer is gone or going
			return 0, errCameWent
		}
	}
	return kind, s.conn.SetReadDeadline(time.Time{})
}

// serveMux runs a yamux session: each of its streams is a lane.
func (s *session) serveMux() error {
	l := &s.srv.limits
	q := l.quota(s.rights.Load().level())
	m := mux.Server(s.conn, mux.Config{
		MaxStreams: q.Lanes,
		Backlog:    l.LaneBacklog,
		Budget:     s.srv.budget(s.key),
		Rates: mux.Rates{
			Opens:   q.opens(s.transport),
			Resets:  mux.Rate{PerSecond: l.ResetRate, Burst: l.ResetBurst},
			Pings:   mux.Rate{PerSecond: l.PingRate, Burst: l.PingBurst},
			Updates: mux.Rate{PerSecond: l.UpdateRate, Burst: l.UpdateRate},
			Early:   l.EarlyResets,
		},
		Window:       uint32(l.Window),
		KeepAlive:    l.KeepAlive,
		DeadAfter:    l.DeadAfter,
		AfterFunc:    s.srv.alarms.For(s.conn.NetConn()),
		WriteTimeout: l.WriteTimeout,
		Pace:         s.srv.pace(s.key),
		Handle:       s.startLane,
		Panicked:     s.panicked,
		Excess:       &s.srv.over.mux,
		Log:          s.log,
	})
	s.srv.mu.Lock()
	s.mux = m
	s.fitLocked() // the rules may have changed since
	s.srv.mu.Unlock()
	stop := s.whenOver(s.ctx, func() {
		if cause := context.Cause(s.ctx); errors.Is(cause, control.ShuttingDown) {
			m.Close()
		} else {
			m.Abort(cause)
		}
	})
	defer stop()
	return s.muxEnd(m, m.Run())
}

// startLane serves a yamux lane that the peer has opened. A connect goes
// without a goroutine if it can.
func (s *session) startLane(lane *mux.Stream, by *mux.Batch) {
	defer s.shield()
	p, ok := quickFirst(lane)
	if !ok {
		s.goLane(lane, func() error { return s.serveLane(lane, false) })
		return
	}
	req, err := muxrpc.ParseRequest(p)
	switch {
	case err != nil || p.Flags&muxrpc.FlagStream == 0 || req.Name != control.MethodConnect && req.Name != control.MethodAccept:
		(&controlLane{s, lane, s.newControl(lane, &p, false)}).arrived(by)
		return
	case req.Name == control.MethodAccept:
		s.goLane(lane, func() error {
			return s.serveFirst(lane, p, false, func() bool { return true })
		})
		return
	}
	c, err := s.parseConnect(req.Args)
	switch {
	case err != nil:
		s.srv.counts.refused(err)
		s.goLane(lane, func() error { refuse(lane, p.Req, err); return nil })
	case !s.tryConnect(lane, p.Req, c, by):
		s.goLane(lane, func() error { s.connect(lane, p.Req, c); return nil })
	}
}

// goLane runs what serves a lane on a goroutine of the session. Its error ends
// the session.
func (s *session) goLane(lane *mux.Stream, serve func() error) {
	s.srv.mu.Lock()
	ended := s.ended
	if !ended {
		s.lanes.Go(func() {
			err := s.shielded(serve)
			select {
			case <-s.mux.Done(): // it ended the lane, not the lane it
			default:
				if err != nil {
					s.kill(err)
				}
			}
		})
	}
	s.srv.mu.Unlock()
	if ended {
		lane.Abort()
	}
}

// muxEnd says how a yamux session ended. A peer that said go-away before its
// connection ended has left in order, whatever lanes it left open.
func (s *session) muxEnd(m *mux.Session, err error) error {
	select {
	case <-m.RemoteGoAway():
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return io.EOF
		}
	default:
	}
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return err
}

// openLinks returns the channels of the session.
func (s *session) openLinks() []*link {
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	links := make([]*link, 0, len(s.links))
	for l := range s.links {
		links = append(links, l)
	}
	return links
}

// takesCallsLocked reports whether the server can call the session.
func (s *session) takesCallsLocked() bool { return !s.leaving && (s.mux != nil || s.control != nil) }

// cleanEnd reports whether err is the end of a lane or session that nobody
// needs to hear of.
func cleanEnd(err error) bool { return err == nil || errors.Is(err, io.EOF) }

var _ channel.Lane = (*shs.Conn)(nil)
var _ channel.Lane = (*mux.Stream)(nil)
