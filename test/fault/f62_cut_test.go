//go:build fault

package fault_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// When a library that hears nothing of its server asks whether it is there, and
// when it takes its session for over.
const (
	pinged  = 15 * time.Second
	noticed = 45 * time.Second
)

// revoke revokes the key of an agent, by its number.
func (w *world) revoke(i int) {
	w.t.Helper()
	key := shs.NewPrivateKey(w.seeds[i]).Public()
	must(w.t, w.d.admin(w.t).Call(within(w.t, 10*time.Second), "peers.revoke", peerCall{Key: key, Comment: "stolen"}, nil))
}

// F62: a library that is cut off from the server, and whose key is revoked, keeps no
// link to one that is not: that one is told.
func TestF62CutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules()
	a, b := w.agent(w.a), w.agent(w.b)
	b.listens("org.example.b")
	c := pair(a, b, "org.example.b", client.DirectAuto)
	c.moves(toMove)
	w.cutOff("drop")
	c.flows(5*time.Second, 100<<10)
	began := time.Now()
	w.revoke(1)
	heard := c.breaks(time.Second, "revoked", client.LinkLost)
	report(t, "F62 cut off", "the library of a revoked key was cut off from the server: its link ended after %v at the other end, after %v at its own",
		ms(heard[0].Sub(began)), ms(heard[1].Sub(began)))
}

// F62: two libraries that are both cut off from the server cannot be told: what
// ends their link is the lease. It counts from when the session was over, and
// if it was because nothing was heard, from when that began.
func TestF62BothCutOff(t *testing.T) {
	lease := time.Duration(times(20, 60)) * time.Second
	for _, row := range []struct {
		name, verdict  string
		lease          time.Duration
		atLeast, after time.Duration // the end
	}{
		{"by a reset", "reject with tcp reset", 3 * time.Second, 3 * time.Second, pinged + 3*time.Second},
		{"silently", "drop", lease, max(lease, noticed) - pinged, max(lease, noticed)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fmt.Sprintf("direct_lease = %q", row.lease))
			w.rules()
			caller, callee := w.agent(w.b), w.agent(w.b)
			callee.listens("org.example.b")
			c := pair(caller, callee, "org.example.b", client.DirectAuto)
			c.moves(toMove)
			w.cutOff(row.verdict)
			began := time.Now()
			w.revoke(1)
			c.flows(5*time.Second, 100<<10)
			heard := c.breaks(row.after, client.LinkLost)
			for i, at := range heard {
				if took := at.Sub(began); took < row.atLeast-time.Second/2 || took > row.after+5*time.Second {
					t.Errorf("end %d had ended after %v, want %v to %v", i, took, row.atLeast, row.after)
				}
			}
			report(t, "F62 cut off", "both libraries were cut off %s, the lease is %v: their link ended %v and %v after one key was revoked",
				row.name, row.lease, ms(heard[0].Sub(began)), ms(heard[1].Sub(began)))
		})
	}
}
