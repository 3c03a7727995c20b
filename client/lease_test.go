package client_test

import (
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/switchboard"
)

// TestDirectLease: a direct channel has a minute without a control session, as
// long as its policy does not let it survive; a session in time ends the
// minute.
func TestDirectLease(t *testing.T) {
	for _, survive := range []bool{false, true} {
		p := newPlace(t)
		p.cfg.Direct = func(switchboard.DirectQuery) switchboard.DirectGrant {
			return switchboard.DirectGrant{Kinds: []client.LinkKind{client.LinkUnix}, Survive: survive}
		}
		stop := p.serve(t)
		sa, sb := newStates(), newStates()
		a := dial(t, client.Config{Address: p.address(), OnState: sa.add})
		b := dial(t, client.Config{Address: p.address(), OnState: sb.add})
		call, accepted := open(t, a, listen(t, b, "org.example.near"), client.OpenOptions{Direct: client.DirectRequire})
		bounce(t, call, accepted, "hello")
		if a.LeaseRuns() || b.LeaseRuns() {
			t.Error("the minute runs while there is a session")
		}
		stop()
		sa.await(t, client.Disconnected)
		sb.await(t, client.Disconnected)
		if !a.LeaseRuns() || !b.LeaseRuns() {
			t.Error("the minute does not run")
		}
		stop = p.serve(t)
		eventually(t, func() bool { return !a.LeaseRuns() && !b.LeaseRuns() })
		bounce(t, call, accepted, "back in time")
		stop()
		eventually(t, func() bool { return a.LeaseRuns() })
		a.EndLease()
		if survive {
			bounce(t, call, accepted, "survived")
			continue
		}
		for _, c := range []interface {
			Read([]byte) (int, error)
			SetReadDeadline(time.Time) error
		}{call, accepted} {
			c.SetReadDeadline(time.Now().Add(time.Minute))
			_, err := c.Read(make([]byte, 1))
			wantErr(t, err, client.LinkLost)
		}
	}
}

// TestDirectLeaseOfServer: the server says how long the minute is.
func TestDirectLeaseOfServer(t *testing.T) {
	p := newPlace(t)
	p.cfg.Limits.DirectLease = 100 * time.Millisecond
	stop := p.serve(t)
	a, b := dial(t, client.Config{Address: p.address()}), dial(t, client.Config{Address: p.address()})
	call, accepted := open(t, a, listen(t, b, "org.example.near"), client.OpenOptions{Direct: client.DirectRequire})
	bounce(t, call, accepted, "hello")
	stop()
	call.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err := call.Read(make([]byte, 1))
	wantErr(t, err, client.LinkLost)
}
