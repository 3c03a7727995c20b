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

func (plainWriter) appendHeader(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

func (plainWriter) appendGoodbye(dst []byte) []byte {
	return append(dst, 0, 0, 0, 0)
}

func (plainWriter) wipe() {}

// plainReader takes the chunks of one direction apart.
type plainReader struct {
	left uint32 // bytes of the current chunk still to come
}

// open is boxReader.open for chunks: a view is what has come of one.
func (r *plainReader) open(src []byte) (view []byte, used int, err error) {
	if r.left == 0 {
		if len(src) < chunkHeaderSize {
			return nil, 0, nil
		}
		r.left = binary.BigEndian.Uint32(src)
		used = chunkHeaderSize
		if r.left == 0 {
			if used < len(src) {
				return nil, used, fmt.Errorf("%w: bytes after the goodbye", ErrProtocol)
			}
			return nil, used, io.EOF
		}
	}
	view = src[used:]
	if uint64(len(view)) > uint64(r.left) {
		view = view[:r.left]
	}
	r.left -= uint32(len(view))
	return view, used + len(view), nil
}

func (r *plainReader) wipe() {}
