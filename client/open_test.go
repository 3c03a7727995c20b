package client_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// TestOpenCutOff opens channels that are cut off before the answer, with the
// session and without it: the error is one that Open documents, and nobody is
// asked twice.
func TestOpenCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := bubbleDial(t, f.config())
		defer c.Close()
		fc := <-f.conns
		for _, want := range []error{client.PeerGone, client.ErrNotConnected} {
			go func() {
				lane := <-fc.lanes
				muxrpc.ReadPacket(lane, 1<<20)
				if want == client.ErrNotConnected {
					fc.conn.Abort()
				}
				lane.Abort()
			}()
			_, err := c.Open(t.Context(), "test.cut", client.OpenOptions{})
			wantErr(t, err, want)
		}
		fc = <-f.conns
		time.Sleep(time.Minute)
		if len(fc.lanes) != 0 {
			t.Error("the next session was asked once more")
		}
	})
}

// TestOpenCutOffSingleLane is TestOpenCutOff without yamux, where a cut of the
// lane alone looks like that of the session.
func TestOpenCutOffSingleLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.script = func(c *muxrpc.Call) bool { return c.Name() == control.MethodConnect }
		cfg := f.config()
		cfg.SingleLane = true
		c := bubbleDial(t, cfg)
		defer c.Close()
		session := <-f.conns
		for _, want := range []error{client.PeerGone, client.ErrNotConnected} {
			go func() {
				lane := <-f.conns
				if want == client.ErrNotConnected {
					session.conn.Abort()
				}
				lane.conn.Abort()
			}()
			_, err := c.Open(t.Context(), "test.cut", client.OpenOptions{})
			wantErr(t, err, want)
		}
	})
}
