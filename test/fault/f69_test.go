//go:build fault

package fault_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// within these times of PROTOCOL.md §10 something comes of it.
const (
	toMove   = 10 * time.Second                     // 200 ms, and 5 s for an attempt
	linkDead = 10*time.Second + 5*time.Second       // for bytes that nobody acknowledges, and some grace
	idleDead = (15+2*5)*time.Second + 5*time.Second // for a silent link
)

// listed is a channel as the server sees it.
func (a *agent) listed(id string) client.Channel {
	a.t.Helper()
	var all []client.Channel
	a.call("Channels", None{}, &all)
	i := slices.IndexFunc(all, func(c client.Channel) bool { return c.Channel == id })
	if i < 0 {
		a.t.Fatalf("the server does not list %s among %+v", id, all)
	}
	return all[i]
}

// session is the id of the session that an agent has now.
func (a *agent) session() (id string) { a.t.Helper(); a.call("Session", None{}, &id); return id }

// listens makes an agent take calls of a name.
func (a *agent) listens(name string) { a.t.Helper(); a.call("Listen", name, &None{}) }

// Netns: over a wire between two machines a channel moves to a TCP link, and the
// server sees no more of it (S-7), whoever of the two calls.
func TestNetnsBypass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pace = time.Millisecond
	w.rules()
	a, b := w.agent(w.a), w.agent(w.b)
	a.listens("org.example.a")
	b.listens("org.example.b")
	const more = 8 << 20
	for i := range 2 {
		c := pair([]*agent{a, b}[i], []*agent{b, a}[i], []string{"org.example.b", "org.example.a"}[i], client.DirectAuto)
		c.moves(toMove)
		if !eventually(5*time.Second, func() bool { return a.listed(c.id).State == "direct" }) {
			t.Fatal("the server was not told")
		}
		if w.counted("server") == 0 {
			t.Error("nothing was counted of the logins")
		}
		before := a.listed(c.id)
		link, server := w.counted("link"), w.counted("server")
		c.flows(time.Minute, int64(times(more, 20*more)))
		after := a.listed(c.id)
		link, server = w.counted("link")-link, w.counted("server")-server
		if before.In != after.In || before.Out != after.Out || after.Link != "net" || after.State != "direct" {
			t.Errorf("the server has seen more: before %+v, after %+v", before, after)
		}
		if link < 2*more || server > more/10 {
			t.Errorf("%d bytes went over the link and %d to and from the server", link, server)
		}
		c.finishes()
		report(t, "S-7 netns", "called from %s: after the move %s went over the link, %d bytes to and from the server, whose counters stand at %d and %d",
			[]string{"A", "B"}[i], mib(link), server, after.In, after.Out)
	}
	c := pair(a, b, "org.example.b", client.DirectRequire)
	c.flows(10*time.Second, 1<<20)
	if l := a.listed(c.id); l.In != 0 || l.Out != 0 {
		t.Errorf("with require the server has seen %+v", l)
	}
	c.finishes()
}

// tried reports whether an attempt came so far that a link was dialled, and to
// nothing.
func (s EndState) tried() bool {
	return slices.ContainsFunc(s.Tries, func(try string) bool { return strings.Contains(try, "dialling a link") })
}

// firewalls are ways to have no direct link.
func firewalls() map[string][]string {
	all := map[string][]string{
		"dropped":           {dropIn},
		"reset":             {resetIn},
		"unreachable":       {"in meta l4proto tcp reject with icmp type admin-prohibited"},
		"answers dropped":   {dropOut},
		"after the connect": {"in ct original packets > 2 drop"},
	}
	if times(0, 1) == 0 {
		delete(all, "unreachable")
		delete(all, "answers dropped")
	}
	return all
}

// F69, cut before: the channel stays relayed, and nobody notices; where a link is
// required the call fails with a code.
func TestF69Before(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.accounts()
	a, b := w.agent(w.a), w.agent(w.b)
	a.listens("org.example.a")
	b.listens("org.example.b")
	slowest := time.Duration(0)
	for what, rules := range firewalls() {
		w.rules(rules...)
		all := []two{pair(a, b, "org.example.b", client.DirectAuto), pair(b, a, "org.example.a", client.DirectAuto)}
		slowest = max(slowest, required(t, all, what))
		for _, c := range all {
			if !eventually(toMove, func() bool { return c.caller.state(c.id).tried() }) {
				t.Errorf("%s: no attempt was made", what)
			}
			c.flows(5*time.Second, 1<<20)
			if s := c.states(); s[0].Link != "" || s[1].Link != "" {
				t.Errorf("%s: moved: %+v", what, s)
			}
			c.finishes()
		}
	}
	if slowest > 5*time.Second+slow*time.Second {
		t.Errorf("a required link took %v to fail, want 5 s at most", slowest)
	}
	report(t, "F69", "no link in %d ways, called from either side: relayed, every byte and the end came; required: a code after %v at most",
		len(firewalls()), slowest.Round(10*time.Millisecond))
}

