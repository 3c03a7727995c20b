package client_test

import (
	"context"
	"errors"
	"net"
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

// TestOpenClosed closes a Client, and ends a context, under an Open that waits
// for its answer: it returns at once, with that cause.
func TestOpenClosed(t *testing.T) {
	for name, singleLane := range map[string]bool{"yamux": false, "single lane": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.script = func(c *muxrpc.Call) bool { return c.Name() == control.MethodConnect }
				cfg := f.config()
				cfg.SingleLane = singleLane
				c := bubbleDial(t, cfg)
				cause := errors.New("given up")
				ctx, cancel := context.WithCancelCause(t.Context())
				for _, tc := range []struct {
					end  func()
					want error
				}{{func() { cancel(cause) }, cause}, {func() { c.Close() }, net.ErrClosed}} {
					ended := make(chan error)
					go func() {
						_, err := c.Open(ctx, "test.silent", client.OpenOptions{})
						ended <- err
					}()
					synctest.Wait()
					began := time.Now()
					go tc.end()
					wantErr(t, <-ended, tc.want)
					if took := time.Since(began); took > 0 {
						t.Errorf("after %v", took)
					}
					ctx = t.Context()
				}
			})
		})
	}
}
