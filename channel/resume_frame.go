package channel

import (
	"encoding/binary"
	"errors"
)

// Window is how much a resumable channel may hold for each direction, in
// bytes: at least MinWindow, at most MaxWindow.
const (
	MinWindow = 64 << 10
	MaxWindow = 4 << 20
)

// Sizes of frames.
const (
	frameHead = 13
	frameBody = 32 << 10 // of a DATA frame, at most
)

// frameType is the type of a frame of a resumable channel (PROTOCOL.md §10).
type frameType uint8

const (
	frameData frameType = 1 + iota // off: the number of its first byte; n bytes follow
	frameAck                       // off: the next number expected; n: how many bytes from there on are welcome
	frameFin                       // off: the number behind the last byte, which the end takes itself
	framePing                      // asks for PONG and ACK
	framePong
	frameReset
)

// frame is the head of one.
type frame struct {
	kind frameType
	off  uint64
	n    uint32
}

// ErrFrame: the other end of a resumable channel has sent what it cannot mean.
var ErrFrame = errors.New("channel: an impossible frame")

func (f frame) append(b []byte) []byte {
	b = append(b, byte(f.kind))
	b = binary.BigEndian.AppendUint64(b, f.off)
	return binary.BigEndian.AppendUint32(b, f.n)
}

// parseFrame reads the head of a frame, frameHead bytes.
func parseFrame(b []byte) (frame, error) {
	f := frame{frameType(b[0]), binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint32(b[9:])}
	switch f.kind {
	case frameData:
		if f.n == 0 || f.n > frameBody {
			return f, ErrFrame
		}
	case frameAck:
		if f.n > MaxWindow {
			return f, ErrFrame
		}
	case frameFin:
		if f.n != 0 {
			return f, ErrFrame
		}
	case framePing, framePong, frameReset:
		if f.off != 0 || f.n != 0 {
			return f, ErrFrame
		}
	default:
		return f, ErrFrame
	}
	return f, nil
}