// required calls the same names with a link required, which must fail, and
// returns how long that took.
func required(t *testing.T, all []two, what string) (slowest time.Duration) {
	t.Helper()
	var took [2]time.Duration
	var said [2]string
	var wg sync.WaitGroup
	for i, name := range []string{"org.example.b", "org.example.a"} {
		wg.Go(func() {
			began := time.Now()
			if err := all[i].caller.rpc.Call("Agent.Open", OpenArgs{To: name, Direct: uint8(client.DirectRequire)}, &said[i]); err != nil {
				said[i] = err.Error()
			}
			took[i] = time.Since(began)
		})
	}
	wg.Wait()
	for _, code := range said {
		if code != string(client.LinkLost) {
			t.Errorf("%s, required: got %q, want link_lost", what, code)
		}
	}
	return max(took[0], took[1])
}

// accounts makes B count the packets of connections.
func (w *world) accounts() {
	w.t.Helper()
	command1(w.t, "ip", "netns", "exec", w.b, "sh", "-c", "echo 1 >/proc/sys/net/netfilter/nf_conntrack_acct")
}

// F69, cut during: of many channels, the link of each is cut after another number
// of packets, in both directions or one, silently or with a reset. The channel
// stays relayed, or is reset at both ends.
func TestF69During(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.accounts()
	a, b := w.agent(w.a), w.agent(w.b)
	a.listens("org.example.a")
	b.listens("org.example.b")
	after := []int{0, 2, 4, 8, 1, 3, 5, 6} // a connect, two messages and a mark are five or so
	w.rules(cutAfter(after)...)
	var all []two
	for range 2 * len(after) { // 16 of each caller: as many attempts as a key may have at a time
		all = append(all, pair(a, b, "org.example.b", client.DirectAuto), pair(b, a, "org.example.a", client.DirectAuto))
	}
	over := func(s [2]EndState) bool { return s[0].Over && s[1].Over }
	relayed := func(s [2]EndState) bool { return s[0].Link == "" && s[1].Link == "" && s[0].tried() }
	eventually(toMove+linkDead, func() bool {
		for _, c := range all {
			if s := c.states(); !over(s) && !relayed(s) {
				return false
			}
		}
		return true
	})
	w.rules(dropIn, dropOut) // no further attempt is to move what is relayed
	reset, stayed := 0, 0
	for i, c := range all {
		// What was about to move when the rules changed is told by what comes of it.
		before := c.states()
		goesOn := func(s [2]EndState) bool {
			return s[0].Link == "" && s[1].Link == "" && s[0].Received >= before[0].Received+100<<10 && s[1].Received >= before[1].Received+100<<10
		}
		if !eventually(linkDead, func() bool { s := c.states(); return over(s) || goesOn(s) }) {
			t.Errorf("channel %d is neither relayed nor over: %+v", i, c.states())
		}
		if s := c.states(); !over(s) && goesOn(s) {
			c.finishes()
			stayed++
			continue
		}
		// Whoever does not see its link die hears it on the lane.
		s := c.states()
		c.honest(s, client.LinkLost, "peer_reset")
		if s[0].ReadErr != string(client.LinkLost) && s[1].ReadErr != string(client.LinkLost) {
			t.Errorf("channel %d: neither end says link_lost: %+v", i, s)
		}
		reset++
	}
	if stayed == 0 || reset == 0 {
		t.Errorf("%d channels stayed and %d were reset: the cut was never before, or never after, the move", stayed, reset)
	}
	report(t, "F69", "%d links cut after 0 to %d packets, both ways, one way and by reset: %d channels stayed relayed and lost nothing, %d were reset, with link_lost at one end at least",
		len(all), slices.Max(after), stayed, reset)
}

// cutAfter are the rules that number connections as they come, by their mark, and
// cut four of them after each of some numbers of the caller's packets: the first
// half of the numbers is for callers in A.
func cutAfter(after []int) []string {
	n := 4 * len(after)
	const number = "ct state new ct mark 0 ct mark set numgen inc mod %d offset %d"
	rules := []string{"in " + fmt.Sprintf(number, n/2, 1), "out " + fmt.Sprintf(number, n/2, n/2+1)}
	for i := range n {
		match := fmt.Sprintf("ct mark %d ct original packets > %d", i+1, after[i/4])
		in, out := "in "+match, "out "+match
		switch i % 4 {
		case 0:
			rules = append(rules, in+" drop", out+" drop")
		case 1:
			rules = append(rules, in+" drop")
		case 2:
			rules = append(rules, out+" drop")
		case 3:
			rules = append(rules, in+" tcp flags & rst == 0 reject with tcp reset")
		}
	}
	return rules
}

// F69, cut after the move: a reset at both ends, in the time that bytes may go
// unacknowledged, or at once if the cut says so.
func TestF69After(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.agent(w.a), w.agent(w.b)
	b.listens("org.example.b")
	for _, row := range []struct {
		what  string
		rules []string
		in    time.Duration
	}{
		{"both ways dropped", []string{dropIn, dropOut}, linkDead},
		{"reset", []string{resetIn}, 2 * time.Second},
	} {
		w.rules()
		c := pair(a, b, "org.example.b", client.DirectAuto)
		c.moves(toMove)
		c.flows(5*time.Second, 1<<20)
		began := time.Now()
		w.rules(row.rules...)
		heard := c.breaks(row.in, client.LinkLost)
		report(t, "F69", "link %s after the move: link_lost at the caller after %v, at the callee after %v", row.what,
			heard[0].Sub(began).Round(10*time.Millisecond), heard[1].Sub(began).Round(10*time.Millisecond))
	}
}
