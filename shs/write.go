package shs

import (
	"errors"
	"io"
	"net"
	"os"
)

const maxBatch = 16 // frames of one raw write, about 64 KiB of boxes

// encoder frames one direction: boxWriter, plainWriter.
type encoder interface {
	// appendFrame frames the first bytes of p behind dst and says how many.
	appendFrame(dst, p []byte) ([]byte, int)
	appendGoodbye(dst []byte) []byte
	wipe()
}

// writer is the sending half of a Conn. Whoever holds lock owns the rest.
//
// A box that is sealed has used up its nonce: it must reach the peer, or the
// direction is over. So what a deadline leaves unsent stays in out, and goes
// before anything else.
type writer struct {
	lock chan struct{} // 1 slot: a lock that may be held over I/O

	conn  net.Conn
	enc   encoder
	out   []byte // framed: out[sent:] is still to go
	sent  int
	ended bool  // the goodbye is framed
	err   error // sticky
}

func newWriter(conn net.Conn, enc encoder) *writer {
	return &writer{lock: make(chan struct{}, 1), conn: conn, enc: enc}
}

// write frames and sends bufs, each from a frame of its own on. It returns how
// many bytes are framed: those are the peer's, now or before the next ones.
func (w *writer) write(bufs [][]byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.ended {
		return 0, net.ErrClosed
	}
	if err := w.flush(); err != nil {
		return 0, err
	}
	frames := 0
	for _, p := range bufs {
		for len(p) > 0 {
			if frames == maxBatch || len(w.out) >= maxChunk {
				if err := w.flush(); err != nil {
					return n, err
				}
				frames = 0
			}
			var took int
			w.out, took = w.enc.appendFrame(w.out, p)
			p = p[took:]
			n += took
			frames++
		}
	}
	return n, w.flush()
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

// flush sends out[sent:]. A timeout keeps the rest, any other error is sticky.
func (w *writer) flush() error {
	for w.sent < len(w.out) {
		n, err := w.conn.Write(w.out[w.sent:])
		w.sent += n
		if n == 0 && err == nil {
			err = io.ErrShortWrite // of a connection that breaks its promise
		}
		if err != nil && w.sent < len(w.out) {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				w.fail(err)
			}
			return err
		}
	}
	w.out, w.sent = w.out[:0], 0
	return nil
}

// fail ends the direction with its first error, and forgets its key.
func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
	w.enc.wipe()
	w.out, w.sent = nil, 0
}
