package mux

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	maxRaw    = 128<<10 + reserve // bytes in one write to the connection
	maxTurn   = 16 << 10          // bytes of a stream at its turn
	minFrame  = 1 << 10           // a data frame is not cut to less than that to fit a write
	frameRoom = 4 * headerSize
	reserve   = 1 << 10 // of a write, for what the session itself says
	maxInline = 4       // writes in a row by one who has other things to do
)

// Bounds of what streams have queued: a Write waits while its stream holds
// maxQueue bytes; or fairQueue bytes when the whole session holds maxQueued.
// A stream that waits therefore has data queued, whose departure wakes it.
const (
	maxQueue  = 64 << 10
	fairQueue = 16 << 10
	maxQueued = 256 << 10
)

// outbox is what a session has to send. Data goes straight to raw while nobody
// waits for a turn, and else to its stream's buffer; so streams that want to
// send much share the connection, and a byte that meets no other is copied
// once. Guarded by Session.mu.
//
// One goroutine writes at a time. Whoever makes something due writes it in
// passing, as far as that needs no wait: flush. What would need one is left to
// writeLoop, a goroutine that lives until the connection takes bytes again and
// nothing is due.
type outbox struct {
	raw  []byte  // frames of the next write; nil when there are none
	tail *Stream // whose data frame is the last of raw, and may grow; or nil
	head int     // where its header is

	ready    ring
	queued   int // bytes in the streams' send buffers, but for spliced ones
	pongs    []uint32
	resets   idQueue
	pingDue  bool
	pings    uint32 // sent
	answered uint32 // the last of them that the peer has answered
	awayDue  bool
	awaySent bool
	peerAway bool

	files  []outFile // they go in front of raw
	passed int       // files so far

	due      bool      // it is to be written now; else it goes along, or a little later
	later    bool      // a timer will flush
	writing  bool      // somebody writes
	promised bool      // somebody will flush
	ends     []*Splice // whose FIN is in the write under way
}

// pendingLocked reports whether there is something to write.
func (s *Session) pendingLocked() bool {
	return len(s.raw) > 0 || s.ready.first != nil || s.pingDue || s.awayDue || len(s.pongs) > 0 || len(s.resets.runs) > 0
}

// claimFlushLocked reports whether the caller has to call flush once it has
// unlocked.
func (s *Session) claimFlushLocked() bool {
	if !s.due || s.writing || s.promised || s.state != live {
		return false
	}
	s.promised = true
	return true
}

// flush writes what is due until that would need a wait.
func (s *Session) flush() {
	defer s.guard()
	s.mu.Lock()
	s.promised = false
	for i := 0; s.state == live && !s.writing && s.due; i++ {
		if s.wire.try == nil || i == maxInline || len(s.files) > 0 {
			s.startWriterLocked(false)
			break
		}
		out := s.takeLocked()
		if len(out) == 0 {
			s.wroteLocked(out)
			continue
		}
		s.mu.Unlock()
		left, err := s.wire.try.TryWrite(out)
		s.mu.Lock()
		s.wroteLocked(out)
		if err != nil {
			s.mu.Unlock()
			s.endWrite(err)
			s.mu.Lock()
			break
		}
		if left && s.state == live {
			s.startWriterLocked(true)
		}
	}
	s.unlockQuiet()
}

// unlockQuiet unlocks where nothing can have become due that is not claimed.
func (s *Session) unlockQuiet() {
	after := s.after
	s.after = nil
	s.mu.Unlock()
	s.call(after)
}

// takeLocked returns the bytes of the next write; the caller is the writer
// until wroteLocked. A panic leaves the session unlocked, so that guard can end it.
func (s *Session) takeLocked() []byte {
	gathered := false
	defer func() {
		if !gathered {
			s.mu.Unlock()
		}
	}()
	s.gatherLocked()
	gathered = true
	out := s.raw
	s.raw, s.tail = nil, nil
	s.writing, s.due = true, s.ready.first != nil || len(s.resets.runs) > 0
	return out
}

