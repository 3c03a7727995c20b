package mux

import (
	"io"
	"net"
	"sync"
	"time"
)

// Stream is one duplex flow of a session: a net.Conn with CloseWrite and
// Abort. All methods are safe for concurrent use; Writes of several goroutines
// do not mix. Whoever has a Stream ends it with Close or Abort.
type Stream struct {
	// set at construction
	s  *Session
	id uint32

	// All below is guarded by s.mu, which is the L of both Conds.
	rcond, wcond sync.Cond
	rd, wr       deadline

	in       buffer // received and unread
	dst      []byte // of the Read that waits: dst[:got] has come
	got      int
	window   uint32 // what the peer may send ahead
	recvWin  uint32 // what the peer may still send
	consumed uint32 // read and not yet granted again
	gotFIN   bool
	recvDone bool  // nothing more will come: FIN or a reset
	rerr     error // what Read gives once in is empty

	out      buffer // written and not yet in a write
	sendWin  int64  // what may still be written; negative: so much of out has to wait
	writing  bool   // a Write is under way
	noMore   bool   // CloseWrite was called
	sendDone bool   // FIN or a reset has been sent, or a reset has come
	werr     error  // what Write gives

	opening  bool   // SYN is due
	acking   bool   // ACK is due
	grant    uint32 // a window update is due
	finDue   bool   // FIN is due, after out
	resetDue bool   // RST is due, after FIN if that is due
	reason   Reason // of our reset
	unacked  bool   // we opened it, and the peer has not answered
	waiting  bool   // in the backlog
	closed   bool   // Close or Abort was called
	lingers  bool   // closed, and a tick has passed since
	ended    bool   // forgotten by the session
	charged  int    // bytes on the Budget

	event   func(*Batch) // see Notify
	eventAt int

	// of a spliced stream: see Splice
	pair   *Splice
	other  *Stream
	direct bool  // what arrives goes to other
	ready  bool  // credit is counted
	paced  bool  // a timer will grant credit
	used   bool  // its peer has sent much: credit is granted as it comes
	credit int64 // window that other's peer granted, not yet passed on; negative: a debt

	prev, next *Stream // in s.ready
	inRing     bool
}

// addLocked makes a stream.
func (s *Session) addLocked(id uint32) *Stream {
	st := &Stream{
		s: s, id: id,
		window: initialWindow, recvWin: initialWindow, sendWin: initialWindow,
	}
	if more := s.cfg.Window - initialWindow; more > 0 && s.widened+int(more) <= s.cfg.Budget.Limit()/2 {
		s.widened += int(more)
		st.window += more
		st.grant = more // goes out with SYN or ACK
	}
	st.rcond.L, st.wcond.L = &s.mu, &s.mu
	s.streams[id] = st
	return st
}

// ID returns the yamux stream id: odd if the session's client opened it.
func (st *Stream) ID() uint32 { return st.id }

// LocalAddr returns that of the session's connection.
func (st *Stream) LocalAddr() net.Addr { return st.s.wire.LocalAddr() }

// RemoteAddr returns that of the session's connection.
func (st *Stream) RemoteAddr() net.Addr { return st.s.wire.RemoteAddr() }

// Read implements net.Conn. io.EOF comes only after the peer's FIN and all
// data before it; see the package comment for the other ends. A Read whose
// deadline passes takes nothing.
func (st *Stream) Read(p []byte) (int, error) {
	s := st.s
	s.mu.Lock()
	defer s.unlock()
	mine := false // dst is p
	defer func() {
		if mine {
			st.dst, st.got = nil, 0
			st.rcond.Broadcast() // other Reads may wait for their turn
		}
	}()
	for {
		if st.closed {
			return 0, net.ErrClosed
		}
		if n := st.got; mine && n > 0 {
			st.consumeLocked(n)
			return n, nil
		}
		err := st.rd.errLocked()
		switch {
		case err != nil:
		case len(p) == 0:
			return 0, nil
		case st.dst != nil && !mine: // another Read is before us
		case st.in.n > 0:
			n := st.in.read(p)
			st.chargeLocked()
			st.consumeLocked(n)
			return n, nil
		case st.rerr != nil: // before FIN: it may have come after data was dropped
			err = st.rerr
		case st.gotFIN:
			err = io.EOF
		default:
			st.dst, mine = p, true
		}
		if err != nil {
			return 0, err
		}
		if mine && s.leadLocked(st) {
			continue
		}
		s.waitLocked(st, &st.rcond, &st.rd)
	}
}

