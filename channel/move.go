package channel

import "encoding/binary"

// move is what one end of a channel knows of its move from the lane to a link
// (PROTOCOL.md §10). It is pure: the Path tells it what happened, in the order
// in which it happened at this end, and does what it says.
//
// Each direction moves by itself. A mark at the head of the link says how many
// bytes went over the lane before, so whatever is lost on the way is seen.
//
//	sending:    outLane ──commit: mark 01‖sent──▸ outLink ──end──▸ outOver
//	               └──end──▸ outEnded (mark 00‖sent says so again)
//
//	receiving:  inLane ──mark 01, all of it read──▸ inLink
//	               └──lane's end──▸ inEnded (mark 00 says so again)
//
// The caller commits when it has an authenticated link; the callee when it has
// read the caller's mark and all lane bytes that it counts. Whatever does not
// fit is a hole, and breaks the channel.
type move struct {
	caller    bool
	linked    bool // a link is there, or about to be
	committed bool // our mark is on the link
	marked    bool // the peer's mark was read:
	mark      mark
	out       outState
	in        inState
	sent, got uint64 // bytes over the lane
}

// outState is where our direction is.
type outState uint8

const (
	outLane  outState = iota
	outEnded          // half-closed on the lane, which a mark 00 says again
	outLink
	outOver // half-closed on the link
)

// inState is where the peer's direction is.
type inState uint8

const (
	inLane inState = iota
	inEnded
	inLink
)

// mark is the head of a direction of a link.
type mark struct {
	more  bool // 01: I go on here; 00: I had ended on the lane
	count uint64
}

// markSize is the size of a mark: kind u8, count u64be.
const markSize = 9

func (m mark) bytes() []byte {
	b := make([]byte, 1, markSize)
	if m.more {
		b[0] = 1
	}
	return binary.BigEndian.AppendUint64(b, m.count)
}

// parseMark reads a mark; ok is false for what is none.
func parseMark(b []byte) (m mark, ok bool) {
	if len(b) != markSize || b[0] > 1 {
		return mark{}, false
	}
	return mark{more: b[0] == 1, count: binary.BigEndian.Uint64(b[1:])}, true
}

// link notes that there is a link. It reports false if there is no use for it:
// another one is there, or was, or nothing is left to move.
func (m *move) link() bool {
	if m.linked || m.committed || m.marked || m.finished() {
		return false
	}
	m.linked = true
	return true
}

// unlink notes that the link died before this end was done with the move. It
// reports whether the channel goes on over the lane: no mark was written or
// read, or both directions have ended on the lane. Behind a mark, 00 too, the
// peer may have gone over, and may never read the link again: it would not
// notice, and we would wait at the lane for ever.
func (m *move) unlink() (unharmed bool) {
	if (m.committed || m.marked) && !m.finished() {
		return false
	}
	m.linked = false
	return true
}

// due reports whether it is time for our mark.
func (m *move) due() bool { return m.linked && !m.committed && (m.caller || m.drained()) }

// commit returns our mark. Unless our direction had ended, it goes on over the
// link.
func (m *move) commit() mark {
	m.committed = true
	if m.out == outLane {
		m.out = outLink
		return mark{more: true, count: m.sent}
	}
	return mark{count: m.sent}
}

// wrote counts bytes that the lane has taken from us.
func (m *move) wrote(n int) { m.sent += uint64(n) }

// end notes our half-close.
func (m *move) end() {
	switch m.out {
	case outLane:
		m.out = outEnded
	case outLink:
		m.out = outOver
	}
}

// read counts bytes that came over the lane. It reports false for a hole.
func (m *move) read(n int) bool {
	m.got += uint64(n)
	return m.check()
}

// laneEnd notes the peer's half-close of the lane. It reports false for a hole.
func (m *move) laneEnd() bool {
	m.in = inEnded
	return !m.marked || m.got == m.mark.count && !m.mark.more
}

// peerMark takes the peer's mark. It reports false for a hole.
func (m *move) peerMark(k mark) bool {
	m.marked, m.mark = true, k
	if m.in == inEnded {
		return !k.more && k.count == m.got
	}
	return m.check()
}

// check compares the count of the mark with what has come.
func (m *move) check() bool {
	if !m.marked || m.got < m.mark.count {
		return true
	}
	if m.got > m.mark.count {
		return false
	}
	if m.mark.more {
		m.in = inLink
	}
	return true
}

// drained reports whether the lane has nothing more for us.
func (m *move) drained() bool { return m.marked && m.in != inLane }

// done reports whether this end is through with the lane, both ways.
func (m *move) done() bool { return m.committed && m.drained() }

// finished reports whether both directions have ended on the lane: no link can
// add anything, and the death of one takes nothing away.
func (m *move) finished() bool { return m.out == outEnded && m.in == inEnded }
