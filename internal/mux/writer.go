package mux

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"
)

const (
	maxRaw    = 64 << 10 // bytes in one write to the connection
	maxFrame  = 16 << 10 // bytes of one data frame
	minFrame  = 1 << 10  // a data frame is not cut to less than that to fit a write
	frameRoom = 4 * headerSize
)

// Bounds of what streams have queued: a Write waits while its stream holds
// maxQueue bytes; or fairQueue bytes when the whole session holds maxQueued.
// A stream that waits therefore has data queued, whose departure wakes it.
const (
	maxQueue  = 64 << 10
	fairQueue = 16 << 10
	maxQueued = 256 << 10
)

// writeLoop writes what is queued until the session is dead.
func (s *Session) writeLoop() {
	defer close(s.writerDone)
	for {
		out, last := s.nextWrite()
		if len(out) > 0 {
			if err := s.write(out, last); err != nil {
				s.endWrite(err)
				return
			}
		}
		if last {
			return
		}
	}
}

// write performs one write; the last one is followed by the half-close.
func (s *Session) write(out []byte, last bool) error {
	timeout := s.cfg.WriteTimeout
	if last {
		timeout = flushTimeout
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := s.conn.Write(out); err != nil {
		return err
	}
	if !last {
		return nil
	}
	// The peer has to see the end to end its side; the reader waits for that.
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		return nil
	}
	return s.conn.Close()
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
	s.endLocked(dead, err)
	s.mu.Unlock()
	s.hangUp()
}

// nextWrite waits for something to send. After the last write there is none.
func (s *Session) nextWrite() (out []byte, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	for {
		switch s.state {
		case dead:
			return nil, true
		case refusing:
			return header{typ: typeGoAway, length: goAwayProtocol}.appendTo(nil), true
		}
		s.raw = s.gatherLocked(s.raw[:0])
		if len(s.raw) > 0 {
			s.writing = true
			return s.raw, false
		}
		if s.state == draining {
			return header{typ: typeGoAway, length: goAwayNormal}.appendTo(nil), true
		}
		s.work.Wait()
		// Whoever is ready to run may add a frame first: with 64 calls in flight
		// that is four times as many calls (BenchmarkCalls).
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
}

// gatherLocked appends frames for one write: those of the session first, then
// those of the streams in turn.
func (s *Session) gatherLocked(b []byte) []byte {
	if s.awayDue {
		s.awayDue, s.awaySent = false, true
		b = header{typ: typeGoAway, length: goAwayNormal}.appendTo(b)
	}
	if s.pingDue {
		s.pingDue = false
		s.pings++
		b = header{typ: typePing, flags: flagSYN, length: s.pings}.appendTo(b)
	}
	for _, v := range s.pongs {
		b = header{typ: typePing, flags: flagACK, length: v}.appendTo(b)
	}
	s.pongs = s.pongs[:0]
	for len(b) < maxRaw/2 { // the rest is for those who behave
		id, ok := s.resets.pop()
		if !ok {
			break
		}
		b = header{typ: typeWindow, flags: flagRST, id: id}.appendTo(b)
	}
	for st := s.ready.front(); st != nil; st = s.ready.front() {
		room := maxRaw - len(b) - frameRoom
		if room < minFrame {
			break
		}
		s.ready.remove(st)
		b = st.emitLocked(b, room)
		if st.out.n > 0 {
			s.ready.push(st)
		}
	}
	return b
}

// emitLocked appends what st has to send, in order: SYN or ACK and the window,
// at most maxFrame bytes of data, FIN, RST.
func (st *Stream) emitLocked(b []byte, room int) []byte {
	s := st.s
	if st.opening || st.acking || st.grant > 0 {
		h := header{typ: typeWindow, id: st.id, length: st.grant}
		switch {
		case st.opening:
			h.flags = flagSYN
		case st.acking:
			h.flags = flagACK
		}
		st.recvWin += st.grant
		st.opening, st.acking, st.grant = false, false, 0
		b = h.appendTo(b)
	}
	if n := min(st.out.n, maxFrame, room); n > 0 {
		b = header{typ: typeData, id: st.id, length: uint32(n)}.appendTo(b)
		k := len(b)
		b = slices.Grow(b, n)[:k+n]
		st.out.read(b[k:], &s.pool)
		s.queued -= n
		st.wcond.Broadcast()
	}
	if st.out.n == 0 && st.finDue {
		// A frame of its own: hashicorp/yamux takes a FIN that stands on a data
		// frame before the data.
		st.finDue, st.sendDone = false, true
		b = header{typ: typeWindow, flags: flagFIN, id: st.id}.appendTo(b)
	}
	if st.resetDue && !st.finDue {
		st.resetDue, st.sendDone, st.recvDone = false, true, true
		b = header{typ: typeWindow, flags: flagRST, id: st.id}.appendTo(b)
	}
	st.settleLocked()
	return b
}

// scheduleLocked gives st a turn.
func (s *Session) scheduleLocked(st *Stream) {
	if !st.ended {
		s.ready.push(st)
		s.work.Signal()
	}
}

// ring is the streams that have something to send, each at most once.
type ring struct {
	first, last *Stream
}

func (r *ring) front() *Stream { return r.first }

// push appends st unless it is there.
func (r *ring) push(st *Stream) {
	if st.inRing {
		return
	}
	st.inRing, st.prev, st.next = true, r.last, nil
	if r.last == nil {
		r.first = st
	} else {
		r.last.next = st
	}
	r.last = st
}

// remove takes st out if it is there.
func (r *ring) remove(st *Stream) {
	if !st.inRing {
		return
	}
	if st.prev == nil {
		r.first = st.next
	} else {
		st.prev.next = st.next
	}
	if st.next == nil {
		r.last = st.prev
	} else {
		st.next.prev = st.prev
	}
	st.inRing, st.prev, st.next = false, nil, nil
}
