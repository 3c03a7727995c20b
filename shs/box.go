package shs

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

// A box on the wire is a header box and the ciphertext of the body:
//
//	secretbox(length u16be | MAC of the body 16) 34 | ciphertext of the body, length bytes
//
// The header is sealed under the direction's nonce n, the body under n+1; then
// n += 2. A header of 18 zeros is the goodbye.
const (
	boxOverhead   = secretbox.Overhead      // 16
	boxHeader     = 2 + boxOverhead         // 18, in the clear
	boxHeaderSize = boxHeader + boxOverhead // 34, on the wire
	maxBody       = 4096                    // bytes of a body, written and accepted
	maxFrame      = boxHeaderSize + maxBody // bytes of the largest box
	maxEmpty      = 64                      // empty bodies in a row
)

// boxWriter seals one direction.
type boxWriter struct {
	half   shs1.Half
	header [boxHeader]byte
}

// appendFrame seals the first bytes of p, at most 4,096 and at least one, into
// one box behind dst. It returns how many bytes of p it took.
func (w *boxWriter) appendFrame(dst, p []byte) ([]byte, int) {
	p = p[:min(len(p), maxBody)]
	dst = slices.Grow(dst, boxHeaderSize+len(p))
	off := len(dst)
	nonce := w.half.Nonce
	increment(&w.half.Nonce)

	// Seal writes the MAC in front of the ciphertext, so aim it at the end of
	// the header's place; then lift the MAC into the header and box that.
	dst = secretbox.Seal(dst[:off+boxHeader], p, &w.half.Nonce, &w.half.Key)
	binary.BigEndian.PutUint16(w.header[:], uint16(len(p)))
	copy(w.header[2:], dst[off+boxHeader:off+boxHeaderSize])
	secretbox.Seal(dst[:off], w.header[:], &nonce, &w.half.Key)
	increment(&w.half.Nonce)
	return dst, len(p)
}

// appendGoodbye seals the end of the direction.
func (w *boxWriter) appendGoodbye(dst []byte) []byte {
	clear(w.header[:])
	return secretbox.Seal(dst, w.header[:], &w.half.Nonce, &w.half.Key)
}

func (w *boxWriter) wipe() { *w = boxWriter{} }

// boxReader opens one direction.
type boxReader struct {
	half   shs1.Half
	header [boxHeader]byte
	opened bool   // the header in front of src is opened, header holds it
	empty  int    // empty bodies since the last one that was not
	body   []byte // of a box larger than the reader's buffer, nil before
	rest   []byte // of body, not yet read
}

// decode opens boxes out of src into dst until one of them is exhausted. It
// returns how many bytes it put into dst and how many of src are done with; it
// may change src behind that. An incomplete box stays in src. The error is
// io.EOF for the goodbye, else an ErrProtocol.
func (r *boxReader) decode(dst, src []byte) (n, used int, err error) {
	for {
		c := copy(dst[n:], r.rest)
		r.rest = r.rest[c:]
		n += c
		if n == len(dst) || len(src)-used < boxHeaderSize {
			return n, used, nil
		}
		size, err := r.openHeader(src[used : used+boxHeaderSize])
		if err != nil {
			if err == io.EOF && len(src)-used > boxHeaderSize {
				err = fmt.Errorf("%w: bytes after the goodbye", ErrProtocol)
			}
			return n, used, err
		}
		frame := boxHeaderSize + size
		if len(src)-used < frame {
			return n, used, nil
		}
		// The MAC lies right before the ciphertext, as Open wants it.
		sealed := src[used+boxHeader : used+frame]
		into := dst[n:n]
		direct := size <= len(dst)-n
		if !direct {
			if r.body == nil {
				r.body = make([]byte, maxBody)
			}
			into = r.body[:0]
		}
		if _, ok := secretbox.Open(into, sealed, &r.half.Nonce, &r.half.Key); !ok {
			return n, used, fmt.Errorf("%w: body does not open", ErrProtocol)
		}
		increment(&r.half.Nonce)
		r.opened = false
		used += frame
		if r.empty++; size > 0 {
			r.empty = 0
		}
		if r.empty > maxEmpty {
			return n, used, fmt.Errorf("%w: %d empty boxes in a row", ErrProtocol, r.empty)
		}
		if direct {
			n += size
		} else {
			r.rest = r.body[:size]
		}
	}
}

// openHeader opens the header box, once, leaves the body's MAC in its last 16
// bytes, and returns the size of the body.
func (r *boxReader) openHeader(box []byte) (size int, err error) {
	if !r.opened {
		if _, ok := secretbox.Open(r.header[:0], box, &r.half.Nonce, &r.half.Key); !ok {
			return 0, fmt.Errorf("%w: header does not open", ErrProtocol)
		}
		if r.header == [boxHeader]byte{} {
			return 0, io.EOF
		}
		increment(&r.half.Nonce)
		copy(box[boxHeader:], r.header[2:])
		r.opened = true
	}
	size = int(binary.BigEndian.Uint16(r.header[:]))
	if size > maxBody {
		return 0, fmt.Errorf("%w: body of %d bytes, limit %d", ErrProtocol, size, maxBody)
	}
	return size, nil
}

func (r *boxReader) wipe() {
	clear(r.body)
	*r = boxReader{}
}

// increment adds one to a nonce, a 24-byte big-endian number.
func increment(nonce *[24]byte) {
	for i := len(nonce) - 1; i >= 0; i-- {
		nonce[i]++
		if nonce[i] != 0 {
			return
		}
	}
}
