package mux

import (
	"encoding/binary"
	"fmt"
)

// The frame header of yamux, version 0: 12 bytes, big endian.
//
//	version u8 = 0 | type u8 | flags u16 | stream u32 | length u32
//
// length is the number of bytes that follow a data frame; the delta of a
// window update; the opaque value of a ping; the code of a go-away.
const headerSize = 12

// Frame types.
const (
	typeData   = 0 // length bytes follow
	typeWindow = 1 // length more bytes may be sent
	typePing   = 2 // stream 0; SYN asks, ACK answers with the same length
	typeGoAway = 3 // stream 0; length is a code
)

// Frame flags. Those of a stream stand on a data frame or a window update.
const (
	flagSYN = 1 // opens the stream
	flagACK = 2 // the acceptor's answer to SYN
	flagFIN = 4 // no more data from the sender
	flagRST = 8 // the stream is over both ways, at once
)

// Go-away codes.
const (
	goAwayNormal   = 0
	goAwayProtocol = 1
	goAwayInternal = 2
	goAwayCalm     = 11 // enhance_calm, a code of ours (PROTOCOL.md §3)
)

// initialWindow is what either side of a new stream may send before the first
// window update (yamux: 256 KiB).
const initialWindow = 256 << 10

// header is one frame header.
type header struct {
	typ    byte
	flags  uint16
	id     uint32 // stream; 0 is the session
	length uint32
}

// appendTo appends the 12 bytes of h to b.
func (h header) appendTo(b []byte) []byte {
	b = append(b, 0, h.typ)
	b = binary.BigEndian.AppendUint16(b, h.flags)
	b = binary.BigEndian.AppendUint32(b, h.id)
	return binary.BigEndian.AppendUint32(b, h.length)
}

// parseHeader reads a header. Unknown versions and types, and a stream where
// none belongs or the other way round, are ErrProtocol. Unknown flags are kept
// and mean nothing.
func parseHeader(b [headerSize]byte) (header, error) {
	h := header{
		typ:    b[1],
		flags:  binary.BigEndian.Uint16(b[2:]),
		id:     binary.BigEndian.Uint32(b[4:]),
		length: binary.BigEndian.Uint32(b[8:]),
	}
	switch {
	case b[0] != 0:
		return h, fmt.Errorf("%w: version %d", ErrProtocol, b[0])
	case h.typ > typeGoAway:
		return h, fmt.Errorf("%w: frame type %d", ErrProtocol, h.typ)
	case h.typ <= typeWindow && h.id == 0:
		return h, fmt.Errorf("%w: stream frame with id 0", ErrProtocol)
	case h.typ >= typePing && h.id != 0:
		return h, fmt.Errorf("%w: session frame with id %d", ErrProtocol, h.id)
	}
	return h, nil
}

func (h header) has(flag uint16) bool { return h.flags&flag != 0 }
