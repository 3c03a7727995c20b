package yamux

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Types and flags of frames, from yamux's specification.
const (
	typeData, typeWindow, typePing, typeGoAway = 0, 1, 2, 3
	flagSYN, flagACK, flagFIN, flagRST         = 1, 2, 4, 8
	firstWindow                                = 256 << 10
)

// frame makes one; body may be shorter than length.
func frame(typ byte, flags uint16, id, length uint32, body string) []byte {
	b := []byte{0, typ}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint32(b, length)
	return append(b, body...)
}

// script makes frames of four bytes each: type and flags, stream, length, and
// how much of the body is there. What it makes is valid more often than not: a
// stream below 224 is one that is there, or the next one for a SYN.
func script(moves []byte) (wire []byte) {
	lengths := [...]uint32{0, 1, 5, 1000, 20_000, 3, 70, 4096, 50_000, 0, 12, 7, 300,
		firstWindow / 2, firstWindow, firstWindow + 1, 1 << 31, 1<<32 - 1}
	there, next := []uint32{2}, uint32(1)
	for ; len(moves) >= 4 && len(wire) < 1<<20; moves = moves[4:] {
		m := [4]byte(moves)
		typ, flags := m[0]&3, uint16(m[0]>>4)
		if m[0]&4 != 0 { // the most usual
			typ, flags = typeData, 0
		}
		if m[0]&8 != 0 && typ <= typeWindow { // and what opens
			flags = flagSYN
		}
		id := uint32(m[1] % 24)
		switch {
		case m[1] >= 224:
		case typ >= typePing:
			id = 0
		case flags&flagSYN != 0:
			id = next
			there, next = append(there, id), next+2
		default:
			id = there[int(m[1])%len(there)]
		}
		length := lengths[int(m[2])%len(lengths)]
		switch {
		case typ == typePing && flags&flagSYN == 0:
			length &= 0xff // answers
		case typ == typeGoAway && m[1] < 224:
			length = 0
		}
		body := ""
		if typ == typeData && length <= firstWindow+1 {
			body = strings.Repeat(string(rune('a'+len(wire)%26)), int(length))
			if m[3] == 1 {
				body = body[:len(body)/2]
			}
		}
		wire = append(wire, frame(typ, flags, id, length, body)...)
	}
	return wire
}

// facts are what a plain reading of the specification says of some bytes that
// a client sends.
type facts struct {
	strict  string // why we end the session where a library may not; "" if we must not
	refused string // why everybody has to end it
	away    bool   // a go-away that some take for the end
	used    int    // bytes up to the end of the last frame that counts
	short   int    // of these are missing
	resets  map[uint32]bool
	ends    map[uint32]bool
}

// Differences: what ends our sessions, and why, though one of the libraries lives
// on.
const (
	// Hashicorp's opens it, and overwrites it with its own next stream.
	becauseParity = "a stream of the server's ids is opened by the client"
	// Both ignore the frame, and take the stream for new when its SYN follows:
	// what came before is lost without a word.
	becauseNever = "a frame for a stream that nobody opened"
	// Both forget which ids were used: late frames of the old stream would be
	// taken for the new one's.
	becauseAgain = "an id is used a second time"
	// Both append it, behind an end of file that a reader may have seen.
	becauseEnded = "data after the end"
	// Both let the sum wrap, and stall, or send too much.
	becauseWraps = "a window of more than 2³²-1"
	// Both throw away however much is claimed; it takes the session's whole
	// capacity.
	becauseGone = "more data than any window for a stream that is over"
	// Both ignore the id.
	becauseSession = "a ping or go-away with a stream"
	// Hashicorp's takes it for any other.
	becauseZero = "stream 0 is opened or used"
)

// read finds out. The server has opened stream 2.
func read(wire []byte) (f facts) {
	type stream struct {
		recv, send    int64 // windows
		ended, closed bool
	}
	open := map[uint32]*stream{2: {recv: firstWindow, send: firstWindow}}
	f.resets, f.ends = make(map[uint32]bool), make(map[uint32]bool)
	pings := 0 // how many pings and streams may wait is no part of the wire
	for len(wire) > 0 && f.strict == "" && f.refused == "" && pings < 32 && len(open) < 200 {
		if len(wire) < 12 {
			f.used, f.short = f.used+12, 12-len(wire)
			return f
		}
		typ, flags := wire[1], binary.BigEndian.Uint16(wire[2:])
		id, length := binary.BigEndian.Uint32(wire[4:]), binary.BigEndian.Uint32(wire[8:])
		body := 0
		if typ == typeData {
			body = int(length)
		}
		version := wire[0]
		st := open[id]
		if st != nil && st.closed && st.ended && body > 0 {
			return f // after FIN and RST it depends on what has been read
		}
		wire = wire[12:]
		switch {
		case version != 0:
			f.refused = fmt.Sprintf("version %d", version)
		case typ > typeGoAway:
			f.refused = fmt.Sprintf("type %d", typ)
		case typ >= typePing && id != 0:
			f.strict = becauseSession
		case typ == typeGoAway && length != 0:
			f.refused = "a go-away with an error"
		case typ == typeGoAway:
			f.away = true
		case typ == typePing:
			pings++
		case id == 0:
			f.strict = becauseZero
		case flags&flagSYN != 0 && id%2 == 0:
			f.strict = becauseParity
		case flags&flagSYN != 0 && st != nil:
			f.strict = becauseAgain
		case flags&flagSYN == 0 && st == nil:
			f.strict = becauseNever
		default:
			if st == nil {
				st = &stream{recv: firstWindow, send: firstWindow}
				open[id] = st
				if flags&flagRST != 0 { // there and gone
					st.closed = true
				}
			}
			switch {
			case typ == typeData && !st.closed && int64(body) > st.recv:
				f.refused = "more data than the window"
			case typ == typeData && st.closed && body > firstWindow:
				f.strict = becauseGone
			case typ == typeData && body > 0 && st.ended && !st.closed:
				f.strict = becauseEnded
			case typ == typeWindow && flags&flagRST == 0 && !st.closed && st.send+int64(length) > 1<<32-1:
				f.strict = becauseWraps
			}
			st.recv -= int64(body)
			if typ == typeWindow && flags&flagRST == 0 {
				st.send += int64(length)
			}
			if flags&flagRST != 0 {
				st.closed, f.resets[id] = true, true
			}
			if flags&flagFIN != 0 && !st.closed {
				st.ended, f.ends[id] = true, true
			}
		}
		f.used += 12 + body
		if body > len(wire) {
			f.short = body - len(wire)
			return f
		}
		wire = wire[body:]
	}
	return f
}
