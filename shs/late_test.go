package shs

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// trap is a connection that, once it is armed, panics at the first Close, and whose
// Writes wait until a deadline is set.
type trap struct {
	net.Conn
	armed, sprung atomic.Bool
	once          sync.Once
	free          chan struct{} // closed by SetDeadline
}

func (c *trap) Close() error {
	if c.armed.Load() && !c.sprung.Swap(true) {
		panic("a trap")
	}
	return c.Conn.Close()
}

func (c *trap) Write(p []byte) (int, error) {
	if c.armed.Load() {
		<-c.free
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Write(p)
}

func (c *trap) SetDeadline(t time.Time) error {
	c.once.Do(func() { close(c.free) })
	return c.Conn.SetDeadline(t)
}

// TestPanicAtATimer: the connection below panics when a timer closes it. That is a
// panic of who waits, who may recover it, and not the end of the process; and the wait
// is over.
func TestPanicAtATimer(t *testing.T) {
	for name, tt := range map[string]struct {
		shaken bool
		wait   func(*Conn) error
		took   time.Duration
	}{
		"Handshake": {false, func(c *Conn) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return c.Handshake(ctx)
		}, time.Minute},
		"Read": {false, func(c *Conn) error {
			_, err := c.Read(make([]byte, 1))
			return err
		}, handshakeTimeout},
		"Close": {true, (*Conn).Close, closeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				raw := &trap{Conn: ours, free: make(chan struct{})}
				defer raw.Conn.Close()
				_, cfg := configs(Box)
				c := Server(raw, cfg)
				if tt.shaken {
					c, _ = connect(t, Box, raw, theirs)
				}
				raw.armed.Store(true)
				began := time.Now()
				v, err := panicOf(func() error { return tt.wait(c) })
				if text, _ := v.(string); !strings.Contains(text, "a trap") || !strings.Contains(text, "late_test.go") {
					t.Errorf("who waits got %v, and the panic %v", err, v)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("after %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// panicOf is the panic of f, or what it returns.
func panicOf(f func() error) (v any, err error) {
	defer func() { v = recover() }()
	return nil, f()
}
