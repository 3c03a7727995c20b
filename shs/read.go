package shs

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/cad2f06c/switchboard/internal/sock"
)

const (
	fewReads = 4  // small reads in a row after which a small buffer will do
	maxPeek  = 64 // bytes of Peek
)

// decoder takes the frames of one direction apart: boxReader, plainReader.
type decoder interface {
	// open takes the first frame of src apart in place. It returns a view of its
	// payload, or of a part of it, and the bytes of src that are done with once
	// the view is. No view and nothing used: it needs more of src. The error is
	// io.EOF for the goodbye, else an ErrProtocol, and comes without a view.
	open(src []byte) (view []byte, used int, err error)
	wipe()
}

// reader is the receiving half of a Conn. Whoever has the lock owns the rest.
//
// A socket is asked whether anything is there before it gets a buffer, so one
// that waits has none, or a small one for half a box. Any other connection waits
// with a small one.
type reader struct {
	ioLock

	conn  net.Conn
	dec   decoder
	buf   []byte // raw bytes: buf[begin:end] are received and not opened
	begin int
	end   int
	few   int    // reads in a row that a small buffer could hold
	view  []byte // opened and not consumed, in buf

	filled bool // the last read filled buf
	given  bool // the caller has a view of buf, which must not become another's

	peeked []byte // a copy of what peek returned and nobody consumed: before view
	err    error  // sticky, comes after view
	closed bool   // err was set by us, not met in the stream

	raw     syscall.RawConn // nil: conn is no socket
	monitor *monitor
	calls   sock.Calls            // of the next read
	recv    func(fd uintptr) bool // r.recvRaw, made once
	got     int                   // bytes of the raw read in progress
	rawErr  error                 // of the raw read in progress

	scattered  func(fd uintptr) bool // r.recvScattered, made once
	head, into []byte                // where it reads to
	header     [chunkHeaderSize]byte

	take    func(*os.File) // nil: files that the peer passes are none of ours
	control []byte         // where their control messages go
	file    *os.File       // of the raw read in progress
}

func newReader(conn net.Conn, dec decoder) *reader {
	r := &reader{ioLock: newIOLock(), conn: conn, dec: dec, monitor: newMonitor(), raw: rawConn(conn)}
	if r.raw != nil {
		r.recv = r.recvRaw
		r.scattered = r.recvScattered
	}
	return r
}

// read returns what peek has left, else fills p with what is at hand, and waits
// only if that is nothing.
func (r *reader) read(p []byte) (n int, err error) {
	if dec, ok := r.scatter(p); ok {
		if n, err = r.readScattered(dec, p); n > 0 || err != nil {
			return n, err
		}
	}
	if err := r.await(); err != nil {
		return 0, err
	}
	if len(r.peeked) > 0 {
		n = copy(p, r.peeked)
		if r.peeked = r.peeked[n:]; len(r.peeked) == 0 {
			r.peeked = nil
		}
		return n, nil
	}
	for n < len(p) && r.look() {
		c := copy(p[n:], r.view)
		r.view = r.view[c:]
		n += c
	}
	return n, nil
}

// next returns what comes next in place, and whether there is more at hand: bytes
// or an error.
func (r *reader) next() (view []byte, more bool, err error) {
	if err := r.await(); err != nil {
		return nil, false, err
	}
	if view, r.peeked = r.peeked, nil; len(view) == 0 {
		view, r.view = r.view, nil
	}
	r.given = true
	return view, r.look() || r.err != nil, nil
}

// peek returns the next n bytes and leaves them for read.
func (r *reader) peek(n int) ([]byte, error) {
	if n > maxPeek {
		return nil, fmt.Errorf("shs: peek of %d bytes, limit %d", n, maxPeek)
	}
	if r.closed {
		return nil, r.err
	}
	r.given = false
	for len(r.peeked) < n {
		if err := r.awaitView(); err != nil {
			return r.peeked, err
		}
		c := min(n-len(r.peeked), len(r.view))
		r.peeked = append(r.peeked, r.view[:c]...)
		r.view = r.view[c:]
	}
	return r.peeked[:n], nil
}

// await returns when there is something in peeked or in view. A timeout loses
// nothing: what has come stays in buf.
func (r *reader) await() error {
	if r.closed {
		return r.err
	}
	r.given = false
	if len(r.peeked) > 0 {
		return nil
	}
	return r.awaitView()
}

func (r *reader) awaitView() error {
	for !r.look() {
		if r.err != nil {
			r.drop()
			return r.err
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
	return nil
}

// look opens frames of buf until there is a view, and says whether there is.
func (r *reader) look() bool {
	for len(r.view) == 0 {
		if r.err != nil {
			return false
		}
		view, used, err := r.dec.open(r.buf[r.begin:r.end])
		r.view = view
		r.begin += used
		switch {
		case err != nil:
			r.err = err
			r.dec.wipe()
		case len(view) == 0 && used == 0:
			return false
		}
	}
	return true
}

// fill reads from the connection once.
func (r *reader) fill() error {
	var n int
	var err error
	if r.raw != nil {
		if err = r.raw.Read(r.recv); err == nil {
			n, err = r.got, r.rawErr
			r.got, r.rawErr = 0, nil
			r.handOver()
		}
	} else {
		r.rebuffer(r.filled || len(r.buf) == readSize && r.few < fewReads)
		n, err = r.conn.Read(r.buf[r.end:])
	}
	r.end += n
	r.filled = r.end == len(r.buf)
	r.calls = r.monitor.calls(n)
	if r.few++; n >= smallSize {
		r.few = 0
	}
	if n > 0 {
		return nil // an error comes again
	}
	return r.readError(err)
}

// readError is what a read that brought nothing means. A deadline passes; all
// else is the end.
func (r *reader) readError(err error) error {
	switch {
	case err == nil:
		err = io.ErrNoProgress
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	case errors.Is(err, ErrProtocol):
	default: // a reset, a dead link
		err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	r.fail(err)
	return r.err
}

// recvRaw reads from the descriptor. It returns false to be called again when
// something is there.
func (r *reader) recvRaw(fd uintptr) bool {
	r.rebuffer(true)
	n, again, err := r.readOnce(fd)
	if again {
		if r.begin == r.end {
			r.drop()
		} else {
			r.rebuffer(false)
		}
		return false
	}
	r.got, r.rawErr = n, err
	return true
}

// rebuffer moves what is not opened to the front of a large buffer, or of a
// small one if it fits.
func (r *reader) rebuffer(large bool) {
	old, size := r.buf, smallSize
	if large || r.end-r.begin >= smallSize {
		size = readSize
	}
	if len(old) != size {
		r.buf = takeBuffer(size)
	}
	r.end = copy(r.buf, old[r.begin:r.end])
	r.begin = 0
	if len(old) != size {
		giveBuffer(old)
	}
}

// drop gives the buffer back, unless the caller may still look at it.
func (r *reader) drop() {
	if !r.given {
		giveBuffer(r.buf)
	}
	r.buf, r.begin, r.end, r.view = nil, 0, 0, nil
}

// fail ends the direction with its first error, and forgets its key.
func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.dec.wipe()
	r.drop()
}

// close ends the direction because we closed the connection.
func (r *reader) close() {
	r.fail(net.ErrClosed)
	r.err, r.closed = net.ErrClosed, true
}
