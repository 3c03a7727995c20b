package client_test

import (
	"sync/atomic"
	"testing"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/switchboard"
)

// TestDirectEndsWhileAdopted ends a direct channel in the moment in which the
// next session adopts it: the server hears of the end, and does not keep it.
func TestDirectEndsWhileAdopted(t *testing.T) {
	p := newPlace(t)
	var slow atomic.Bool
	entered, release := make(chan struct{}, 10), make(chan struct{})
	p.cfg.Direct = func(switchboard.DirectQuery) switchboard.DirectGrant {
		if slow.Load() {
			entered <- struct{}{}
			<-release
		}
		return switchboard.DirectGrant{Kinds: []channel.Kind{channel.Unix}}
	}
	stop := p.serve(t)
	sa, sb := newStates(), newStates()
	a := dial(t, client.Config{Address: p.address(), OnState: sa.add})
	b := dial(t, client.Config{Address: p.address(), OnState: sb.add})
	call, accepted := open(t, a, listen(t, b, "org.example.near"), client.OpenOptions{Direct: client.DirectRequire})
	bounce(t, call, accepted, "before")
	stop()
	slow.Store(true)
	p.serve(t)
	<-entered // of both
	<-entered
	call.Close()
	accepted.Close()
	close(release)
	for _, s := range []states{sa, sb} {
		s.await(t, client.Disconnected)
		s.await(t, client.Connected)
	}
	eventually(t, func() bool { _, ok := listed(t, a, call.Info().ID); return !ok })
}
