package client_test

import (
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// TestRequireGone: a session that ends while a callee waits for the link of a
// channel that must have one is not waited with it for the link.
func TestRequireGone(t *testing.T) {
	f := newFake(t)
	st := newStates()
	cfg := f.config()
	cfg.OnState = st.add
	c := dial(t, cfg)
	listen(t, c, "test.require")
	fc := <-f.conns
	o := offer(someChannel, "test.require", "")
	o.Require, o.Direct = true, &control.LinkAsk{Kinds: []string{string(channel.Net)}}
	lane := openWith(t, fc, control.MethodOffer, "duplex", o)
	if p, err := muxrpc.ReadPacket(lane, 1<<20); err != nil || p.Flags&muxrpc.FlagEnd != 0 {
		t.Fatalf("offer not taken: %+v, %v", p, err)
	}
	began := time.Now()
	fc.conn.Abort()
	st.await(t, client.Disconnected)
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("the session was over after %v", d)
	}
}
