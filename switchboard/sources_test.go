package switchboard

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// defaults are the bounds of a server that has descriptors enough.
func defaults() *Admission {
	var l Limits
	l.fit(wantedFiles, 0)
	return &l.Admission
}

func from(addr string) source {
	return place{transport: transportNet, remote: netip.MustParseAddr(addr).Unmap()}.source()
}

func TestSourceOf(t *testing.T) {
	for _, tt := range []struct {
		place  place
		want   string
		exempt bool
	}{
		{place{transport: transportUnix, uid: 1000}, "uid 1000", true},
		{place{transport: transportLocal}, "local", true},
		{place{transport: transportNet}, "local", true},
		{place{transport: transportNet, remote: netip.MustParseAddr("127.3.2.1")}, "loopback", true},
		{place{transport: transportNet, remote: netip.MustParseAddr("::1")}, "loopback", true},
		{place{transport: transportNet, remote: netip.MustParseAddr("192.0.2.7")}, "192.0.2.7", false},
		{place{transport: transportNet, remote: netip.MustParseAddr("2001:db8:1:2:3:4:5:6")}, "2001:db8:1:2::/64", false},
		{place{transport: transportNet, remote: netip.MustParseAddr("fe80::1%eth0")}, "fe80::/64", false},
	} {
		if got := tt.place.source(); got.String() != tt.want || got.exempt() != tt.exempt {
			t.Errorf("%+v is of %s, exempt %t, want %s, %t", tt.place, got, got.exempt(), tt.want, tt.exempt)
		}
	}
}

// Penalties add up, hold from the moment when they are more than the least, and
// run out; what is refused meanwhile adds nothing.
func TestPenalties(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name      string
		penalties []time.Duration // one each second
		barred    time.Duration   // when it is admitted again; 0: it never was not
	}{
		{"one of each", []time.Duration{s, 5 * s}, 0},
		{"three bad proofs", []time.Duration{5 * s, 5 * s, 5 * s}, 0},
		{"four", []time.Duration{5 * s, 5 * s, 5 * s, 5 * s}, 20 * s},
		{"two stalls", []time.Duration{10 * s, 10 * s}, 20 * s},
		{"a panic", []time.Duration{90 * s}, 90 * s},
		{"no more than the most", []time.Duration{400 * s, 400 * s}, 601 * s},
		{"none", []time.Duration{-1, -1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, src := newSources(defaults()), from("192.0.2.1")
			var now time.Duration
			began := time.Duration(0)
			for i, p := range tt.penalties {
				now = time.Duration(i) * s
				began = max(began, table.offend(now, src, p))
			}
			if (began > 0) != (tt.barred > 0) {
				t.Errorf("barred for %v, want until %v", began, tt.barred)
			}
			for ; now < tt.barred; now += s / 2 {
				if got := table.arrive(now, src); got != refusedPenalty {
					t.Fatalf("after %v: %v, want refused", now, got)
				}
			}
			now = max(now, tt.barred)
			if got := table.arrive(now, src); got != taken || table.barred(now) != 0 {
				t.Errorf("after %v: %v, want taken", now, got)
			}
			if got := table.arrive(now, from("192.0.2.2")); got != taken {
				t.Errorf("another source: %v", got)
			}
		})
	}
}

// A source that comes too fast is refused, then barred; its own connections and
// others' do not feel it.
func TestConnectRate(t *testing.T) {
	table, src := newSources(defaults()), from("192.0.2.1")
	count := make(map[outcome]int)
	for range 100 {
		got := table.arrive(0, src)
		count[got]++
		if got == taken {
			table.settle(src)
		}
	}
	if count[taken] != 40 || count[refusedRate] != 16 || count[refusedPenalty] != 44 {
		t.Errorf("of 100 at once: %v, want 40 taken, 16 too fast, then barred", count)
	}
	if got := table.arrive(16*time.Second, src); got != taken {
		t.Errorf("after 16 s: %v", got)
	}
	for range 17 {
		table.arrive(20*time.Second, src)
	}
	if got := table.arrive(20*time.Second, src); got != refusedHalfOpen {
		t.Errorf("the 17th in handshake: %v", got)
	}
	for range 1000 {
		if got := table.arrive(0, source{kind: sourceLoopback}); got != taken {
			t.Fatalf("loopback: %v", got)
		}
	}
}

func TestSessionsPerSource(t *testing.T) {
	l := defaults()
	l.SessionsPerSource, l.SessionsPerUID = 2, 3
	table := newSources(l)
	for src, most := range map[source]int{from("192.0.2.1"): 2, from("2001:db8::1"): 2, numbered(sourceUser, 7): 3, {kind: sourceLoopback}: 10} {
		n := 0
		for range 10 {
			table.arrive(0, src)
			if table.login(src) {
				n++
			}
			table.settle(src)
		}
		if n != most {
			t.Errorf("%s: %d sessions, want %d", src, n, most)
		}
		for range n {
			table.logout(src)
		}
		if r := table.of[src]; r.halfOpen != 0 || r.sessions != 0 {
			t.Errorf("%s: %+v is left", src, r)
		}
	}
}

