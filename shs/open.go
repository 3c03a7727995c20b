package shs

import (
	"fmt"
	"io"

	"golang.org/x/crypto/nacl/secretbox"
)

// open opens the first box of src in place and returns its body.
func (r *boxReader) open(src []byte) (view []byte, used int, err error) {
	if len(src) < boxHeaderSize {
		return nil, 0, nil
	}
	size, err := r.openHeader(src[:boxHeaderSize])
	if err != nil {
		if err == io.EOF && len(src) > boxHeaderSize {
			err = fmt.Errorf("%w: bytes after the goodbye", ErrProtocol)
		}
		return nil, 0, err
	}
	frame := boxHeaderSize + size
	if len(src) < frame {
		return nil, 0, nil
	}
	// The MAC lies right before the ciphertext, as Open wants it. Open wants no
	// overlap.
	if r.body == nil {
		r.body = make([]byte, 0, maxBody)
	}
	text, ok := secretbox.Open(r.body[:0], src[boxHeader:frame], &r.half.Nonce, &r.half.Key)
	if !ok {
		return nil, 0, fmt.Errorf("%w: body does not open", ErrProtocol)
	}
	increment(&r.half.Nonce)
	r.opened = false
	if r.empty++; size > 0 {
		r.empty = 0
	}
	if r.empty > maxEmpty {
		return nil, 0, fmt.Errorf("%w: %d empty boxes in a row", ErrProtocol, r.empty)
	}
	view = src[boxHeaderSize:frame]
	copy(view, text)
	return view, frame, nil
}
