package mux

import (
	"encoding/binary"
	"slices"
	"time"
)

// gatherLocked fills raw: what the session has to say, then the streams in
// turn.
func (s *Session) gatherLocked() {
	if s.awayDue {
		s.awayDue, s.awaySent = false, true
		s.frameOutLocked(header{typ: typeGoAway, length: goAwayNormal})
	}
	if s.pingDue {
		s.pingDue = false
		s.pings++
		s.frameOutLocked(header{typ: typePing, flags: flagSYN, length: s.pings})
	}
	for _, v := range s.pongs {
		s.frameOutLocked(header{typ: typePing, flags: flagACK, length: v})
	}
	s.pongs = s.pongs[:0]
	for i := 0; i < 16 || len(s.raw) < maxRaw/2; i++ { // the rest is for those who behave
		id, ok := s.resets.pop()
		if !ok {
			break
		}
		s.frameOutLocked(header{typ: typeWindow, flags: flagRST, id: id, length: uint32(ReasonBusy)})
	}
	for st := s.ready.front(); st != nil; st = s.ready.front() {
		room := maxRaw - len(s.raw) - frameRoom
		if room < minFrame {
			break
		}
		s.ready.remove(st)
		st.emitLocked(room)
		if st.sendableLocked() > 0 {
			s.ready.push(st)
		}
	}
}

// frameOutLocked appends a frame without data to raw.
func (s *Session) frameOutLocked(h header) {
	s.rawLocked()
	s.raw, s.tail = h.appendTo(s.raw), nil
}

func (s *Session) rawLocked() {
	if s.raw == nil {
		s.raw = getRaw()
	}
}

// dataOutLocked makes room for n bytes of data of st in raw, in a frame of
// their own or as more of the last one, and returns it.
func (s *Session) dataOutLocked(st *Stream, n int) []byte {
	s.rawLocked()
	if s.tail == st {
		old := binary.BigEndian.Uint32(s.raw[s.head+8:])
		binary.BigEndian.PutUint32(s.raw[s.head+8:], old+uint32(n))
	} else {
		s.tail, s.head = st, len(s.raw)
		s.raw = header{typ: typeData, id: st.id, length: uint32(n)}.appendTo(s.raw)
	}
	k := len(s.raw)
	s.raw = slices.Grow(s.raw, n)[:k+n]
	return s.raw[k:]
}

// placeLocked puts as much of p as can go with the next write straight into
// raw, and returns how much: nothing if anybody waits for a turn.
func (s *Session) placeLocked(st *Stream, p []byte) int {
	if s.ready.first != nil || st.out.n > 0 {
		return 0
	}
	n := min(len(p), maxRaw-reserve-len(s.raw)-headerSize)
	if n <= 0 || n < len(p) && n < minFrame {
		return 0
	}
	copy(s.dataOutLocked(st, n), p)
	s.due = true
	s.othersLocked(st)
	return n
}

// emitLocked appends what st has to send, in order: SYN or ACK and the window,
// data for one turn, FIN, RST.
func (st *Stream) emitLocked(room int) {
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
		s.widest = max(s.widest, st.recvWin)
		st.opening, st.acking, st.grant = false, false, 0
		s.frameOutLocked(h)
	}
	if n := min(st.sendableLocked(), maxTurn, room); n > 0 {
		st.out.read(s.dataOutLocked(st, n))
		if st.pair == nil {
			s.queued -= n
		} else {
			st.chargeLocked()
		}
		st.wcond.Broadcast()
	}
	if st.out.n == 0 && st.finDue {
		// A frame of its own: hashicorp/yamux takes a FIN that stands on a data
		// frame before the data.
		st.finDue, st.sendDone = false, true
		s.frameOutLocked(header{typ: typeWindow, flags: flagFIN, id: st.id})
		if st.pair != nil {
			s.ends = append(s.ends, st.pair)
		}
	}
	if st.resetDue && !st.finDue {
		st.resetDue, st.sendDone, st.recvDone = false, true, true
		s.frameOutLocked(header{typ: typeWindow, flags: flagRST, id: st.id, length: uint32(st.reason)})
	}
	st.settleLocked()
}

// sendableLocked returns how many queued bytes the peer's window allows. Only
// a spliced stream can have queued more.
func (st *Stream) sendableLocked() int { return max(0, st.out.n+int(min(0, st.sendWin))) }

// scheduleLocked gives st a turn.
func (s *Session) scheduleLocked(st *Stream) {
	if !st.ended {
		s.ready.push(st)
		s.due = true
		s.othersLocked(st)
	}
}

// lazyTimeout is how long an ACK waits for something that it can go along with.
const lazyTimeout = 5 * time.Millisecond

// scheduleLazyLocked gives st a turn when something else is written, or a
// little later. Nobody waits for an ACK.
func (s *Session) scheduleLazyLocked(st *Stream) {
	s.ready.push(st)
	if !s.due && !s.later {
		s.later = true
		time.AfterFunc(lazyTimeout, s.onLater)
	}
}

// onLater runs on a timer's goroutine: see onTick.
func (s *Session) onLater() {
	defer s.guard()
	s.mu.Lock()
	defer s.unlock()
	s.later = false
	s.due = s.due || s.ready.first != nil
}
