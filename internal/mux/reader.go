package mux

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// input is the reader's place in the byte stream.
type input struct {
	hdr   [headerSize]byte
	n     int     // bytes of hdr that are there
	body  uint32  // bytes of a data frame that are still to come
	to    *Stream // whose they are; nil: discarded
	fin   bool    // to ends with the last of them
	batch Batch

	deadAt time.Time // when the silence is to be looked at

	events []func(*Batch) // to be called at the end of the batch
}

// Batch is what a session's reader does between two reads. Only who is given
// one may use it, and not later.
type Batch struct {
	dirty []*Session // that it has promised to flush
}

// Gather leaves to the end of the batch to write what becomes due in s, so that
// it leaves in one write. Without a batch it does nothing.
func (b *Batch) Gather(s *Session) {
	if b == nil {
		return
	}
	s.mu.Lock()
	mine := !s.writing && !s.promised && s.state == live
	s.promised = s.promised || mine
	s.mu.Unlock()
	if mine {
		b.dirty = append(b.dirty, s)
	}
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
		s.wire.hangUp()
	case dead:
		if errors.Is(s.Err(), io.EOF) {
			s.wire.Close() // both sides are through: in good order
			return
		}
		s.wire.hangUp()
	}
}

// receive reads and handles until there is an error.
func (s *Session) receive() error {
	defer s.endBatch()
	s.mu.Lock()
	err := s.setDeadAtLocked(time.Now())
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for {
		more, err := s.step()
		if err == nil && s.cfg.Lead && !more {
			err = s.rest()
		}
		if err != nil {
			return err
		}
	}
}

// step reads once and handles what has come. more: there is more at hand, and
// the batch has not ended. Whoever has the right to read may call it.
func (s *Session) step() (more bool, err error) {
	p, more, err := s.wire.next()
	if len(p) > 0 {
		if err := s.handle(p); err != nil {
			return false, err
		}
	}
	if !more {
		s.endBatch()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = s.overdue()
	}
	return more, err
}

// overdue judges a read that has met its deadline.
func (s *Session) overdue() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lead.kicked:
		return nil // the leader looks at that
	case time.Since(s.heard) < s.cfg.DeadAfter:
	case time.Since(s.in.deadAt) >= asleep:
		s.heard = time.Now()
	default:
		s.cfg.Excess.Silent.Add(1)
		return ErrDead
	}
	return s.setDeadAtLocked(s.heard)
}

// asleep is how late that is when not the peer was silent, but
// this process stopped, or its machine: the peer then gets the time once more.
const asleep = 5 * time.Second

// endBatch calls for whom something has arrived, and writes what the bytes read
// so far have made due, here and in the sessions that they were forwarded to.
func (s *Session) endBatch() {
	b := &s.in.batch
	for i := 0; i < len(s.in.events); i++ {
		s.in.events[i](b)
		s.in.events[i] = nil
	}
	s.in.events = s.in.events[:0]
	s.mu.Lock()
	if s.claimFlushLocked() {
		b.dirty = append(b.dirty, s)
	}
	s.unlockQuiet()
	if s.cfg.Budget.over() {
		s.cfg.Budget.relieve()
	}
	for i, d := range b.dirty {
		d.flush()
		b.dirty[i] = nil
	}
	b.dirty = b.dirty[:0]
}

// setDeadAtLocked arms the timer of silence. That is done once in DeadAfter, not for
// each read: when it fires, overdue looks when bytes came last. It is no read deadline,
// for that would be a timer of the runtime, whatever Config.AfterFunc is.
func (s *Session) setDeadAtLocked(heard time.Time) error {
	if s.cfg.DeadAfter >= 0 && s.state == live {
		s.in.deadAt = heard.Add(s.cfg.DeadAfter)
		if wait := time.Until(s.in.deadAt); s.silence != nil {
			s.silence.Reset(wait)
		} else {
			s.silence = s.cfg.AfterFunc(wait, s.onSilence)
		}
	}
	return s.wire.SetReadDeadline(time.Time{})
}

// onSilence runs where the timer does: see onTick. It has whoever reads look.
func (s *Session) onSilence() {
	defer s.guard()
	_ = s.wire.SetReadDeadline(time.Unix(1, 0)) // an error would end the read as well
}

// stopped gives the session the reader's error and returns its state.
func (s *Session) stopped(err error) state {
	s.mu.Lock()
	defer s.unlock()
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
	if s.wire.SetReadDeadline(time.Now().Add(flushTimeout)) != nil {
		return
	}
	for {
		if _, _, err := s.wire.next(); err != nil {
			return
		}
	}
}

// handle takes the bytes that were just read.
func (s *Session) handle(p []byte) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = now
	return s.feedLocked(p)
}

// feedLocked cuts bytes into frames. A data frame is passed on as its bytes
// arrive, so that its claimed length costs nothing. It gives up the lock to
// pass something on to another session.
func (s *Session) feedLocked(p []byte) error {
	in := &s.in
	for len(p) > 0 && s.state == live {
		if in.body > 0 {
			k := min(uint32(len(p)), in.body)
			in.body -= k
			if in.to != nil {
				s.dataLocked(in.to, p[:k])
				if in.body == 0 && in.fin {
					s.finishLocked(in.to)
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

// dataLocked stores what has arrived for st, or passes it on.
func (s *Session) dataLocked(st *Stream, p []byte) {
	switch {
	case st.recvDone || st.resetDue: // reset meanwhile
	case st.closed:
		st.resetDue = true // nobody will read it: RST, after FIN
		s.scheduleLocked(st)
	case st.direct:
		s.mu.Unlock()
		st.forward(p)
		s.mu.Lock()
	default:
		st.arriveLocked(p)
	}
}

// finishLocked takes the end of st's data.
func (s *Session) finishLocked(st *Stream) {
	if st.recvDone {
		return
	}
	st.finLocked()
	if st.direct {
		s.mu.Unlock()
		st.other.forwardEnd(s)
		s.mu.Lock()
	}
}
