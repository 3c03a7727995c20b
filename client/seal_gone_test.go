package client_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// TestSealGone: a session that ends while a lane of its own is being sealed does not
// wait for a caller that says nothing.
func TestSealGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		accepted := make(chan struct{})
		f.script = func(c *muxrpc.Call) bool {
			if c.Name() != control.MethodAccept {
				return false
			}
			c.Stream().Send(control.AcceptResult{})
			close(accepted)
			return true
		}
		st := newStates()
		cfg := f.config()
		cfg.SingleLane, cfg.OnState = true, st.add
		c := bubbleDial(t, cfg)
		defer c.Close()
		ln, err := c.Listen(t.Context(), "test.sealed")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		fc := <-f.conns
		o := offer(someChannel, "test.sealed", "00")
		o.Sealed = true
		if err := fc.ctl.Call(t.Context(), control.MethodOffer, o, nil); err != nil {
			t.Fatal(err)
		}
		<-accepted
		synctest.Wait()
		began := time.Now()
		fc.conn.Abort()
		st.await(t, client.Disconnected)
		if d := time.Since(began); d > time.Second {
			t.Errorf("the session was over after %v", d)
		}
	})
}
