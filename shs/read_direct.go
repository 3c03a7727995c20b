package shs

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A large Read of plain mode gets its bytes from the kernel where it wants
// them, without a buffer between: the rest of a chunk, or the header of the next
// one and what follows it. What turns out not to be of that chunk goes into the
// buffer, as if it had been received there.

// scatter says whether p is read so: nothing is at hand, and it is large.
func (r *reader) scatter(p []byte) (*plainReader, bool) {
	if len(p) < minDirect || r.raw == nil || r.take != nil || r.err != nil {
		return nil, false
	}
	if len(r.peeked) > 0 || len(r.view) > 0 || r.begin < r.end {
		return nil, false
	}
	dec, plain := r.dec.(*plainReader)
	return dec, plain
}

// readScattered reads once. Neither bytes nor an error means that what has come
// is in the buffer.
func (r *reader) readScattered(dec *plainReader, p []byte) (int, error) {
	r.given = false
	r.drop()
	var head []byte
	if dec.left == 0 {
		head = r.header[:]
		p = p[:min(len(p), readSize)]
	} else {
		p = p[:min(uint64(len(p)), uint64(dec.left))]
	}
	r.head, r.into = head, p
	err := r.raw.Read(r.scattered)
	n, rawErr := r.got, r.rawErr
	r.got, r.rawErr, r.head, r.into = 0, nil, nil, nil
	r.calls = r.monitor.calls(n)
	if err == nil {
		err = rawErr
	}
	if n == 0 {
		return 0, r.readError(err)
	}
	if head == nil {
		dec.left -= uint32(n)
		return n, nil
	}
	if n < len(head) {
		r.stow(head[:n])
		return 0, nil
	}
	n -= len(head)
	size := binary.BigEndian.Uint32(head)
	if size == 0 {
		r.err = io.EOF
		if n > 0 {
			r.err = fmt.Errorf("%w: bytes after the goodbye", ErrProtocol)
		}
		return 0, r.err
	}
	payload := int(min(uint64(n), uint64(size)))
	dec.left = size - uint32(payload)
	r.stow(p[payload:n])
	return payload, nil
}

// stow puts bytes that were received elsewhere into the empty buffer.
func (r *reader) stow(p []byte) {
	if len(p) == 0 {
		return
	}
	r.rebuffer(true)
	r.end = copy(r.buf, p)
}

// recvScattered reads from the descriptor into head and into.
func (r *reader) recvScattered(fd uintptr) bool {
	n, again, err := readvRaw(r.calls, fd, r.head, r.into)
	if again {
		return false
	}
	r.got, r.rawErr = n, err
	return true
}
