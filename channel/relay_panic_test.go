package channel_test

import (
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// pipeLane is a lane of one end of a pipe.
type pipeLane struct{ *testnet.Conn }

func (l pipeLane) Abort() error { return l.Close() }

// brokenReads is a lane whose reads panic.
type brokenReads struct{ channel.Lane }

func (brokenReads) Read([]byte) (int, error) { panic("a lane that cannot be read") }

// A panic of either direction is one of the caller of Relay, when both have ended.
func TestRelayPanics(t *testing.T) {
	for _, side := range []channel.Side{channel.A, channel.B} {
		x, peerA := testnet.Pipe()
		y, peerB := testnet.Pipe()
		var a, b channel.Lane = pipeLane{x}, pipeLane{y}
		if side == channel.A {
			a = brokenReads{a}
		} else {
			b = brokenReads{b}
		}
		var got any
		func() {
			defer func() { got = recover() }()
			_ = new(channel.Pipe).Relay(channel.NewPool(), a, b)
		}()
		text, ok := got.(string)
		if !ok || !strings.Contains(text, "cannot be read") {
			t.Errorf("side %c: the caller saw %v", side, got)
		}
		if _, err := peerA.Read(make([]byte, 1)); err == nil {
			t.Error("the lanes are left open")
		}
		peerA.Close()
		peerB.Close()
	}
}
