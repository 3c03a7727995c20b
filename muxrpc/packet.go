package muxrpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Flags of a packet. The low two bits are the type of the body.
const (
	FlagBytes  = 0x00 // the body is bytes
	FlagText   = 0x01 // the body is UTF-8 text
	FlagJSON   = 0x02 // the body is one JSON text
	FlagEnd    = 0x04 // the last packet of its direction, or the error that answers an async call
	FlagStream = 0x08 // the packet belongs to a source, sink or duplex

	typeMask  = 0x03
	flagsMask = 0x0f // what is read of the flags byte; the upper half has no meaning
)

const (
	headerSize = 9    // flags u8 ‖ length u32be ‖ request i32be
	firstRead  = 4096 // bytes of a body for which memory is taken before any of it arrived

	smallPacket = 512 // bytes of most packets that stand alone
)

var (
	// ErrTooLarge says that a packet's header announces a body over the limit of its reader.
	ErrTooLarge = errors.New("muxrpc: packet body too large")

	errEmptyBody = errors.New("muxrpc: empty packet body")
)

// Packet is one muxrpc packet. A positive Req belongs to a call that the sender of the packet started, a negative
// one to a call that its receiver started.
type Packet struct {
	Flags byte
	Req   int32
	Body  []byte
}

// IsGoodbye reports whether p is the end of the session: nine zero bytes on the wire.
func (p Packet) IsGoodbye() bool {
	return p.Flags == 0 && p.Req == 0 && len(p.Body) == 0
}

func (p Packet) bodyType() byte { return p.Flags & typeMask }
func (p Packet) isEnd() bool    { return p.Flags&FlagEnd != 0 }
func (p Packet) isStream() bool { return p.Flags&FlagStream != 0 }

// header is the wire form of everything but the body.
type header [headerSize]byte

// header is the header of p with a body of size bytes.
func (p Packet) header(size int) (h header) {
	h[0] = p.Flags & flagsMask
	binary.BigEndian.PutUint32(h[1:5], uint32(size))
	binary.BigEndian.PutUint32(h[5:9], uint32(p.Req))
	return h
}

// ReadPacket reads exactly one packet from r and not one byte more. The error is io.EOF only on a packet boundary and
// io.ErrUnexpectedEOF inside a packet. A body longer than maxBody bytes is [ErrTooLarge], seen before anything is allocated;
// the memory for a shorter one grows as its bytes arrive. The upper four flag bits read as they came.
func ReadPacket(r io.Reader, maxBody int) (Packet, error) {
	room := make([]byte, headerSize, smallPacket)
	return readPacket(r, (*header)(room), maxBody, room[headerSize:])
}

// readPacket is ReadPacket with the reader's own scratch space for the header, and room for a body that fits.
func readPacket(r io.Reader, h *header, maxBody int, room []byte) (Packet, error) {
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Packet{}, err // io.EOF only if there was not a single byte
	}
	p := Packet{Flags: h[0], Req: int32(binary.BigEndian.Uint32(h[5:9]))}
	size := binary.BigEndian.Uint32(h[1:5])
	if int64(size) > int64(maxBody) {
		return Packet{}, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, size, maxBody)
	}
	body, err := readBody(r, int(size), room)
	if err != nil {
		return Packet{}, err
	}
	p.Body = body
	return p, nil
}

// readBody reads size bytes, into room if they fit. It never holds more than four times what has arrived, or
// firstRead: a header costs its sender nothing.
func readBody(r io.Reader, size int, room []byte) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	body := room[:min(size, cap(room))]
	if len(body) < size {
		body = make([]byte, min(size, firstRead))
	}
	for got := 0; ; {
		n, err := io.ReadFull(r, body[got:])
		got += n
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		if got == size {
			return body, nil
		}
		more := make([]byte, min(size, 4*got))
		copy(more, body)
		body = more
	}
}

// buffersWriter is what a boxed conn has: every buffer starts a box of its own.
type buffersWriter interface {
	WriteBuffers(bufs ...[]byte) (int, error)
}

// WritePacket writes one packet. If w has a method WriteBuffers(bufs ...[]byte) (int, error), header and body are two buffers
// of it, so that a box boundary falls between them (PROTOCOL.md §4); else they are one Write. A packet with an empty
// body is refused unless it is the goodbye, because stock peers take every empty body for one.
func WritePacket(w io.Writer, p Packet) error {
	if err := p.check(len(p.Body)); err != nil {
		return err
	}
	h := p.header(len(p.Body))
	if len(p.Body) == 0 {
		_, err := w.Write(h[:])
		return err
	}
	if bw, ok := w.(buffersWriter); ok {
		_, err := bw.WriteBuffers(h[:], p.Body)
		return err
	}
	d := NewDraft()
	d.B = append(d.B, p.Body...)
	return d.Send(w, p.Flags, p.Req)
}

// check reports whether p may be written with a body of size bytes.
func (p Packet) check(size int) error {
	if size == 0 && !p.IsGoodbye() {
		return errEmptyBody
	}
	if int64(size) > math.MaxUint32 {
		return ErrTooLarge
	}
	return nil
}
