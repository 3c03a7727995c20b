package client_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
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

// TestDirectAdoptedLater: a server that has no time for an adoption is asked again,
// in the same session.
func TestDirectAdoptedLater(t *testing.T) {
	p := newPlace(t)
	p.cfg.Limits.Rates = map[string]switchboard.Rate{control.MethodChannelAdopt: {N: 1, Per: 3 * time.Second}}
	p.serve(t)
	raw := make(chan net.Conn, 10)
	st := newStates()
	a := dial(t, client.Config{Address: p.address(), OnState: st.add, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			raw <- conn
		}
		return conn, err
	}})
	b := dial(t, client.Config{Address: p.address()})
	st.await(t, client.Connected)
	call, accepted := open(t, a, listen(t, b, "org.example.near"), client.OpenOptions{Direct: client.DirectRequire})
	for range 2 {
		(<-raw).Close()
		st.await(t, client.Connected)
	}
	if !a.LeaseRuns() {
		t.Fatal("the second adoption was not refused")
	}
	eventually(t, func() bool { return !a.LeaseRuns() })
	bounce(t, call, accepted, "adopted")
}

// TestDirectLeaseAnew: when a lease is over, it is over for what nobody answers for;
// and the next gap has one, too.
func TestDirectLeaseAnew(t *testing.T) {
	p := newPlace(t)
	stop := p.serve(t)
	st := newStates()
	a, b := dial(t, client.Config{Address: p.address(), OnState: st.add}), dial(t, client.Config{Address: p.address()})
	ln := listen(t, b, "org.example.near")
	call, accepted := open(t, a, ln, client.OpenOptions{Direct: client.DirectRequire})
	a.EndLease()
	bounce(t, call, accepted, "of this session")
	stop()
	st.await(t, client.Disconnected)
	a.EndLease()
	if _, err := call.Read(make([]byte, 1)); !errors.Is(err, client.LinkLost) {
		t.Errorf("after the lease: %v", err)
	}
	if a.LeaseRuns() {
		t.Error("a lease that is over runs")
	}
}
