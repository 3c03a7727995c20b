package shs

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/cad2f06c/switchboard/shs/internal/salsa"
	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

// A box on the wire is a header box and the ciphertext of the body:
//
//	secretbox(length u16be | MAC of the body 16) 34 | ciphertext of the body, length bytes
//
// The header is sealed under the direction's nonce n, the body under n+1; then
// n += 2. A header of 18 zeros is the goodbye.
const (
	boxOverhead   = salsa.TagSize           // 16
	boxHeader     = 2 + boxOverhead         // 18, in the clear
	boxHeaderSize = boxHeader + boxOverhead // 34, on the wire
	maxBody       = 4096                    // bytes of a body, written and accepted
	maxFrame      = boxHeaderSize + maxBody // bytes of the largest box
	maxEmpty      = 64                      // empty bodies in a row
)

// boxWriter seals one direction.
type boxWriter struct {
	stream salsa.Stream
}

func newBoxWriter(half shs1.Half, path salsa.Path) *boxWriter {
	w := new(boxWriter)
	w.stream.Init(&half.Key, &half.Nonce, path)
	return w
}

// appendFrame seals the first bytes of p, at most 4,096 and at least one, into
// one box behind dst. It returns how many bytes of p it took. It allocates if the
// box does not fit into dst's capacity.
func (w *boxWriter) appendFrame(dst, p []byte) ([]byte, int) {
	p = p[:min(len(p), maxBody)]
	dst, box := extend(dst, boxHeaderSize+len(p))
	w.stream.Next()
	header := box[boxOverhead:boxHeaderSize]
	binary.BigEndian.PutUint16(header, uint16(len(p)))
	w.stream.SealBody((*[boxOverhead]byte)(header[2:]), box[boxHeaderSize:], p)
	w.stream.SealHead((*[boxOverhead]byte)(box), header)
	return dst, len(p)
}

// appendGoodbye seals the end of the direction.
func (w *boxWriter) appendGoodbye(dst []byte) []byte {
	dst, box := extend(dst, boxHeaderSize)
	clear(box)
	w.stream.Next()
	w.stream.SealHead((*[boxOverhead]byte)(box), box[boxOverhead:])
	return dst
}

func (w *boxWriter) wipe() { w.stream.Wipe() }

// extend makes dst longer by n bytes of any content and returns these as well.
func extend(dst []byte, n int) (all, last []byte) {
	dst = slices.Grow(dst, n)
	all = dst[:len(dst)+n]
	return all, all[len(dst):]
}

// boxReader opens one direction.
type boxReader struct {
	stream salsa.Stream
	header [boxHeader]byte // in the clear, of the box in hand
	opened bool            // the header in front of src is in header
	empty  uint8           // empty bodies since the last one that was not
	err    error           // sticky
}

func newBoxReader(half shs1.Half, path salsa.Path) *boxReader {
	r := new(boxReader)
	r.stream.Init(&half.Key, &half.Nonce, path)
	return r
}

// open opens the first box of src in place, when all of it has come. The view is
// its body, of which no byte is given out before its MAC is found good; used is the
// size of the box. An incomplete box stays in src: neither view nor used. The
// error is io.EOF for the goodbye, else an ErrProtocol, and sticky.
func (r *boxReader) open(src []byte) (view []byte, used int, err error) {
	if r.err != nil {
		return nil, 0, r.err
	}
	if len(src) < boxHeaderSize {
		return nil, 0, nil
	}
	size, err := r.openHeader(src)
	if err != nil {
		r.err = err
		return nil, 0, err
	}
	used = boxHeaderSize + size
	if len(src) < used {
		return nil, 0, nil
	}
	view = src[boxHeaderSize:used:used]
	if !r.stream.OpenBody(view, (*[boxOverhead]byte)(r.header[2:])) {
		r.err = fmt.Errorf("%w: body does not open", ErrProtocol)
		return nil, 0, r.err
	}
	r.opened = false
	if r.empty++; size > 0 {
		r.empty = 0
	}
	if r.empty > maxEmpty {
		r.err = fmt.Errorf("%w: %d empty boxes in a row", ErrProtocol, r.empty)
		return nil, 0, r.err
	}
	return view, used, nil
}

// openHeader opens the header box that src begins with, once, and returns the
// size of the body.
func (r *boxReader) openHeader(src []byte) (size int, err error) {
	if !r.opened {
		copy(r.header[:], src[boxOverhead:])
		r.stream.Next()
		if !r.stream.OpenHead(r.header[:], (*[boxOverhead]byte)(src)) {
			return 0, fmt.Errorf("%w: header does not open", ErrProtocol)
		}
		if r.header == [boxHeader]byte{} {
			if len(src) > boxHeaderSize {
				return 0, fmt.Errorf("%w: bytes after the goodbye", ErrProtocol)
			}
			return 0, io.EOF
		}
		r.opened = true
	}
	size = int(binary.BigEndian.Uint16(r.header[:]))
	if size > maxBody {
		return 0, fmt.Errorf("%w: body of %d bytes, limit %d", ErrProtocol, size, maxBody)
	}
	return size, nil
}

// wipe forgets the key; nothing opens after it.
func (r *boxReader) wipe() {
	r.stream.Wipe()
	clear(r.header[:])
	if r.err == nil {
		r.err = net.ErrClosed
	}
}
