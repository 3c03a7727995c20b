package mux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// flushTimeout bounds Close: what is queued has so long to leave.
	flushTimeout = time.Second

	// maxUnacked is how many opens may wait for the peer's ACK before Open
	// waits: no more than the peer's backlog, or it would reset them.
	maxUnacked = 64

	// maxPongs is how many answers to pings wait for the peer to read.
	maxPongs = 32
)

// state is where a session stands.
//
//	live ── Close ─────────────▶ draining ── queue is empty ──▶ (go-away 0) dead
//	  ├──── peer breaks rules ─▶ refusing ────────────────────▶ (go-away 1) dead
//	  └──── transport, Abort ──────────────────────────────────────────────▶ dead
type state uint8

const (
	live state = iota
	draining
	refusing
	dead
)

// Session is one connection that carries streams. All methods are safe for
// concurrent use.
type Session struct {
	// set at construction
	wire       wire
	cfg        Config
	client     bool
	done       chan struct{} // closed when the session is live no more
	awayGot    chan struct{} // closed by the peer's first go-away
	arrived    chan struct{} // one slot: streams may wait for Accept
	mayOpen    chan struct{} // one slot: Open may try again
	readerDone chan struct{} // closed when the reader has ended
	writerDone chan struct{} // closed when nothing will be written any more
	wg         sync.WaitGroup
	held       atomic.Int64 // bytes charged to the streams; changed under mu

	in input // owned by whoever has the right to read: see lead

	mu      sync.Mutex
	quiet   sync.Cond // L is mu; writing has become false
	state   state
	err     error // why state is not live
	streams map[uint32]*Stream
	backlog []*Stream // waiting for Accept
	nextID  uint64    // of our next Open; more than 2³² when used up
	used    idSet     // ids that the peer has opened
	theirs  uint32    // the last of them that became a stream; 0: none
	unacked int       // own opens without an answer
	widened int       // bytes of windows granted beyond the first
	widest  uint32    // the largest window the peer has had
	heard   time.Time // when bytes last arrived
	tick    Timer     // of the keepalive; nil: there is none
	silence Timer     // nil: as above
	counts  counts
	after   []func() // to be called when mu is unlocked
	turning bool     // a timer will call Handle

	lead lead

	outbox
}

// counts are what the peer has made us do.
type counts struct {
	accepts, resets, pings, updates, empty bucket
	opens                                  opens
}

// Client starts a session on the side that connected: it opens odd ids. It
// owns conn and its deadlines from now on. CloseWrite and Abort() error of
// conn are used where it has them.
func Client(conn net.Conn, cfg Config) *Session { return start(conn, cfg, true) }

// Server starts a session on the side that was connected to: it opens even
// ids. Otherwise as Client.
func Server(conn net.Conn, cfg Config) *Session { return start(conn, cfg, false) }

func start(conn net.Conn, cfg Config, client bool) *Session {
	s := &Session{
		wire:       newWire(conn),
		cfg:        cfg.withDefaults(),
		client:     client,
		done:       make(chan struct{}),
		awayGot:    make(chan struct{}),
		arrived:    make(chan struct{}, 1),
		mayOpen:    make(chan struct{}, 1),
		readerDone: make(chan struct{}),
		writerDone: make(chan struct{}),
		streams:    make(map[uint32]*Stream),
		nextID:     2,
		used:       idSet{next: 1},
		widest:     initialWindow,
		heard:      time.Now(),
	}
	if client {
		s.nextID, s.used.next = 1, 2
	}
	s.quiet.L, s.lead.turn.L = &s.mu, &s.mu
	s.lead.need = minStreak
	s.cfg.Budget.enter(s)
	s.startTick()
	if s.cfg.Handle == nil {
		s.wg.Go(s.readLoop)
	} else {
		s.wg.Add(1) // Run
	}
	return s
}

// Run reads for a session with Config.Handle, until it ends, and returns why,
// as Err does. It must be called, once.
func (s *Session) Run() error {
	defer s.wg.Done()
	s.readLoop()
	return s.Err()
}

