//go:build fault

package fault_test

import (
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// closedDead is for bytes that wait for the window of an end that is gone, half as
// long again as for those under way, and some grace.
const closedDead = 15*time.Second + 5*time.Second

// stops waits until an end has written no more for some seconds.
func (c two) stops(a *agent) EndState {
	c.t.Helper()
	last, since := a.state(c.id), time.Now()
	if !eventually(30*time.Second, func() bool {
		s := a.state(c.id)
		if s.Sent != last.Sent {
			last, since = s, time.Now()
		}
		return time.Since(since) > 3*time.Second
	}) {
		c.t.Fatalf("it goes on writing: %+v", last)
	}
	return last
}

// F68: all is dropped while the reader takes its time, so that nothing is under way
// but questions after its window: both ends hear of it.
func TestF68DropsWindowClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pace = time.Millisecond
	a := w.agent(w.a)
	w.pace = time.Hour // silent: nobody learns of its death by what it sends
	b := w.agent(w.b)
	b.listens("org.example.b")
	c := pair(a, b, "org.example.b", client.DirectRequire)
	b.call("Pause", PauseArgs{c.id, true}, &None{})
	c.stops(a)
	<-time.After(time.Duration(times(15, 60)) * time.Second) // the questions become rare
	if s := c.states(); s[0].ReadErr+s[0].WriteErr+s[1].WriteErr != "" {
		t.Fatalf("over before the link is cut: %+v", s)
	}
	began := time.Now()
	w.rules(dropIn, dropOut)
	b.call("Pause", PauseArgs{c.id, false}, &None{})
	heard := c.breaks(idleDead, client.LinkLost)
	if took := heard[0].Sub(began); took > closedDead {
		t.Errorf("the writer has heard of it after %v, want %v at most", took, closedDead)
	}
	report(t, "F68", "all dropped while a window is closed: link_lost at the writer after %v, at the reader after %v", ms(heard[0].Sub(began)), ms(heard[1].Sub(began)))
}

// F68: an end whose lane is a connection reads nothing for longer than its bytes may
// be without an answer: it answers, and goes on.
func TestF68SingleLanePaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pace = time.Millisecond
	a := w.agent(w.a)
	w.lanes, w.pace = true, time.Hour // what it sent would put the questions after its window off
	b := w.agent(w.b)
	b.listens("org.example.b")
	c := pair(a, b, "org.example.b", client.DirectNever)
	b.call("Pause", PauseArgs{c.id, true}, &None{})
	c.stops(a)
	<-time.After(time.Duration(times(35, 90)) * time.Second)
	b.call("Pause", PauseArgs{c.id, false}, &None{})
	c.finishes()
}
