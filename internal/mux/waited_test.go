package mux_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// socket is a tryConn that takes nothing once its deadline has passed, as sockets do.
type socket struct {
	*tryConn
	deadline atomic.Pointer[time.Time]
	waits    atomic.Int32
}

func (c *socket) SetWriteDeadline(t time.Time) error {
	c.deadline.Store(&t)
	return c.tryConn.SetWriteDeadline(t)
}

func (c *socket) TryWrite(p []byte) (bool, error) {
	if d := c.deadline.Load(); d != nil && !d.IsZero() && !time.Now().Before(*d) {
		c.left = append(c.left, p...)
		return true, nil
	}
	return c.tryConn.TryWrite(p)
}

func (c *socket) Flush() error {
	c.waits.Add(1)
	return c.tryConn.Flush()
}

// TestNoDeadlineLeft: a write that had to wait is none to those that come much later.
func TestNoDeadlineLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := testnet.PipeSize(1000)
		conn := &socket{tryConn: &tryConn{Conn: far, room: 1 << 20}}
		s := mux.Server(conn, mux.Config{KeepAlive: -1, DeadAfter: -1})
		peer := &raw{t, near}
		defer func() {
			near.Close()
			s.Abort(nil)
		}()
		st, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		peer.want(flags(2, syn))
		if _, err := st.Write(make([]byte, 2000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		peer.want(text(2, string(make([]byte, 2000))))
		synctest.Wait()
		waits := conn.waits.Load()
		if waits == 0 {
			t.Fatal("the write did not wait")
		}
		for range 3 {
			time.Sleep(time.Minute)
			if _, err := st.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			peer.want(text(2, "x"))
		}
		if n := conn.waits.Load() - waits; n != 0 {
			t.Errorf("%d of 3 small writes had to wait", n)
		}
	})
}
