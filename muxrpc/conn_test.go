package muxrpc_test

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/testnet"
)

// conn is a testnet.Conn that tells an abort from an end.
type conn struct {
	*testnet.Conn
	cut, peerCut *atomic.Bool
	in, out      *atomic.Int64 // bytes on the way
	size         int64
}

// pipe returns two conns with size bytes of buffer each way.
func pipe(size int) (a, b *conn) {
	x, y := testnet.PipeSize(size)
	var cx, cy atomic.Bool
	var xy, yx atomic.Int64
	return &conn{x, &cx, &cy, &yx, &xy, int64(size)}, &conn{y, &cy, &cx, &xy, &yx, int64(size)}
}

// Write counts what is on the way. One of each conn is under way at a time.
func (c *conn) Write(b []byte) (int, error) {
	c.out.Add(int64(len(b))) // before the other end can read it
	return c.Conn.Write(b)
}

// tryConn is a conn that has TryWriteBuffers.
type tryConn struct{ *conn }

// TryWriteBuffers takes what fits.
func (c tryConn) TryWriteBuffers(bufs ...[]byte) (n int, err error) {
	for _, b := range bufs {
		room := c.size - c.out.Load()
		k := min(len(b), int(max(0, room)))
		if k > 0 {
			if _, err := c.Write(b[:k]); err != nil {
				return n, err
			}
		}
		if n += k; k < len(b) {
			return n, nil
		}
	}
	return n, nil
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.Add(int64(-n))
	if err == io.EOF && c.peerCut.Load() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *conn) Abort() error {
	c.cut.Store(true)
	return c.Close()
}

// taken reads what the peer sends until it is silent for a millisecond, which in a bubble is when it has nothing more to do. end is
// how its direction has ended, or nil.
func (c *conn) taken(t *testing.T) (data []byte, end error) {
	t.Helper()
	b := make([]byte, 64<<10)
	for {
		if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		data = append(data, b[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return data, nil
		}
		if err != nil {
			return data, err
		}
	}
}

// boxConn is a conn with WriteBuffers, which notes the boxes of at most 4096 bytes.
type boxConn struct {
	*conn

	mu    sync.Mutex
	calls int
	boxes [][]byte
	most  int // bytes of the largest call
}

func (c *boxConn) WriteBuffers(bufs ...[]byte) (n int, err error) {
	var flat []byte
	c.mu.Lock()
	c.calls++
	for _, b := range bufs {
		flat = append(flat, b...)
		for len(b) > 0 {
			k := min(len(b), 4096)
			c.boxes = append(c.boxes, append([]byte(nil), b[:k]...))
			b = b[k:]
		}
	}
	c.most = max(c.most, len(flat))
	c.mu.Unlock()
	return c.Write(flat)
}
