package mux

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// The reader has two buffers: the small one while little arrives, so that an
// idle session costs little.
const (
	smallRead  = 1 << 10
	bigRead    = 64 << 10
	smallReads = 4 // that many reads in a row would have fit the small one: back to it
)

// input is the reader's place in the byte stream.
type input struct {
	hdr  [headerSize]byte
	n    int     // bytes of hdr that are there
	body uint32  // bytes of a data frame that are still to come
	to   *Stream // whose they are; nil: discarded
	fin  bool    // to ends with the last of them

	small [smallRead]byte
	big   []byte // nil: small is in use
	few   int    // small reads in a row
}

// readLoop takes frames until the connection or the session ends, and leaves
// the connection closed unless Close does that.
func (s *Session) readLoop() {
	defer close(s.readerDone)
	err := s.receive()
	switch s.stopped(err) {
	case draining: // Close waits for the writer as well, then closes
	case refusing:
		s.discard()
		s.hangUp()
	case dead:
		if errors.Is(s.Err(), io.EOF) {
			s.conn.Close() // both sides are through: in good order
			return
		}
		s.hangUp()
	}
}

// receive reads and handles until there is an error.
func (s *Session) receive() error {
	if err := s.setDeadAt(time.Now()); err != nil {
		return err
	}
	for {
		n, err := s.conn.Read(s.in.buffer())
		if n > 0 {
			if err := s.handle(n); err != nil {
				return err
			}
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		s.mu.Lock()
		heard := s.heard
		s.mu.Unlock()
		if time.Since(heard) >= s.cfg.DeadAfter {
			return ErrDead
		}
		if err := s.setDeadAt(heard); err != nil {
			return err
		}
	}
}

// setDeadAt arms the read deadline. That is done once in DeadAfter, not for
// each read: when it fires, receive looks when bytes came last.
func (s *Session) setDeadAt(heard time.Time) error {
	if s.cfg.DeadAfter < 0 {
		return s.conn.SetReadDeadline(time.Time{})
	}
	return s.conn.SetReadDeadline(heard.Add(s.cfg.DeadAfter))
}

// stopped gives the session the reader's error and returns its state.
func (s *Session) stopped(err error) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	var away *GoAwayError
	switch {
	case s.state != live: // the writer may be at its last frames
	case errors.Is(err, ErrProtocol):
		s.endLocked(refusing, err)
	case errors.Is(err, ErrDead), errors.As(err, &away):
		s.endLocked(dead, err)
	case errors.Is(err, io.EOF):
		s.endLocked(dead, s.endOfInputLocked())
	default:
		s.endLocked(dead, fmt.Errorf("mux: reading: %w", err))
	}
	return s.state
}

// endOfInputLocked judges the end of the connection: it is the clean end of
// the session only if the peer announced it and nothing was under way.
func (s *Session) endOfInputLocked() error {
	if s.peerAway && s.in.n == 0 && s.in.body == 0 && !s.anyOpenLocked() {
		return io.EOF
	}
	return fmt.Errorf("mux: connection ended: %w", io.ErrUnexpectedEOF)
}

func (s *Session) anyOpenLocked() bool {
	for _, st := range s.streams {
		if !st.recvDone || !st.sendDone {
			return true
		}
	}
	return false
}

// discard reads on for a moment after a refusal: to close a socket with bytes
// unread would drop the go-away that is on its way.
func (s *Session) discard() {
	if s.conn.SetReadDeadline(time.Now().Add(flushTimeout)) != nil {
		return
	}
	for {
		if _, err := s.conn.Read(s.in.buffer()); err != nil {
			return
		}
	}
}

func (in *input) buffer() []byte {
	if in.big != nil {
		return in.big
	}
	return in.small[:]
}

// handle takes the n bytes that were just read.
func (s *Session) handle(n int) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = now
	if s.state != live {
		return nil
	}
	if err := s.feedLocked(s.in.buffer()[:n]); err != nil {
		return err
	}
	s.resizeLocked(n)
	return nil
}

// resizeLocked picks the buffer for the next read.
func (s *Session) resizeLocked(n int) {
	in := &s.in
	switch {
	case in.big == nil && n == smallRead:
		if in.big, s.spare = s.spare, nil; in.big == nil {
			in.big = make([]byte, bigRead)
		}
		in.few = 0
	case in.big != nil && n < smallRead:
		if in.few++; in.few == smallReads {
			s.spare, in.big = in.big, nil
		}
	default:
		in.few = 0
	}
}

// feedLocked cuts bytes into frames. A data frame is passed on as its bytes
// arrive, so that its claimed length costs nothing.
func (s *Session) feedLocked(p []byte) error {
	in := &s.in
	for len(p) > 0 {
		if in.body > 0 {
			k := min(uint32(len(p)), in.body)
			in.body -= k
			if in.to != nil {
				if err := s.dataLocked(in.to, p[:k]); err != nil {
					return err
				}
				if in.body == 0 && in.fin {
					in.to.finLocked()
				}
			}
			p = p[k:]
			continue
		}
		in.to = nil
		k := copy(in.hdr[in.n:], p)
		in.n += k
		p = p[k:]
		if in.n < headerSize {
			break
		}
		in.n = 0
		h, err := parseHeader(in.hdr)
		if err != nil {
			return err
		}
		if err := s.frameLocked(h); err != nil {
			return err
		}
	}
	return nil
}

