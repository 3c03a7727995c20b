package shs

import (
	"errors"
	"net"
	"os"
)

// Open files travel over Unix sockets beside the bytes, with one of them. Only
// plain mode passes them: a box says nothing of what came beside it.

// PassesFiles reports whether WriteFile and TakeFiles work: the handshake is
// done, in plain mode, over a *net.UnixConn, on Linux or macOS.
func (c *Conn) PassesFiles() bool {
	if !passesFiles || !c.shaken.Load() || c.mode != Plain {
		return false
	}
	_, ok := c.raw.(*net.UnixConn)
	return ok && c.in.raw != nil
}

// TakeFiles hands the files that the peer passes to take, in order, and each
// before the bytes that came with it are read. It is to be called before the
// first Read; what came with a byte that is read before is closed unseen, as all
// are without TakeFiles. It reports whether files can come: see PassesFiles. If
// not, nothing changes.
//
// take is called by whoever reads; it owns the file, must not wait and must not
// use the Conn. The files are closed on exec. A peer that passes more than one
// with one write, or more than this process may open, breaks the stream: Read
// returns ErrProtocol.
func (c *Conn) TakeFiles(take func(*os.File)) bool {
	if !c.PassesFiles() {
		return false
	}
	c.in.lock()
	defer c.unlockRead()
	c.in.take, c.in.control = take, make([]byte, controlSize)
	return true
}

// WriteFile sends p, 1 to 65,532 bytes, and with its first byte the file, which
// stays the caller's. What was left before goes in front. A peer that does not
// take files reads p alone. It waits as Write does, but a WriteFile that meets
// its deadline has sent nothing, unless p counts as written: then it returns nil.
// Any other error is final. errors.ErrUnsupported: see PassesFiles.
func (c *Conn) WriteFile(f *os.File, p []byte) error {
	if err := c.ready(); err != nil {
		return err
	}
	if !c.PassesFiles() || len(p) == 0 || len(p) > maxChunk {
		return errors.ErrUnsupported
	}
	c.out.lock()
	defer c.out.unlock()
	if err := c.expired(&c.writeDeadline); err != nil {
		return err
	}
	return c.ended(c.out.writeFile(f, p))
}

// writeFile sends what is to go, then p with f.
func (w *writer) writeFile(f *os.File, p []byte) error {
	if err := w.usable(); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	file, err := f.SyscallConn()
	if err != nil {
		return err
	}
	frame, _ := w.enc.appendFrame(takeBuffer(writeSize)[:0], p)
	n := 0
	var werr, serr error
	err = file.Control(func(passed uintptr) {
		werr = w.raw.Write(func(fd uintptr) bool {
			var again bool
			n, again, serr = sendFile(fd, passed, frame)
			return !again
		})
	})
	if err = errors.Join(err, werr, serr); err != nil {
		giveBuffer(frame)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			w.fail(err)
		}
		return err
	}
	w.out, w.sent = frame, n
	if !w.left() {
		giveBuffer(w.out)
		w.out, w.sent = nil, 0
		return nil
	}
	if err := w.flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil // the rest goes before anything else
}

// readOnce is one read from the descriptor, of a file as well if they are taken.
func (r *reader) readOnce(fd uintptr) (n int, again bool, err error) {
	if r.take == nil {
		return readRaw(r.calls, fd, r.buf[r.end:])
	}
	n, r.file, again, err = recvFile(r.calls, fd, r.buf[r.end:], r.control)
	return n, again, err
}

// handOver gives the file that came with the last read to its taker.
func (r *reader) handOver() {
	if f := r.file; f != nil {
		r.file = nil
		r.take(f)
	}
}
