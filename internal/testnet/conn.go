package testnet

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// bufferSize is what a direction of a Pipe holds, in bytes.
const bufferSize = 64 << 10

// Addr is the address of everything in this package.
type Addr struct{}

// Network returns "memory".
func (Addr) Network() string { return "memory" }

// String returns "memory".
func (Addr) String() string { return "memory" }

// Conn is one end of a buffered duplex connection in memory. It is a net.Conn
// with CloseWrite, safe for concurrent use.
//
// Read returns io.EOF when the other end has closed, or closed for writing,
// and everything before has been read. Write returns when all bytes are in the
// buffer; it fails with EPIPE when the other end is closed. Own use after
// Close is net.ErrClosed.
type Conn struct {
	in, out *half
	rd, wr  deadline
	turn    chan struct{} // one slot: held by the Write that runs
	closed  chan struct{} // closed by Close
	once    sync.Once
	dry     atomic.Bool // CloseWrite was called
}

// Pipe returns the two ends of a connection that holds 64 KiB each way.
func Pipe() (*Conn, *Conn) { return PipeSize(bufferSize) }

// PipeSize is Pipe with a buffer of size bytes each way; at least 1.
func PipeSize(size int) (*Conn, *Conn) {
	ab, ba := newHalf(size), newHalf(size)
	return newConn(ba, ab), newConn(ab, ba)
}

func newConn(in, out *half) *Conn {
	return &Conn{in: in, out: out, turn: make(chan struct{}, 1), closed: make(chan struct{})}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		if isClosed(c.closed) {
			return 0, net.ErrClosed
		}
		w, expired := c.rd.watch()
		if expired {
			return 0, os.ErrDeadlineExceeded
		}
		n, changed, err := c.in.read(p)
		if n > 0 || err != nil || len(p) == 0 {
			w.stop()
			return n, err
		}
		w.wait(changed, c.closed)
	}
}

// Write implements net.Conn. Writes of several goroutines do not mix.
func (c *Conn) Write(p []byte) (int, error) {
	for taken := false; !taken; {
		w, expired := c.wr.watch()
		if expired {
			return 0, os.ErrDeadlineExceeded
		}
		taken = w.take(c.turn, c.closed)
		if isClosed(c.closed) {
			if taken {
				<-c.turn
			}
			return 0, net.ErrClosed
		}
	}
	defer func() { <-c.turn }()
	for n := 0; ; {
		if isClosed(c.closed) || c.dry.Load() {
			return n, net.ErrClosed
		}
		w, expired := c.wr.watch()
		if expired {
			return n, os.ErrDeadlineExceeded
		}
		k, changed, err := c.out.write(p[n:])
		n += k
		if err != nil || n == len(p) {
			w.stop()
			return n, err
		}
		w.wait(changed, c.closed)
	}
}

// TryWrite writes what there is room for, at once: n < len(p) without an error
// means that the buffer is full, or a Write in progress. Deadlines are none of
// its business.
func (c *Conn) TryWrite(p []byte) (n int, err error) {
	if isClosed(c.closed) || c.dry.Load() {
		return 0, net.ErrClosed
	}
	select {
	case c.turn <- struct{}{}:
	default:
		return 0, nil
	}
	defer func() { <-c.turn }()
	n, _, err = c.out.write(p)
	return n, err
}

// CloseWrite ends the direction to the other end, which reads io.EOF after
// what was written before. Reading goes on.
func (c *Conn) CloseWrite() error {
	if isClosed(c.closed) {
		return net.ErrClosed
	}
	c.dry.Store(true)
	c.out.end()
	return nil
}

// Close ends both directions. Idempotent.
func (c *Conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.out.end()
		c.in.abandon()
	})
	return nil
}

// LocalAddr implements net.Conn.
func (*Conn) LocalAddr() net.Addr { return Addr{} }

// RemoteAddr implements net.Conn.
func (*Conn) RemoteAddr() net.Addr { return Addr{} }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	if isClosed(c.closed) {
		return net.ErrClosed
	}
	c.rd.set(t)
	c.wr.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if isClosed(c.closed) {
		return net.ErrClosed
	}
	c.rd.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if isClosed(c.closed) {
		return net.ErrClosed
	}
	c.wr.set(t)
	return nil
}

// half is one direction: a bounded buffer.
type half struct {
	size int

	mu      sync.Mutex
	buf     []byte
	ended   bool          // the writer is through
	gone    bool          // the reader is through
	changed chan struct{} // closed and replaced whenever something above changes
}

func newHalf(size int) *half {
	return &half{size: max(1, size), changed: make(chan struct{})}
}

// read takes what there is; with nothing to say, it returns the channel to
// wait for.
func (h *half) read(p []byte) (int, <-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.buf) == 0 {
		if h.ended && len(p) > 0 {
			return 0, nil, io.EOF
		}
		return 0, h.changed, nil
	}
	n := copy(p, h.buf)
	h.buf = h.buf[n:]
	if len(h.buf) == 0 {
		h.buf = nil
	}
	h.wakeLocked()
	return n, nil, nil
}

// write puts as much as there is room for; the channel is closed when there
// may be more.
func (h *half) write(p []byte) (int, <-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.gone:
		return 0, nil, syscall.EPIPE
	case h.ended:
		return 0, nil, net.ErrClosed
	}
	n := min(len(p), h.size-len(h.buf))
	if n > 0 {
		h.buf = append(h.buf, p[:n]...)
		h.wakeLocked()
	}
	return n, h.changed, nil
}

func (h *half) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	h.wakeLocked()
}

func (h *half) abandon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone, h.buf = true, nil
	h.wakeLocked()
}

func (h *half) wakeLocked() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
