package shs

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

const (
	minReadBuffer = 8 << 10  // bytes a connection begins with; holds a box
	maxReadBuffer = 64 << 10 // bytes it grows to when reads fill it
	maxPeek       = 64       // bytes of Peek
)

// decoder takes the frames of one direction apart: boxReader, plainReader.
type decoder interface {
	// decode puts into dst what it finds complete in src. It returns the bytes
	// put, the bytes of src that are done with, and io.EOF for the goodbye.
	decode(dst, src []byte) (n, used int, err error)
	wipe()
}

// reader is the receiving half of a Conn. Whoever holds lock owns the rest.
type reader struct {
	lock chan struct{} // 1 slot: a lock that may be held over I/O

	conn  net.Conn
	dec   decoder
	buf   []byte // raw bytes: buf[begin:end] are received and not decoded
	begin int
	end   int
	grow  bool // the last raw read filled buf

	ahead  [maxPeek]byte // decoded, not consumed: ahead[from:to]
	from   int
	to     int
	err    error // sticky
	closed bool  // err was set by us, not met in the stream
}

func newReader(conn net.Conn, dec decoder) *reader {
	return &reader{lock: make(chan struct{}, 1), conn: conn, dec: dec}
}

// read returns decoded bytes, first those that peek has left.
func (r *reader) read(p []byte) (int, error) {
	if r.closed {
		return 0, r.err
	}
	if r.from < r.to {
		n := copy(p, r.ahead[r.from:r.to])
		r.from += n
		return n, nil
	}
	return r.next(p)
}

// peek returns the next n bytes and leaves them for read.
func (r *reader) peek(n int) ([]byte, error) {
	if n > maxPeek {
		return nil, fmt.Errorf("shs: peek of %d bytes, limit %d", n, maxPeek)
	}
	if r.closed {
		return nil, r.err
	}
	r.to = copy(r.ahead[:], r.ahead[r.from:r.to])
	r.from = 0
	for r.to < n {
		c, err := r.next(r.ahead[r.to:n])
		r.to += c
		if err != nil {
			return r.ahead[:r.to], err
		}
	}
	return r.ahead[:n], nil
}

// next decodes into p until there is something. A timeout loses nothing: what
// has come stays in buf.
func (r *reader) next(p []byte) (int, error) {
	for {
		if r.err != nil {
			return 0, r.err
		}
		n, used, err := r.dec.decode(p, r.buf[r.begin:r.end])
		r.begin += used
		if err != nil {
			r.fail(err)
		}
		if n > 0 {
			return n, nil // an error is for the next call
		}
		if err == nil {
			if err := r.fill(); err != nil {
				return 0, err
			}
		}
	}
}

// fill reads from the connection once.
func (r *reader) fill() error {
	if r.buf == nil {
		r.buf = make([]byte, minReadBuffer)
	}
	old := r.buf
	if r.grow && len(r.buf) < maxReadBuffer {
		r.buf = make([]byte, 2*len(r.buf))
	}
	r.end = copy(r.buf, old[r.begin:r.end])
	r.begin = 0

	n, err := r.conn.Read(r.buf[r.end:])
	r.end += n
	r.grow = r.end == len(r.buf)
	switch {
	case n > 0:
		return nil // an error comes again
	case err == nil:
		err = io.ErrNoProgress
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	default: // a reset, a dead link
		err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	r.fail(err)
	return r.err
}

// fail ends the direction with its first error, and forgets its key.
func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.dec.wipe()
	r.buf, r.begin, r.end = nil, 0, 0
}

// close ends the direction because we closed the connection.
func (r *reader) close() {
	r.fail(net.ErrClosed)
	r.err, r.closed = net.ErrClosed, true
}
