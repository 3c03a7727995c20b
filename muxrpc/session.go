package muxrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lingerTimeout is how long the peer's clean end is waited for once ours is written.
const lingerTimeout = time.Second

// maxRequests is the last request number: the header holds an i32.
const maxRequests = math.MaxInt32

// Session is one end of a muxrpc connection. All methods are safe for concurrent use.
type Session struct {
	// set at construction
	conn   Conn
	cfg    Config
	ctx    context.Context // parent of every Call's; ends with the session
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when err is set
	eof    chan struct{} // closed when the reader has returned
	try    tryWriter     // conn, if it can
	out    outbox
	wg     sync.WaitGroup // reader (but not in Serve), writer, Call.Go

	dropped, refused, quota atomic.Uint64

	mu       sync.Mutex
	err      error // sticky; set once
	reading  bool  // somebody reads, or nobody may any more
	leaving  bool  // Goodbye was called
	forced   bool  // and its time is up
	peerGone bool  // the peer's direction ended cleanly
	peerBye  bool  // by a goodbye
	byeSent  bool
	shut     bool                  // CloseWrite is asked for
	open     int                   // answers, and ENDs of our direction, that are not yet queued
	last     int32                 // our last request number
	calls    map[int32]chan Packet // our async calls: number → where the answer goes; closed when there will be none
	opened   map[int32]*Stream     // our streams, by number
	served   map[int32]*Call       // the peer's calls and streams, by number
}

// NewSession runs muxrpc over conn, which belongs to the session from now on: it is closed or aborted when the
// session ends. The caller must call Close, even after Done; with Config.Manual also Serve.
func NewSession(conn Conn, cfg Config) *Session {
	s := &Session{
		conn: conn,
		cfg:  cfg.withDefaults(),
		done: make(chan struct{}),
		eof:  make(chan struct{}),
	}
	s.try, _ = conn.(tryWriter)
	s.ctx, s.cancel = context.WithCancelCause(root{})
	s.out.max = s.cfg.MaxPending
	s.out.start = func() { s.goGuarded(s.write) }
	if !cfg.Manual {
		s.reading = true
		s.goGuarded(s.read)
	}
	return s
}

// goGuarded runs f on a goroutine of the session.
func (s *Session) goGuarded(f func()) {
	s.wg.Go(func() {
		defer s.guard()
		f()
	})
}

// guard, when deferred, makes a panic the end of the session and of nothing else, if the Config asks for that.
func (s *Session) guard() {
	if s.cfg.Panicked == nil {
		return
	}
	if v := recover(); v != nil {
		s.cfg.Panicked(v)
		s.conn.Abort() // who reads, and who waits for an answer, hears of it
	}
}

// Serve reads on the caller's goroutine until the session has ended, and returns when all of its goroutines have; the error is
// Err's. It is for sessions with Config.Manual, once; Step may have come before.
func (s *Session) Serve() error {
	if s.mayRead() {
		s.readWhile(nil)
	} else if !s.readOver() {
		return errServed
	}
	<-s.done
	s.wg.Wait()
	return s.Err()
}

// Step is Serve as long as more, asked before each packet, says that there is one to handle: so an idle session has no goroutine at
// all. The Config's First is handled in any case. Step does not wait where neither the conn has to for a packet, nor a sender for
// room (Quiet). over: there will be no more packets, and Serve is to be called for the rest; else Step or Serve, later.
func (s *Session) Step(more func() bool) (over bool) {
	if !s.mayRead() {
		return s.readOver()
	}
	if s.readWhile(more) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil { // Close may wait for the reader
		close(s.eof)
		return true
	}
	s.reading = false
	return false
}

// mayRead makes the caller the reader, if there is none.
func (s *Session) mayRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	may := !s.reading
	s.reading = true
	return may
}

// readOver reports whether the last packet was read.
func (s *Session) readOver() bool {
	select {
	case <-s.eof:
		return true
	default:
		return false
	}
}

// Quiet reports whether all that was sent is written: then an answer to the next call waits for nothing.
func (s *Session) Quiet() bool {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return s.out.size == 0 && len(s.out.waiters) == 0
}

// root is the parent of a session's context: a session is begun without one, and only its own end cancels.
type root struct{}