// A full table forgets who is in order soonest, never who is connected; when all
// are, it refuses.
func TestSourcesBound(t *testing.T) {
	l := defaults()
	l.Sources = 4
	table := newSources(l)
	table.offend(0, from("192.0.2.1"), 90*time.Second)
	table.offend(0, from("192.0.2.2"), 30*time.Second)
	table.arrive(0, from("192.0.2.3"))
	for i := range 100 {
		src := from(fmt.Sprintf("198.51.100.%d", i))
		if got := table.arrive(0, src); got != taken {
			t.Fatalf("newcomer %d: %v", i, got)
		}
		table.settle(src)
	}
	if len(table.of) != 4 || table.arrive(0, from("192.0.2.1")) != refusedPenalty || table.arrive(0, from("192.0.2.2")) != refusedPenalty {
		t.Errorf("%d sources, and those that are barred are not", len(table.of))
	}
	for _, addr := range []string{"203.0.113.1", "203.0.113.2", "203.0.113.3"} {
		if got := table.arrive(0, from(addr)); got != taken {
			t.Errorf("%s: %v, want the place of one that has no connection", addr, got)
		}
	}
	if got := table.arrive(0, from("203.0.113.4")); got != refusedTable {
		t.Errorf("while all are connected: %v", got)
	}
	table.settle(from("192.0.2.3"))
	if got := table.arrive(0, from("203.0.113.4")); got != taken {
		t.Errorf("when one is gone: %v", got)
	}
}

// modelSource is what the rules say of a source, written down once more, with a
// bucket of tokens where the table has one time.
type modelSource struct {
	halfOpen, sessions int
	tokens             time.Duration
	filled             time.Duration
	until              time.Duration
	barred             bool
}

func (m *modelSource) offend(now, penalty time.Duration) {
	m.until = min(max(m.until, now)+penalty, now+10*time.Minute)
	m.barred = m.barred || m.until-now > 15*time.Second
}

func (m *modelSource) arrive(now time.Duration) outcome {
	const every, burst = 50 * time.Millisecond, 40
	m.tokens, m.filled = min(burst*every, m.tokens+now-m.filled), now
	switch {
	case m.barred:
		return refusedPenalty
	case m.tokens < every:
		m.offend(now, time.Second)
		return refusedRate
	}
	m.tokens -= every
	if m.halfOpen == 16 {
		return refusedHalfOpen
	}
	m.halfOpen++
	return taken
}

// Any schedule gives what the rules say, and nothing is left of it in the end.
func TestSourcesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := newSources(defaults())
		models := make(map[source]*modelSource)
		for i := range 4 {
			models[from(fmt.Sprintf("192.0.2.%d", i))] = &modelSource{tokens: 40 * 50 * time.Millisecond}
		}
		now := time.Duration(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			src := from(fmt.Sprintf("192.0.2.%d", rapid.IntRange(0, 3).Draw(t, "source")))
			m := models[src]
			now += time.Duration(rapid.SampledFrom([]int{0, 0, 0, 0, 1, 20, 700, 30_000}).Draw(t, "pause")) * time.Millisecond
			m.barred = m.barred && now < m.until
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0, 1, 2:
				if got, want := table.arrive(now, src), m.arrive(now); got != want {
					t.Fatalf("%s at %v: %v, want %v", src, now, got, want)
				}
			case 3:
				if m.halfOpen > 0 {
					table.settle(src)
					m.halfOpen--
				}
			case 4:
				if m.halfOpen > 0 {
					if got, want := table.login(src), m.sessions < 64; got != want {
						t.Fatalf("login: %t, want %t", got, want)
					}
					m.sessions++
				}
			case 5:
				if m.sessions > 0 {
					table.logout(src)
					m.sessions--
				}
			case 6:
				p := time.Duration(rapid.SampledFrom([]int{1, 5, 10, 90}).Draw(t, "penalty")) * time.Second
				table.offend(now, src, p)
				m.offend(now, p)
			}
			live := 0
			for _, m := range models {
				if m.halfOpen+m.sessions > 0 {
					live++
				}
			}
			if len(table.of)-len(table.idle) != live {
				t.Fatalf("%d sources, %d of them idle; %d have connections", len(table.of), len(table.idle), live)
			}
		}
		for src, m := range models {
			for ; m.halfOpen > 0; m.halfOpen-- {
				table.settle(src)
			}
			for ; m.sessions > 0; m.sessions-- {
				table.logout(src)
			}
		}
		for range 5 { // newcomers sweep
			table.arrive(now+time.Hour, from("198.51.100.1"))
			table.settle(from("198.51.100.1"))
			now += time.Hour
			table.arrive(now+time.Hour, from("198.51.100.2"))
			table.settle(from("198.51.100.2"))
			now += time.Hour
		}
		if len(table.of) > 2 || len(table.of) != len(table.idle) {
			t.Fatalf("%d sources are left, %d idle", len(table.of), len(table.idle))
		}
	})
}
