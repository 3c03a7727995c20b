package client_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// TestSealSilent: a callee that has said yes to a seal has 5 s for it, however much
// time the caller has.
func TestSealSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := bubbleDial(t, f.config())
		defer c.Close()
		fc := <-f.conns
		go func() {
			lane := <-fc.lanes
			muxrpc.ReadPacket(lane, 1<<20)
			res := control.ConnectResult{Channel: someChannel, Sealed: true}
			res.Peer.ID = shs.GenerateKey().Public()
			muxrpc.WritePacket(lane, muxrpc.Packet{Flags: 0x0a, Req: -1, Body: res.AppendJSON(nil)})
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		_, err := c.Open(ctx, "test.silent", client.OpenOptions{Sealed: true})
		wantErr(t, err, context.DeadlineExceeded)
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// TestAuditCut: an audit whose session ends says that, and not that we have closed.
func TestAuditCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := bubbleDial(t, f.config())
		defer c.Close()
		fc := <-f.conns
		go func() {
			<-fc.lanes
			time.Sleep(time.Minute)
			fc.conn.Abort()
		}()
		for _, err := range c.Audit(t.Context(), client.AuditQuery{Follow: true}) {
			wantErr(t, err, client.ErrNotConnected)
		}
	})
}
