//go:build fault

package fault_test

import (
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// F68: the wire goes down for less than the time that bytes may go
// unacknowledged: every channel goes on, byte for byte.
func TestF68WireDownShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.agent(w.a), w.agent(w.b)
	b.listens("org.example.b")
	direct, relayed := pair(a, b, "org.example.b", client.DirectAuto), pair(a, b, "org.example.b", client.DirectNever)
	direct.moves(toMove)
	down := time.Duration(times(2, 5)) * time.Second
	w.wire("down")
	<-time.After(down)
	began := time.Now()
	w.wire("up")
	direct.flows(15*time.Second, 100<<10)
	took := time.Since(began)
	relayed.flows(15*time.Second, 100<<10)
	direct.finishes()
	relayed.finishes()
	report(t, "F68", "wire down for %v: a direct channel went on %v after, and lost nothing", down, took.Round(10*time.Millisecond))
}

// F68: the wire goes down for longer: a direct channel is reset at both ends in
// the time for bytes that nobody acknowledges, or of the probes if it is silent.
// In the long form it stays down until the session is over too: its name is free
// then, and comes back with the wire.
func TestF68WireDownLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pace = time.Hour // silent, until they finish
	quietA, quietB := w.agent(w.a), w.agent(w.b)
	w.pace = 10 * time.Millisecond
	a, b := w.agent(w.a), w.agent(w.b)
	b.listens("org.example.b")
	quietB.listens("org.example.quiet")
	busy, silent := pair(a, b, "org.example.b", client.DirectRequire), pair(quietA, quietB, "org.example.quiet", client.DirectRequire)
	busy.flows(5*time.Second, 100<<10)
	began := time.Now()
	w.wire("down")
	heard := busy.breaks(linkDead, client.LinkLost)
	idle := silent.breaks(idleDead, client.LinkLost)
	if times(0, 1) == 1 {
		<-time.After(time.Until(began.Add(time.Minute)))
		var id string
		a.call("Open", OpenArgs{To: "org.example.b", Direct: uint8(client.DirectNever)}, &id)
		if id != string(client.NotFound) {
			t.Errorf("a name whose owner is gone for a minute: got %q, want not_found", id)
		}
	}
	w.wire("up")
	up := time.Now()
	if !eventually(20*time.Second, func() bool {
		var id string
		a.call("Open", OpenArgs{To: "org.example.b", Direct: uint8(client.DirectNever)}, &id)
		return a.state(id).ID != ""
	}) {
		t.Error("20 s after the wire is up again the name is not back")
	}
	report(t, "F68", "wire down: link_lost at the ends of a channel in use after %v and %v, of a silent one after %v and %v; the name was back %v after the wire, which had been down for %v",
		ms(heard[0].Sub(began)), ms(heard[1].Sub(began)), ms(idle[0].Sub(began)), ms(idle[1].Sub(began)), ms(time.Since(up)), ms(up.Sub(began)))
}

// ms rounds a time for a report.
func ms(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// F68: packets of links are dropped one way, 30 of 100, or answered with a reset.
func TestF68Drops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.agent(w.a), w.agent(w.b)
	b.listens("org.example.b")
	for what, rule := range map[string]string{"to the callee": dropIn, "from the callee": dropOut} {
		w.rules()
		c := pair(a, b, "org.example.b", client.DirectRequire)
		c.flows(5*time.Second, 100<<10)
		began := time.Now()
		w.rules(rule)
		heard := c.breaks(linkDead, client.LinkLost)
		report(t, "F68", "all dropped %s: link_lost at the caller after %v, at the callee after %v", what, ms(heard[0].Sub(began)), ms(heard[1].Sub(began)))
	}
	w.rules()
	c := pair(a, b, "org.example.b", client.DirectRequire)
	c.flows(5*time.Second, 100<<10)
	began := time.Now()
	w.rules(resetIn)
	heard := c.breaks(2*time.Second, client.LinkLost)
	report(t, "F68", "a reset injected: link_lost at the caller after %v, at the callee after %v", ms(heard[0].Sub(began)), ms(heard[1].Sub(began)))
}

// F68: 30 of 100 packets are lost, from before the move on: a channel moves or
// does not, and no byte is wrong. It goes on, or is reset when there was bad luck
// for 10 s.
func TestF68Loss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.agent(w.a), w.agent(w.b)
	b.listens("org.example.b")
	w.rules("in meta l4proto tcp numgen random mod 100 < 30 drop")
	var all []two
	for range 8 {
		all = append(all, pair(a, b, "org.example.b", client.DirectAuto))
	}
	<-time.After(time.Duration(times(10, 60)) * time.Second)
	moved, reset, carried := 0, 0, int64(0)
	for _, c := range all {
		s := c.states()
		carried += s[0].Received + s[1].Received
		if s[0].Link != "" {
			moved++
		}
	}
	w.rules()
	for _, c := range all {
		// One that has waited for 10 s may break yet, before its next packet is due.
		before := c.states()
		if !eventually(time.Minute, func() bool {
			s := c.states()
			return s[0].ReadErr != "" || s[1].ReadErr != "" || flowed(before, s, 100<<10)
		}) {
			t.Fatalf("neither on nor broken: before %+v, now %+v", before, c.states())
		}
		if s := c.states(); s[0].ReadErr == "" && s[1].ReadErr == "" {
			c.finishes()
			continue
		}
		c.breaks(linkDead, client.LinkLost)
		reset++
	}
	if moved == 0 {
		t.Error("no channel has moved")
	}
	report(t, "F68", "30 of 100 packets of links lost: %d of %d channels moved, %d were reset with link_lost, the others carried all of their %s and went on", moved, len(all), reset, mib(carried))
}