// arriveLocked stores what has come: with the Read that waits, else in in. A
// Read whose deadline has passed waits no more, though it may not know yet.
func (st *Stream) arriveLocked(p []byte) {
	st.s.arrivedLocked(st, len(p))
	if st.dst != nil && st.in.n == 0 && st.rd.errLocked() == nil {
		n := copy(st.dst[st.got:], p)
		st.got += n
		p = p[n:]
	}
	if len(p) > 0 {
		st.in.append(p)
		st.chargeLocked()
	}
	st.rcond.Broadcast()
	st.happenedLocked(true)
}

// consumeLocked counts what was read, and grants it again when it is half of
// the window. Through a relay each grant wakes two processes and costs seven
// system calls: at an eighth of 1 MiB they were half of all.
func (st *Stream) consumeLocked(n int) {
	st.consumed += uint32(n)
	if st.consumed >= st.window/2 && !st.recvDone && st.rerr == nil {
		st.grantLocked()
	}
	st.settleLocked()
}

func (st *Stream) grantLocked() {
	st.grant += st.consumed
	st.consumed = 0
	st.s.scheduleLocked(st)
}

// Write implements net.Conn. It returns when all of p is queued, inside the
// window that the peer has granted. After an error exactly the n bytes that it
// returns have been queued, and no others will follow. A reset, by either
// side, and the death of the session discard what is queued.
func (st *Stream) Write(p []byte) (int, error) {
	s := st.s
	s.mu.Lock()
	defer s.unlock()
	for st.writing {
		if err := st.writeErrLocked(); err != nil {
			return 0, err
		}
		s.waitLocked(st, &st.wcond, &st.wr)
	}
	st.writing = true
	defer func() {
		st.writing = false
		st.wcond.Broadcast()
	}()
	for n := 0; ; {
		if err := st.writeErrLocked(); err != nil {
			return n, err
		}
		k := s.placeLocked(st, p[n:n+int(max(0, min(int64(len(p)-n), st.sendWin)))])
		if k == 0 {
			k = min(len(p)-n, st.roomLocked())
			st.out.append(p[n : n+k])
			s.queued += k
			if k > 0 {
				s.scheduleLocked(st)
			}
		}
		st.sendWin -= int64(k)
		n += k
		if n == len(p) {
			return n, nil
		}
		if k == 0 {
			s.reclaimLocked() // a window update has to be read
			s.waitLocked(st, &st.wcond, &st.wr)
		}
	}
}

// roomLocked returns how many bytes may be queued now.
func (st *Stream) roomLocked() int {
	limit := maxQueue
	if st.s.queued >= maxQueued {
		limit = fairQueue
	}
	return max(0, min(limit-st.out.n, int(st.sendWin)))
}

func (st *Stream) writeErrLocked() error {
	switch {
	case st.closed:
		return net.ErrClosed
	case st.werr != nil:
		return st.werr
	case st.noMore:
		return net.ErrClosed
	}
	return st.wr.errLocked()
}

// CloseWrite ends the direction to the peer, which reads io.EOF after all that
// was written. A Write that waits fails with net.ErrClosed. Reading goes on.
// The error is that of a reset or of the session. Idempotent.
func (st *Stream) CloseWrite() error {
	s := st.s
	s.mu.Lock()
	defer s.unlock()
	switch {
	case st.noMore:
		return nil
	case st.closed:
		return net.ErrClosed
	case st.werr != nil:
		return st.werr
	}
	st.endWriteLocked()
	return nil
}

func (st *Stream) endWriteLocked() {
	st.noMore, st.finDue = true, true
	st.wr.stopLocked()
	st.wcond.Broadcast()
	st.s.scheduleLocked(st)
}

