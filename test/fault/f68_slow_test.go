//go:build fault

package fault_test

import (
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// packets makes the wire take packets of its own size, as what is behind a slow one
// gets them, from connections that begin now: else a queue loses them by the 40.
func (w *world) packets() {
	w.t.Helper()
	for _, ns := range []string{w.a, w.b} {
		command1(w.t, "ip", "-n", ns, "link", "set", "wire", "gso_max_segs", "1")
	}
}

// slowly makes the wire carry 1 Mbit a second each way, behind a queue of half a
// second that drops what does not fit.
func (w *world) slowly() {
	w.t.Helper()
	for _, ns := range []string{w.a, w.b} {
		command1(w.t, "tc", "-n", ns, "qdisc", "add", "dev", "wire", "root", "tbf", "rate", "1mbit", "burst", "8kb", "latency", "500ms")
	}
}

// slowRate is what that is in bytes a second, both ways.
const slowRate = 2 * 1e6 / 8

// crossed is what has crossed the wire since the rules were set.
func (w *world) crossed() int64 { return w.counted("link") + w.counted("server") }

// F68: the wire is so slow that its queue is always full: channels carry on byte
// for byte, relayed and direct, no session ends, and one that begins meanwhile
// moves or stays where it is.
func TestF68Slow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules()
	w.packets()
	a, b := w.agent(w.a), w.agent(w.b)
	b.listens("org.example.b")
	before := [2]string{a.session(), b.session()}
	all := []two{pair(a, b, "org.example.b", client.DirectAuto), pair(a, b, "org.example.b", client.DirectNever)}
	all[0].moves(toMove)
	w.slowly()
	all = append(all, pair(a, b, "org.example.b", client.DirectAuto))
	<-time.After(2 * time.Second) // what was under way
	w.rules()
	began := time.Now()
	var first [][2]EndState
	for _, c := range all {
		first = append(first, c.states())
	}
	<-time.After(time.Duration(times(15, 120)) * time.Second)
	rate := float64(w.crossed()) / time.Since(began).Seconds()
	if rate > 1.2*slowRate || rate < slowRate/2 {
		t.Errorf("%.0f bytes a second crossed the wire, want %.0f: its queue was not full", rate, slowRate)
	}
	carried, least := int64(0), int64(1)<<62
	for i, c := range all {
		now := c.states()
		for end := range now {
			got := now[end].Received - first[i][end].Received
			carried, least = carried+got, min(least, got)
		}
	}
	if least < 64<<10 {
		t.Errorf("in %v one direction of a channel carried %d bytes", time.Since(began), least)
	}
	moved := all[2].states()
	for _, c := range all {
		c.finishes()
	}
	if after := [2]string{a.session(), b.session()}; after != before {
		t.Errorf("sessions ended: before %v, after %v", before, after)
	}
	where := "stayed relayed"
	if moved[0].Link != "" {
		where = "moved"
	}
	report(t, "F68 slow", "a wire of 1 Mbit/s for %v, its queue full: 3 channels carried %s, a direction %s at least, and ended whole; no session ended; the channel that began on it %s (%v)",
		time.Since(began).Round(time.Second), mib(carried), mib(least), where, moved[0].Tries)
}