// frameLocked handles a header.
func (s *Session) frameLocked(h header) error {
	switch h.typ {
	case typePing:
		return s.pingLocked(h)
	case typeGoAway:
		return s.goAwayLocked(h)
	}
	st, err := s.findLocked(h)
	if err != nil {
		return err
	}
	if h.typ == typeData {
		if err := s.beginDataLocked(st, h); err != nil {
			return err
		}
	}
	if st == nil {
		return nil
	}
	st.answeredLocked()
	if h.has(flagRST) { // the length of a reset may be a reason, never a window
		st.resetLocked()
		return nil
	}
	if h.typ == typeWindow && h.length > 0 {
		if uint64(st.sendWin)+uint64(h.length) > math.MaxUint32 {
			return fmt.Errorf("%w: window of stream %d wraps", ErrProtocol, h.id)
		}
		st.sendWin += h.length
		st.wcond.Broadcast()
	}
	if h.has(flagFIN) && s.in.body == 0 {
		st.finLocked()
	}
	return nil
}

// findLocked returns the stream of a frame; nil for one that is forgotten or
// has just been refused.
func (s *Session) findLocked(h header) (*Stream, error) {
	st := s.streams[h.id]
	ours := (h.id%2 == 1) == s.client
	switch {
	case h.has(flagSYN) && ours:
		return nil, fmt.Errorf("%w: peer opened stream %d of our side", ErrProtocol, h.id)
	case h.has(flagSYN):
		if err := s.used.add(h.id); err != nil {
			return nil, err
		}
		return s.incomingLocked(h)
	case st != nil:
		return st, nil
	case ours && uint64(h.id) < s.nextID, !ours && s.used.has(h.id):
		return nil, nil
	}
	return nil, fmt.Errorf("%w: frame for stream %d, which was never opened", ErrProtocol, h.id)
}

// incomingLocked makes the stream that the peer opens, or queues its refusal.
func (s *Session) incomingLocked(h header) (*Stream, error) {
	if h.has(flagRST) {
		return nil, nil // opened and given up in one frame
	}
	if s.awayDue || s.awaySent || len(s.streams) >= s.cfg.MaxStreams || len(s.backlog) >= s.cfg.Backlog {
		s.work.Signal()
		return nil, s.resets.push(h.id)
	}
	st := s.addLocked(h.id)
	st.waiting = true
	s.backlog = append(s.backlog, st)
	notify(s.arrived)
	return st, nil
}

// beginDataLocked checks the length of a data frame against what was granted.
func (s *Session) beginDataLocked(st *Stream, h header) error {
	limit := s.cfg.Window
	if st != nil {
		limit = st.recvWin
	}
	switch {
	case h.length > limit:
		return fmt.Errorf("%w: %d bytes for stream %d exceed its window", ErrProtocol, h.length, h.id)
	case st != nil && st.gotFIN && h.length > 0:
		return fmt.Errorf("%w: data after the end of stream %d", ErrProtocol, h.id)
	}
	if st != nil {
		st.recvWin -= h.length
	}
	s.in.body, s.in.to, s.in.fin = h.length, st, h.has(flagFIN)
	return nil
}

// dataLocked stores what has arrived for st.
func (s *Session) dataLocked(st *Stream, p []byte) error {
	switch {
	case st.recvDone || st.resetDue: // reset meanwhile
		return nil
	case st.closed:
		st.refuseLocked()
		return nil
	}
	s.held -= st.in.held
	st.in.append(p, &s.pool)
	s.held += st.in.held
	st.rcond.Broadcast()
	if s.held > s.cfg.MaxHeld {
		s.relieveLocked()
	}
	return nil
}

// relieveLocked resets the stream that holds most. To stop reading instead
// could never end: two sessions would wait for each other's window updates.
func (s *Session) relieveLocked() {
	var fullest *Stream
	for _, st := range s.streams {
		if fullest == nil || st.in.held > fullest.in.held {
			fullest = st
		}
	}
	if fullest == nil {
		return
	}
	s.cfg.Log.Warn("stream reset for its memory", "in", fullest.in.n)
	fullest.abortLocked(ErrHeld)
}

// pingLocked queues the answer to a ping. Answers that nobody asked for mean
// nothing.
func (s *Session) pingLocked(h header) error {
	if !h.has(flagSYN) {
		return nil
	}
	if len(s.pongs) == maxPongs {
		return fmt.Errorf("%w: %d pings wait for an answer", ErrFlood, maxPongs)
	}
	s.pongs = append(s.pongs, h.length)
	s.work.Signal()
	return nil
}

func (s *Session) goAwayLocked(h header) error {
	if !s.peerAway {
		s.peerAway = true
		close(s.awayGot)
	}
	if h.length != goAwayNormal {
		return &GoAwayError{Code: h.length}
	}
	return nil
}
