package client_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// TestCrowd has others come behind a client: it hears of them some time later, keeps to
// that while they come back before or after it, and forgets it when they are gone.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var spread atomic.Int64
		f.script = func(c *muxrpc.Call) bool {
			if c.Name() != control.MethodWhoAmI {
				return false
			}
			c.Reply(control.WhoAmI{ID: f.key.Public(), Session: ":1", Server: control.ServerInfo{ID: f.key.Public(), SpreadMS: spread.Load()}})
			return true
		}
		st := newStates()
		cfg := f.config()
		cfg.OnState = st.add
		c := bubbleDial(t, cfg)
		defer c.Close()
		gone := errors.New("nobody there")
		for _, row := range []struct {
			says   int64 // ms, after the login
			lasted time.Duration
			third  time.Duration // pause
		}{{8000, 6 * time.Second, 8 * time.Second}, {0, time.Second, 8 * time.Second}, {0, 6 * time.Second, 200 * time.Millisecond}} {
			spread.Store(row.says)
			time.Sleep(row.lasted)
			f.set(gone, false)
			(<-f.conns).conn.Abort()
			if got := st.await(t, client.Reconnecting); got.After > 50*time.Millisecond {
				t.Errorf("%+v: the first pause is %v", row, got.After)
			}
			st.await(t, client.Reconnecting)
			if got := st.await(t, client.Reconnecting); got.After > row.third || got.After < row.third/2 {
				t.Errorf("%+v: the third pause is %v", row, got.After)
			}
			spread.Store(0) // who comes back first is alone
			f.set(nil, false)
			st.await(t, client.Connected)
		}
	})
}
