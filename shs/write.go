package shs

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

const (
	maxBatch  = 16        // frames of one raw write
	minDirect = 16 << 10  // bytes from which it pays not to copy a payload
	maxDirect = 256 << 10 // bytes of such a chunk; a deadline may leave as many to keep
)

// encoder frames one direction: boxWriter, plainWriter.
type encoder interface {
	// appendFrame frames the first bytes of p behind dst and says how many.
	appendFrame(dst, p []byte) ([]byte, int)
	appendGoodbye(dst []byte) []byte
	wipe()
}

// directEncoder is an encoder whose payload goes over the wire as it is.
type directEncoder interface {
	encoder
	// appendHeader begins a frame of n bytes, which the caller sends behind dst.
	appendHeader(dst []byte, n int) []byte
}

// writer is the sending half of a Conn. Whoever has the lock owns the rest.
//
// A box that is sealed has used up its nonce: it must reach the peer, or the
// direction is over. So what a deadline leaves unsent stays in out, and goes
// before anything else.
type writer struct {
	ioLock

	conn   net.Conn
	enc    encoder
	direct directEncoder // enc, if it is one and conn a socket
	out    []byte        // framed: out[sent:] is still to go; nil when idle
	sent   int
	body   []byte // of the caller: goes behind out; nil between calls
	ended  bool   // the goodbye is framed
	err    error  // sticky

	raw     syscall.RawConn // nil: conn is no socket
	monitor *monitor
	send    func(fd uintptr) bool // w.sendRaw, made once
	wait    bool                  // whether the raw write in progress waits
	rawErr  error                 // of the raw write in progress
}

func newWriter(conn net.Conn, enc encoder) *writer {
	w := &writer{ioLock: newIOLock(), conn: conn, enc: enc, monitor: newMonitor(), raw: rawConn(conn)}
	if w.raw != nil {
		w.send = w.sendRaw
		w.direct, _ = enc.(directEncoder)
	}
	return w
}

// write frames and sends bufs, each from a frame of its own on. It returns how
// many bytes are framed: those are the peer's, now or before the next ones.
func (w *writer) write(bufs [][]byte) (n int, err error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	if err := w.flush(); err != nil {
		return 0, err
	}
	frames := 0
	for _, p := range bufs {
		for len(p) > 0 {
			if w.full(frames) {
				if err := w.flush(); err != nil {
					return n, err
				}
				frames = 0
			}
			took := w.frame(p)
			p = p[took:]
			n += took
			frames++
		}
	}
	return n, w.flush()
}

// try frames all of p and sends what goes without waiting.
func (w *writer) try(p []byte) error {
	if err := w.usable(); err != nil {
		return err
	}
	stuck := false
	for frames := 0; len(p) > 0; frames++ {
		if !stuck && w.full(frames) {
			if err := w.push(false); err != nil {
				return err
			}
			w.keep()
			stuck = w.left()
			frames = 0
		}
		if stuck {
			var took int
			w.out, took = w.enc.appendFrame(w.out, p)
			p = p[took:]
		} else {
			p = p[w.frame(p):]
		}
	}
	if stuck {
		return nil
	}
	err := w.push(false)
	w.keep()
	return err
}

// usable says why nothing may be written, if so.
func (w *writer) usable() error {
	if w.err != nil {
		return w.err
	}
	if w.ended {
		return net.ErrClosed
	}
	return nil
}

// full says whether a batch of so many frames is to be sent before the next.
func (w *writer) full(frames int) bool {
	return frames == maxBatch || len(w.out) >= maxChunk || w.body != nil
}

// frame makes a frame of the first bytes of p and says how many. They are in
// out, or in body and p still the caller's.
func (w *writer) frame(p []byte) (took int) {
	if w.out == nil {
		w.out = takeBuffer(writeSize)[:0]
	}
	if w.direct != nil && len(p) >= minDirect {
		w.body = p[:min(len(p), maxDirect)]
		w.out = w.direct.appendHeader(w.out, len(w.body))
		return len(w.body)
	}
	w.out, took = w.enc.appendFrame(w.out, p)
	return took
}

// end frames the goodbye, if it is not, and sends what is to go.
func (w *writer) end() error {
	if w.err != nil {
		return w.err
	}
	if !w.ended {
		w.out = w.enc.appendGoodbye(w.out)
		w.ended = true
		w.enc.wipe()
	}
	return w.flush()
}

// flushed is flush for a direction that may be over.
func (w *writer) flushed() error {
	if w.err != nil {
		return w.err
	}
	return w.flush()
}

// left says whether something framed is not sent.
func (w *writer) left() bool { return w.sent < len(w.out) || w.body != nil }

// flush sends what is framed. A timeout keeps the rest, any other error is
// sticky.
func (w *writer) flush() error {
	err := w.push(true)
	w.keep()
	return err
}

// keep copies what is left of the caller's bytes.
func (w *writer) keep() {
	if w.body != nil {
		w.out = append(w.out, w.body...)
		w.body = nil
	}
}

// push sends what is framed, or without wait what goes at once. A deadline ends
// it early, and is an error only to one who waits.
func (w *writer) push(wait bool) error {
	if !w.left() {
		return nil
	}
	err := w.pushOnce(wait)
	if !w.left() {
		giveBuffer(w.out)
		w.out, w.sent = nil, 0
		if wait && errors.Is(err, os.ErrDeadlineExceeded) {
			return err // a Conn below has taken all, keeps it, and would not say so again
		}
		return nil // an error comes again
	}
	switch {
	case err == nil && wait:
		err = io.ErrShortWrite // of a connection that breaks its promise
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		if !wait {
			return nil
		}
		return err
	}
	w.fail(err)
	return err
}

// pushOnce is one write to the connection below, or two.
func (w *writer) pushOnce(wait bool) error {
	if w.raw != nil {
		w.wait = wait
		err := w.raw.Write(w.send)
		if err == nil {
			err, w.rawErr = w.rawErr, nil
		}
		return err
	}
	if wait {
		n, err := w.conn.Write(w.out[w.sent:])
		w.sent += n
		return err
	}
	if conn, ok := w.conn.(tryWriter); ok {
		n, err := conn.TryWrite(w.out[w.sent:])
		w.sent += n
		return err
	}
	return nil
}

// sendRaw writes to the descriptor. It returns false to be called again when
// the kernel takes more.
func (w *writer) sendRaw(fd uintptr) bool {
	for {
		n, again, err := writeRaw(w.monitor.calls(len(w.out)-w.sent+len(w.body)), fd, w.out[w.sent:], w.body)
		if again {
			return !w.wait
		}
		inOut := min(n, len(w.out)-w.sent)
		w.sent += inOut
		if w.body = w.body[n-inOut:]; len(w.body) == 0 {
			w.body = nil
		}
		if err != nil || !w.left() || !w.wait {
			w.rawErr = err
			return true
		}
	}
}

// fail ends the direction with its first error, and forgets its key.
func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
	w.enc.wipe()
	giveBuffer(w.out)
	w.out, w.sent, w.body = nil, 0, nil
}
