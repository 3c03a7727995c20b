package testnet

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// halfCloser is what a wrapper passes CloseWrite on to.
type halfCloser interface{ CloseWrite() error }

func closeWrite(c net.Conn) error {
	if h, ok := c.(halfCloser); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported
}

// StallConn is a connection that can be stopped. While it is stalled its Reads
// and Writes wait, until Unstall, their deadline or Close. Make one with
// Stallable.
type StallConn struct {
	net.Conn
	rd, wr deadline
	closed chan struct{} // closed by Close
	once   sync.Once

	mu   sync.Mutex
	gate chan struct{} // nil: open; else closed by Unstall
}

// Stallable wraps c. It is not stalled yet.
func Stallable(c net.Conn) *StallConn {
	return &StallConn{Conn: c, closed: make(chan struct{})}
}

// Stall stops Reads and Writes that begin from now on.
func (c *StallConn) Stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate == nil {
		c.gate = make(chan struct{})
	}
}

// Unstall lets them go on.
func (c *StallConn) Unstall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate != nil {
		close(c.gate)
		c.gate = nil
	}
}

// pass returns when the gate is open.
func (c *StallConn) pass(d *deadline) error {
	for {
		c.mu.Lock()
		gate := c.gate
		c.mu.Unlock()
		if gate == nil {
			return nil
		}
		if isClosed(c.closed) {
			return net.ErrClosed
		}
		w, expired := d.watch()
		if expired {
			return os.ErrDeadlineExceeded
		}
		w.wait(gate, c.closed)
	}
}

// Read implements net.Conn.
func (c *StallConn) Read(p []byte) (int, error) {
	if err := c.pass(&c.rd); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn.
func (c *StallConn) Write(p []byte) (int, error) {
	if err := c.pass(&c.wr); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// CloseWrite passes the half-close on; it is not stalled.
func (c *StallConn) CloseWrite() error { return closeWrite(c.Conn) }

// Close implements net.Conn.
func (c *StallConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// SetDeadline implements net.Conn.
func (c *StallConn) SetDeadline(t time.Time) error {
	c.rd.set(t)
	c.wr.set(t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *StallConn) SetReadDeadline(t time.Time) error {
	c.rd.set(t)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *StallConn) SetWriteDeadline(t time.Time) error {
	c.wr.set(t)
	return c.Conn.SetWriteDeadline(t)
}

// trickle moves one byte at a time.
type trickle struct{ net.Conn }

// Trickle wraps c so that each Read returns at most one byte, and each byte of
// a Write is a Write of c.
func Trickle(c net.Conn) net.Conn { return &trickle{c} }

// Read implements net.Conn.
func (c *trickle) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(1, len(p))]) }

// Write implements net.Conn.
func (c *trickle) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// CloseWrite passes the half-close on.
func (c *trickle) CloseWrite() error { return closeWrite(c.Conn) }

// cut closes after so many bytes.
type cut struct {
	net.Conn
	left atomic.Int64
}

// Cut wraps c so that it closes when n bytes have been written to it. The
// other end reads those n bytes and then the bare end of the connection;
// whoever writes gets net.ErrClosed. One goroutine writes at a time.
func Cut(c net.Conn, n int64) net.Conn {
	w := &cut{Conn: c}
	w.left.Store(n)
	return w
}

// Write implements net.Conn.
func (c *cut) Write(p []byte) (int, error) {
	left := c.left.Load()
	if int64(len(p)) < left {
		n, err := c.Conn.Write(p)
		c.left.Add(-int64(n))
		return n, err
	}
	n, err := c.Conn.Write(p[:left])
	c.left.Add(-int64(n))
	if int64(n) < left && err != nil {
		return n, err
	}
	c.Conn.Close()
	if n == len(p) {
		return n, nil
	}
	return n, net.ErrClosed
}

// CloseWrite passes the half-close on.
func (c *cut) CloseWrite() error { return closeWrite(c.Conn) }