func (root) Deadline() (time.Time, bool) { return time.Time{}, false }
func (root) Done() <-chan struct{}       { return nil }
func (root) Err() error                  { return nil }
func (root) Value(any) any               { return nil }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is nil while the session lives; then io.EOF after a clean end (goodbye or half-close of the peer, open answers given, sources
// ended), net.ErrClosed after Close, else what broke.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Stats returns the counters.
func (s *Session) Stats() Stats {
	return Stats{Dropped: s.dropped.Load(), Refused: s.refused.Load(), Quota: s.quota.Load()}
}

// Close ends the session at once: conn.Abort, unless the session had ended before. It returns when the session's goroutines have,
// those of Call.Go too, whose contexts it cancels; so it must not be called from one of them. Idempotent.
func (s *Session) Close() error {
	s.finish(net.ErrClosed, s.conn.Abort)
	<-s.done // whoever else ended it is through
	s.mu.Lock()
	reading := s.reading
	s.reading = true
	s.mu.Unlock()
	if reading {
		<-s.eof // the last that may start a goroutine
	}
	s.wg.Wait()
	return nil
}

// Goodbye ends the session gracefully: new calls are refused, open calls answered, sources ended, then nine zero bytes sent
// and the peer's waited for. It returns nil once the session has ended cleanly. If ctx ends first the session says
// what it can and closes without the peer's goodbye. In every case Close must follow.
func (s *Session) Goodbye(ctx context.Context) error {
	s.mu.Lock()
	s.leaving = true
	streams := s.streamsLocked()
	s.mu.Unlock()
	for _, st := range streams {
		st.leave(ctx.Done())
	}
	s.advance()
	select {
	case <-s.done:
		if err := s.Err(); err != io.EOF {
			return fmt.Errorf("muxrpc: saying goodbye: %w", err)
		}
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		s.forced = true
		s.mu.Unlock()
		s.advance()
		return fmt.Errorf("muxrpc: saying goodbye: %w", context.Cause(ctx))
	}
}

// put enters v in a table, which is made when it is needed: most sessions need one of theirs.
func put[V any](table *map[int32]V, id int32, v V) {
	if *table == nil {
		*table = make(map[int32]V)
	}
	(*table)[id] = v
}

// streamsLocked lists the streams of both sides.
func (s *Session) streamsLocked() []*Stream {
	streams := slices.Collect(maps.Values(s.opened))
	for _, c := range s.served {
		if c.stream != nil {
			streams = append(streams, c.stream)
		}
	}
	return streams
}

// advance takes the next step of a session that drains, if it is due: goodbye when nothing is open, CloseWrite when the peer
// has ended too. It is called after each change of what it looks at.
func (s *Session) advance() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leaving && !s.peerGone || s.open > 0 && !s.forced {
		return
	}
	bye := !s.byeSent && (s.leaving || s.peerBye)
	shut := !s.shut && (s.peerGone || s.forced)
	if bye || shut {
		s.byeSent = s.byeSent || bye
		s.shut = s.shut || shut
		s.out.finish(bye, shut) // never blocks
	}
}

// endPeer notes the clean end of the peer's direction: its calls still get answers, sources are ended, and nothing that waits for
// the peer will come.
func (s *Session) endPeer(bye bool) {
	s.mu.Lock()
	if s.peerGone {
		s.mu.Unlock()
		return
	}
	s.peerGone, s.peerBye = true, bye
	calls := s.calls
	s.calls = nil
	streams := s.streamsLocked()
	s.mu.Unlock()
	for _, answer := range calls {
		close(answer)
	}
	for _, st := range streams {
		st.peerGone()
	}
	s.advance()
}

// finish is the one place where a session ends: the first error stays, release ends the conn, everybody wakes.
func (s *Session) finish(err error, release func() error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	calls, streams := s.calls, s.streamsLocked()
	served := slices.Collect(maps.Values(s.served))
	s.calls = nil
	s.mu.Unlock()

	// The session is over whatever the conn says to that.
	_ = release()
	s.cancel(err)
	s.out.fail(err)
	for _, answer := range calls {
		close(answer)
	}
	for _, st := range streams {
		st.sessionEnded(err)
	}
	for _, c := range served {
		c.forget()
	}
	close(s.done)
}

// fail ends the session for a reason that the peer must not take for a clean end.
func (s *Session) fail(step string, err error) {
	s.finish(fmt.Errorf("muxrpc: %s: %w", step, err), s.conn.Abort)
}

// goneErr is what a call or stream returns that the session's end has cut off, or come before.
func (s *Session) goneErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.err
	switch {
	case err == nil && s.leaving:
		err = net.ErrClosed
	case err == nil, err == io.EOF: // the peer ended cleanly, but this was open
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("muxrpc: session ended: %w", err)
}

// read is the reading goroutine.
func (s *Session) read() { s.readWhile(nil) }

// readWhile handles packets while more says so, and reports whether the reading
// is over.
func (s *Session) readWhile(more func() bool) (over bool) {
	if s.cfg.First != nil {
		s.dispatch(*s.cfg.First)
		s.cfg.First = nil // not to be kept
	}
	var h header
	for more == nil || more() {
		p, err := readPacket(s.conn, &h, s.cfg.MaxBody, nil)
		if err == nil {
			s.dispatch(p)
			continue
		}
		s.mu.Lock()
		bye := s.peerBye
		s.mu.Unlock()
		switch {
		case bye: // after it a stock peer may drop the conn as it likes
		case errors.Is(err, io.EOF):
			s.endPeer(false)
		default:
			s.fail("reading packet", err)
		}
		close(s.eof)
		return true
	}
	return false
}