// Close ends both directions: what was written is sent, then FIN. Unread data
// is discarded; if the peer sends more, it gets RST. Returns nil. Idempotent.
func (st *Stream) Close() error {
	s := st.s
	s.mu.Lock()
	defer s.unlock()
	if st.closed {
		return nil
	}
	st.closed = true
	st.rd.stopLocked()
	st.wr.stopLocked()
	if !st.noMore && st.werr == nil {
		st.endWriteLocked()
	}
	// The peer may wait for window: it gets some, so that it can finish, or
	// send on and be told.
	if n := st.dropInLocked(); n > 0 && !st.recvDone && st.rerr == nil {
		st.consumed += uint32(n)
		st.grantLocked()
	}
	st.settleLocked()
	st.wakeLocked()
	st.happenedLocked(false)
	return nil
}

// Abort ends both directions at once: what is queued or unread is discarded,
// and the peer reads an error, unless FIN had gone out before. Returns nil.
// It may be called after Close, and any number of times.
func (st *Stream) Abort() error { return st.Reset(ReasonNone) }

// Reset is Abort with a reason, which the peer is told.
func (st *Stream) Reset(reason Reason) error {
	st.s.mu.Lock()
	defer st.s.unlock()
	st.closed = true
	st.abortLocked(net.ErrClosed, reason)
	return nil
}

// abortLocked resets the stream from our side, for err.
func (st *Stream) abortLocked(err error, reason Reason) {
	st.rd.stopLocked()
	st.wr.stopLocked()
	st.dropInLocked()
	st.dropOutLocked()
	if st.rerr == nil {
		st.rerr = err
	}
	if st.werr == nil {
		st.werr = err
	}
	st.finDue, st.grant = false, 0
	st.leaveBacklogLocked()
	if !st.recvDone || !st.sendDone {
		if !st.resetDue { // the first reason stays
			st.resetDue, st.reason = true, reason
		}
		st.s.scheduleLocked(st)
	}
	st.breakLocked(err)
	st.settleLocked()
	st.wakeLocked()
	st.happenedLocked(false)
}

// SetDeadline implements net.Conn.
func (st *Stream) SetDeadline(t time.Time) error {
	return st.setDeadlines(t, &st.rd, &st.wr)
}

// SetReadDeadline implements net.Conn.
func (st *Stream) SetReadDeadline(t time.Time) error { return st.setDeadlines(t, &st.rd, nil) }

// SetWriteDeadline implements net.Conn.
func (st *Stream) SetWriteDeadline(t time.Time) error { return st.setDeadlines(t, nil, &st.wr) }

func (st *Stream) setDeadlines(t time.Time, rd, wr *deadline) error {
	st.s.mu.Lock()
	defer st.s.unlock()
	if st.closed {
		return net.ErrClosed
	}
	if rd != nil {
		rd.setLocked(t, &st.rcond)
		st.s.kickLocked(st)
	}
	if wr != nil {
		wr.setLocked(t, &st.wcond)
	}
	return nil
}

// Notify has f called, once, when more than n bytes wait to be read, or the
// stream has ended: the peer's FIN, a reset by either side, Close, the end of the
// session; at once if that is so already. f runs with no lock held, on the session's reader, which
// lends its Batch, or elsewhere with a nil one. It must not wait. silent takes f
// back, and reports whether it was in time.
func (st *Stream) Notify(n int, f func(*Batch)) (silent func() bool) {
	st.s.mu.Lock()
	defer st.s.unlock()
	st.event, st.eventAt = f, n
	st.happenedLocked(false)
	return func() bool {
		st.s.mu.Lock()
		defer st.s.unlock()
		kept := st.event != nil
		st.event = nil
		return kept
	}
}

// Peek copies what waits to be read into p, without waiting, and returns how
// much waits; ended: nothing will come after it.
func (st *Stream) Peek(p []byte) (waits int, ended bool) {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	st.in.peek(p)
	return st.in.n, st.recvDone || st.rerr != nil || st.closed
}