// wroteLocked takes the bytes back.
func (s *Session) wroteLocked(out []byte) {
	s.writing = false
	s.quiet.Broadcast()
	if cap(out) > 0 {
		putRaw(out)
	}
	for _, j := range s.ends {
		s.after = append(s.after, j.endDirection)
	}
	s.ends = s.ends[:0]
}

// startWriterLocked hands the writing over. The session is live, so its reader
// is there and Close's Wait waits for this goroutine, too.
func (s *Session) startWriterLocked(left bool) {
	s.writing = true
	s.wg.Go(func() { s.writeLoop(left) })
}

// writeLoop writes, and waits for the connection where it must, until nothing
// is due. left: TryWrite has left something.
func (s *Session) writeLoop(left bool) {
	defer s.guard()
	for {
		if left {
			if err := s.blockingWrite(nil); err != nil {
				s.endWrite(err)
			}
			left = false
		}
		s.mu.Lock()
		if s.state != live || !s.due {
			if s.state == live && s.wire.try != nil { // who only tries sets none, and would meet it
				_ = s.wire.SetWriteDeadline(time.Time{}) // if it fails, the connection is closed: the reader says so
			}
			s.writing = false
			s.quiet.Broadcast()
			s.unlockQuiet()
			return
		}
		files, out := s.takeFilesLocked(), s.takeLocked()
		s.mu.Unlock()
		err := s.writeFiles(files)
		if err == nil && len(out) > 0 {
			err = s.blockingWrite(out)
		}
		s.mu.Lock()
		s.wroteLocked(out)
		s.writing = true
		s.unlockQuiet()
		if err != nil {
			s.endWrite(err)
		}
	}
}

// blockingWrite writes out, or what TryWrite has left, within WriteTimeout.
func (s *Session) blockingWrite(out []byte) error {
	if err := s.wire.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)); err != nil {
		return err
	}
	if out == nil {
		return s.wire.try.Flush()
	}
	_, err := s.wire.Write(out)
	return err
}

// finish is the last writer: what is queued, then the go-away that the state
// asks for, then the half-close, all within flushTimeout.
func (s *Session) finish() {
	defer close(s.writerDone)
	defer s.guard()
	s.mu.Lock()
	for s.writing {
		s.quiet.Wait()
	}
	s.writing = true
	s.mu.Unlock()
	err := s.wire.SetWriteDeadline(time.Now().Add(flushTimeout))
	for err == nil {
		s.mu.Lock()
		if s.state != draining || !s.pendingLocked() {
			s.unlockQuiet()
			break
		}
		out := s.takeLocked()
		s.mu.Unlock()
		_, err = s.wire.Write(out)
		s.mu.Lock()
		s.wroteLocked(out)
		s.writing = true
		s.unlockQuiet()
	}
	if err == nil {
		err = s.leave()
	}
	if err != nil {
		s.endWrite(err)
	}
}

// leave sends the go-away, and if the session ends in order the half-close:
// the peer has to see the end to end its side, and the reader waits for that.
func (s *Session) leave() error {
	code := uint32(goAwayNormal)
	s.mu.Lock()
	state := s.state
	switch {
	case state == dead:
		s.mu.Unlock()
		return nil
	case errors.Is(s.err, ErrFlood):
		code = goAwayCalm
	case state == refusing:
		code = goAwayProtocol
	}
	s.mu.Unlock()
	_, err := s.wire.Write(header{typ: typeGoAway, length: code}.appendTo(nil))
	if err != nil || state == refusing {
		return err
	}
	if c, ok := s.wire.Conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		return nil
	}
	return s.wire.Close()
}

// endWrite gives the session the writer's error and closes the connection.
func (s *Session) endWrite(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrStalled
	} else {
		// The same end of the transport as the reader would see it, sooner.
		err = fmt.Errorf("mux: writing: %w: %w", io.ErrUnexpectedEOF, err)
	}
	s.mu.Lock()
	if s.peerAway && !s.anyOpenLocked() {
		err = io.EOF // the peer announced its end, and nothing is lost by it
	}
	if s.state == live && err == ErrStalled {
		s.cfg.Excess.Stalled.Add(1)
	}
	s.endLocked(dead, err)
	s.unlock()
	s.wire.hangUp()
}