// Open starts a stream. It does not wait for the peer to accept it; only when
// 64 opens have no answer yet it waits for one, until ctx ends. A stream that
// the peer does not take is reset, which its Read and Write tell. Errors:
// ErrStreams, ErrGoAway, ctx's, and that of the ended session.
func (s *Session) Open(ctx context.Context) (*Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		st, err := s.TryOpen()
		if st != nil || err != nil {
			return st, err
		}
		select {
		case <-s.mayOpen:
		case <-s.awayGot:
		case <-s.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TryOpen is Open where that need not wait; else it returns neither a stream
// nor an error.
func (s *Session) TryOpen() (*Stream, error) {
	s.mu.Lock()
	defer s.unlock()
	switch {
	case s.state != live:
		return nil, s.err
	case s.peerAway:
		return nil, ErrGoAway
	case len(s.streams) >= s.cfg.MaxStreams:
		return nil, fmt.Errorf("%w: %d", ErrStreams, len(s.streams))
	case s.nextID > math.MaxUint32:
		return nil, fmt.Errorf("%w: no id is left", ErrStreams)
	case s.unacked >= maxUnacked:
		return nil, nil
	}
	st := s.addLocked(uint32(s.nextID))
	s.nextID += 2
	st.opening, st.unacked = true, true
	if s.unacked++; s.unacked < maxUnacked {
		notify(s.mayOpen)
	}
	s.scheduleLocked(st)
	return st, nil
}

// Accept waits for a stream that the peer opened, and for its turn in
// Rates.Opens. Errors: ctx's, and that of the ended session (io.EOF when the
// peer ended it in good order).
func (s *Session) Accept(ctx context.Context) (*Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		st, wait, err := s.tryAccept()
		if st != nil || err != nil {
			return st, err
		}
		var turn <-chan time.Time
		if wait > 0 {
			turn = time.After(wait)
		}
		select {
		case <-s.arrived:
		case <-turn:
		case <-s.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryAccept returns neither a stream nor an error when Accept has to wait, for
// its turn if wait is positive.
func (s *Session) tryAccept() (st *Stream, wait time.Duration, err error) {
	s.mu.Lock()
	defer s.unlock()
	return s.tryAcceptLocked()
}

// handleLocked has Config.Handle called for the streams whose turn it is.
func (s *Session) handleLocked(reader bool) {
	for {
		st, wait, err := s.tryAcceptLocked()
		switch {
		case st != nil:
			f := func(b *Batch) { s.cfg.Handle(st, b) }
			if reader {
				s.in.events = append(s.in.events, f)
			} else {
				s.after = append(s.after, func() { f(nil) })
			}
			continue
		case err == nil && wait > 0 && !s.turning:
			s.turning = true
			s.cfg.Excess.Opens.Add(1)
			time.AfterFunc(wait, s.onTurn)
		}
		return
	}
}

func (s *Session) tryAcceptLocked() (st *Stream, wait time.Duration, err error) {
	if s.state != live {
		return nil, 0, s.err
	}
	if len(s.backlog) == 0 {
		return nil, 0, nil
	}
	if opens := s.cfg.Rates.Opens; !s.counts.accepts.take(opens, time.Now()) {
		return nil, s.counts.accepts.wait(opens), nil
	}
	st = s.backlog[0]
	s.backlog[0] = nil
	s.backlog = s.backlog[1:]
	if len(s.backlog) > 0 {
		notify(s.arrived)
	} else {
		s.backlog = nil
	}
	st.waiting, st.acking = false, true
	s.scheduleLazyLocked(st)
	return st, 0, nil
}

// GoAway tells the peer to open no more streams: those that it opens from now
// on are reset. What is open goes on. The error is that of the ended session.
func (s *Session) GoAway() error {
	s.mu.Lock()
	defer s.unlock()
	if s.state != live {
		return s.err
	}
	s.awayDue = !s.awaySent
	s.due = true
	return nil
}

// RemoteGoAway returns a channel that is closed by the peer's go-away.
func (s *Session) RemoteGoAway() <-chan struct{} { return s.awayGot }

// Close ends the session: what the streams have queued is sent, then a
// go-away, and the peer has until one second from now to take it and to end
// its side; then the connection is closed. Own streams are closed at once
// with ErrSessionClosed; a stream of the peer that has not ended reads an
// error there. Idempotent; waits for the session's goroutines.
func (s *Session) Close() error {
	s.end(draining, ErrSessionClosed)
	t := time.NewTimer(flushTimeout)
	defer t.Stop()
	for _, ended := range []<-chan struct{}{s.writerDone, s.readerDone} {
		select {
		case <-ended:
			continue
		case <-t.C:
		}
		break
	}
	s.wire.Close() // its error tells nothing that anybody could act on
	s.wg.Wait()
	return nil
}

// Abort ends the session and the connection at once: nothing more is sent,
// but for the go-away of a session that has ended because its peer broke the
// rules, which gets its moment. Streams here give err (ErrSessionClosed if nil), those of the peer an error.
// Idempotent; waits for the session's goroutines.
func (s *Session) Abort(err error) {
	if err == nil {
		err = ErrSessionClosed
	} else if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // io.EOF is kept for the clean end
	}
	if !s.refused() {
		s.end(dead, err)
		s.wire.hangUp()
	}
	s.wg.Wait()
}

// refused reports whether the peer is being told that it broke the rules; then
// the reader hangs up, a second later at most.
func (s *Session) refused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == refusing
}

// Done returns a channel that is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns nil while the session lives; then why it ended. io.EOF: the
// peer sent a go-away and ended the connection while no stream was open.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// NumStreams returns how many streams there are, of either side.
func (s *Session) NumStreams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// end moves the session to a later state; the first error stays.
func (s *Session) end(to state, err error) {
	s.mu.Lock()
	defer s.unlock()
	s.endLocked(to, err)
}

func (s *Session) endLocked(to state, err error) {
	if s.state != live {
		if to == dead {
			s.state = dead
			s.quiet.Broadcast()
		}
		return
	}
	s.state, s.err = to, err
	close(s.done)
	s.quiet.Broadcast()
	for _, t := range []Timer{s.tick, s.silence} {
		if t != nil {
			t.Stop()
		}
	}
	for _, st := range s.streams {
		st.dieLocked(err)
	}
	s.streams, s.backlog = nil, nil
	s.dropFilesLocked()
	s.kickLocked(s.lead.by)
	s.reclaimLocked()
	if s.lead.timer != nil {
		s.lead.timer.Stop()
	}
	s.after = append(s.after, func() { s.cfg.Budget.leave(s) })
	if to == dead {
		close(s.writerDone)
	} else {
		s.wg.Go(s.finish) // the reader is alive, so Wait waits for this one, too
	}
}

// notify puts a token into a channel of one slot.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
