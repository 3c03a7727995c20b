package shs

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// A chunk of plain mode on the wire:
//
//	length u32be | bytes
//
// Length 0 is the goodbye. A chunk may be of any size: a reader takes what
// comes and keeps nothing.
const (
	chunkHeaderSize = 4
	maxChunk        = 64<<10 - chunkHeaderSize // bytes of a chunk we write
)

// plainWriter frames one direction.
type plainWriter struct{}

// appendFrame puts the first bytes of p, at least one, into one chunk behind
// dst. It returns how many bytes of p it took.
func (plainWriter) appendFrame(dst, p []byte) ([]byte, int) {
	p = p[:min(len(p), maxChunk)]
	dst = slices.Grow(dst, chunkHeaderSize+len(p))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)))
	return append(dst, p...), len(p)
}

func (plainWriter) appendGoodbye(dst []byte) []byte {
	return append(dst, 0, 0, 0, 0)
}

func (plainWriter) wipe() {}

// plainReader takes the chunks of one direction apart.
type plainReader struct {
	left uint32 // bytes of the current chunk still to come
}

// decode is boxReader.decode for chunks.
func (r *plainReader) decode(dst, src []byte) (n, used int, err error) {
	for n < len(dst) {
		if r.left == 0 {
			if len(src)-used < chunkHeaderSize {
				return n, used, nil
			}
			r.left = binary.BigEndian.Uint32(src[used:])
			used += chunkHeaderSize
			if r.left == 0 {
				if used < len(src) {
					return n, used, fmt.Errorf("%w: bytes after the goodbye", ErrProtocol)
				}
				return n, used, io.EOF
			}
		}
		take := uint32(min(uint64(r.left), uint64(len(dst)-n)))
		c := copy(dst[n:], src[used:used+min(int(take), len(src)-used)])
		if c == 0 {
			return n, used, nil
		}
		r.left -= uint32(c)
		n += c
		used += c
	}
	return n, used, nil
}

func (r *plainReader) wipe() {}
