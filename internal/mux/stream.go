package mux

import (
	"io"
	"net"
	"slices"
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
	recvWin  uint32 // what the peer may still send
	consumed uint32 // read and not yet granted again
	gotFIN   bool
	recvDone bool  // nothing more will come: FIN or a reset
	rerr     error // what Read gives once in is empty

	out      buffer // written, in the window, not yet sent
	sendWin  uint32 // what may still be written
	writing  bool   // a Write is under way
	noMore   bool   // CloseWrite was called
	sendDone bool   // FIN or a reset has been sent, or a reset has come
	werr     error  // what Write gives

	opening  bool   // SYN is due
	acking   bool   // ACK is due
	grant    uint32 // a window update is due
	finDue   bool   // FIN is due, after out
	resetDue bool   // RST is due, after FIN if that is due
	unacked  bool   // we opened it, and the peer has not answered
	waiting  bool   // in the backlog
	closed   bool   // Close or Abort was called
	ended    bool   // forgotten by the session

	prev, next *Stream // in s.ready
	inRing     bool
}

// addLocked makes a stream.
func (s *Session) addLocked(id uint32) *Stream {
	st := &Stream{
		s: s, id: id,
		recvWin: initialWindow, sendWin: initialWindow,
		grant: s.cfg.Window - initialWindow, // goes out with SYN or ACK
	}
	st.rcond.L, st.wcond.L = &s.mu, &s.mu
	s.streams[id] = st
	return st
}

// ID returns the yamux stream id: odd if the session's client opened it.
func (st *Stream) ID() uint32 { return st.id }

// LocalAddr returns that of the session's connection.
func (st *Stream) LocalAddr() net.Addr { return st.s.conn.LocalAddr() }

// RemoteAddr returns that of the session's connection.
func (st *Stream) RemoteAddr() net.Addr { return st.s.conn.RemoteAddr() }

// Read implements net.Conn. io.EOF comes only after the peer's FIN and all
// data before it; see the package comment for the other ends. A Read whose
// deadline passes takes nothing.
func (st *Stream) Read(p []byte) (int, error) {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if st.closed {
			return 0, net.ErrClosed
		}
		if err := st.rd.errLocked(); err != nil {
			return 0, err
		}
		switch {
		case len(p) == 0:
			return 0, nil
		case st.in.n > 0:
			return st.takeLocked(p), nil
		case st.rerr != nil: // before FIN: it may have come after data was dropped
			return 0, st.rerr
		case st.gotFIN:
			return 0, io.EOF
		}
		st.rcond.Wait()
	}
}

// takeLocked reads from the buffer, and grants what has been read when it is
// half of the window.
func (st *Stream) takeLocked(p []byte) int {
	s := st.s
	s.held -= st.in.held
	n := st.in.read(p, &s.pool)
	s.held += st.in.held
	st.consumed += uint32(n)
	if st.consumed >= s.cfg.Window/2 && !st.recvDone && st.rerr == nil {
		st.grantLocked()
	}
	st.settleLocked()
	return n
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
	defer s.mu.Unlock()
	for st.writing {
		if err := st.writeErrLocked(); err != nil {
			return 0, err
		}
		st.wcond.Wait()
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
		k := min(len(p)-n, st.roomLocked())
		if k > 0 {
			st.out.append(p[n:n+k], &s.pool)
			st.sendWin -= uint32(k)
			s.queued += k
			n += k
			s.scheduleLocked(st)
		}
		if n == len(p) {
			return n, nil
		}
		if k == 0 {
			st.wcond.Wait()
		}
	}
}

// roomLocked returns how many bytes may be queued now.
func (st *Stream) roomLocked() int {
	limit := maxQueue
	if st.s.queued >= maxQueued {
		limit = fairQueue
	}
	return min(max(0, limit-st.out.n), int(st.sendWin))
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
	defer s.mu.Unlock()
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
	defer s.mu.Unlock()
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
	st.rcond.Broadcast()
	st.wcond.Broadcast()
	return nil
}

// Abort ends both directions at once: what is queued or unread is discarded,
// and the peer reads an error, unless FIN had gone out before. Returns nil.
// It may be called after Close, and any number of times.
func (st *Stream) Abort() error {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	st.closed = true
	st.abortLocked(net.ErrClosed)
	return nil
}

// abortLocked resets the stream from our side, for err.
func (st *Stream) abortLocked(err error) {
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
		st.resetDue = true
		st.s.scheduleLocked(st)
	}
	st.settleLocked()
	st.rcond.Broadcast()
	st.wcond.Broadcast()
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
	defer st.s.mu.Unlock()
	if st.closed {
		return net.ErrClosed
	}
	if rd != nil {
		rd.setLocked(t, &st.rcond)
	}
	if wr != nil {
		wr.setLocked(t, &st.wcond)
	}
	return nil
}

// answeredLocked notes that the peer knows of our open.
func (st *Stream) answeredLocked() {
	if st.unacked {
		st.unacked = false
		st.s.unacked--
		notify(st.s.mayOpen)
	}
}

// finLocked takes the peer's FIN. A second one means nothing.
func (st *Stream) finLocked() {
	if st.recvDone {
		return
	}
	st.gotFIN, st.recvDone = true, true
	st.grant = 0
	st.settleLocked()
	st.rcond.Broadcast()
}

// resetLocked takes the peer's RST. If its FIN came first, what it sent is
// complete and stays.
func (st *Stream) resetLocked() {
	if !st.gotFIN {
		st.dropInLocked()
		if st.rerr == nil {
			st.rerr = ErrReset
		}
	}
	if st.werr == nil {
		st.werr = ErrReset
	}
	st.dropOutLocked()
	st.opening, st.acking, st.grant, st.finDue, st.resetDue = false, false, 0, false, false
	st.recvDone, st.sendDone = true, true
	st.s.ready.remove(st)
	st.leaveBacklogLocked()
	st.settleLocked()
	st.rcond.Broadcast()
	st.wcond.Broadcast()
}

// refuseLocked answers data that nobody will read: RST, after FIN.
func (st *Stream) refuseLocked() {
	st.resetDue = true
	st.s.scheduleLocked(st)
}

// dieLocked takes the end of the session. What has arrived can still be read.
func (st *Stream) dieLocked(err error) {
	if st.rerr == nil && !st.gotFIN {
		st.rerr = err
	}
	if st.werr == nil {
		st.werr = err
	}
	st.rd.stopLocked()
	st.wr.stopLocked()
	st.rcond.Broadcast()
	st.wcond.Broadcast()
}

// settleLocked forgets the stream when both directions have ended and nothing
// is left to read.
func (st *Stream) settleLocked() {
	if st.ended || !st.recvDone || !st.sendDone || st.in.n > 0 {
		return
	}
	st.ended = true
	st.dropInLocked() // what an empty buffer keeps
	st.dropOutLocked()
	st.answeredLocked()
	st.s.ready.remove(st)
	delete(st.s.streams, st.id)
}

func (st *Stream) dropInLocked() int {
	st.s.held -= st.in.held
	return st.in.drop(&st.s.pool)
}

func (st *Stream) dropOutLocked() {
	st.s.queued -= st.out.drop(&st.s.pool)
}

// leaveBacklogLocked takes a stream out that was given up before Accept, so
// that opens and resets in turn do not pile up in front of the application.
func (st *Stream) leaveBacklogLocked() {
	if !st.waiting {
		return
	}
	st.waiting = false
	b := &st.s.backlog
	if i := slices.Index(*b, st); i >= 0 {
		*b = slices.Delete(*b, i, i+1)
	}
}
