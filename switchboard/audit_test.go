package switchboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/switchboard"
)

// audited runs f in a bubble, with a server that keeps an audit log in memory.
func audited(t *testing.T, p *switchboard.Policy, sinks []switchboard.AuditSink, f func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, err := switchboard.OpenAudit(switchboard.AuditConfig{Key: seeded(0), Sinks: sinks})
		if err != nil {
			t.Fatal(err)
		}
		srv, err := switchboard.New(switchboard.Config{Key: seeded(0), Policy: p, Audit: a, Version: "test",
			Reload: func(context.Context) error { return errors.New("peers:7: no key") }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		h := &host{t: t, srv: srv, local: switchboard.NewLocal(), stop: stop}
		h.wg.Go(func() { h.err = srv.Serve(ctx, h.local) })
		f(t, h)
		stop()
		h.wg.Wait()
		if h.err != nil {
			t.Errorf("Serve returned %v", h.err)
		}
		if left := srv.Leftovers(); left != "" {
			t.Errorf("the stopped server still has %s", left)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// tail asks for records as an administrator, when all notes are written.
func (h *host) tail(query string) (all []audit.Record) {
	h.t.Helper()
	time.Sleep(2 * time.Second)
	p := h.lane(0)
	defer p.lane.Close()
	p.send(0x0a, 1, request("audit.tail", "source", query))
	for {
		packet, err := muxrpc.ReadPacket(p.lane, control.MaxPeerBody)
		if err != nil {
			h.t.Fatal(err)
		}
		if packet.Flags&muxrpc.FlagEnd != 0 {
			if string(packet.Body) != "true" {
				h.t.Fatalf("%s: %s", query, packet.Body)
			}
			return all
		}
		var r audit.Record
		if err := json.Unmarshal(packet.Body, &r); err != nil {
			h.t.Fatal(err)
		}
		all = append(all, r)
	}
}

// one is the only record that a query picks.
func (h *host) one(query string) audit.Record {
	h.t.Helper()
	all := h.tail(query)
	if len(all) != 1 {
		h.t.Fatalf("%s: got %d records, want one: %+v", query, len(all), all)
	}
	return all[0]
}

func text(n byte) string { return seeded(n).Public().String() }

// What a peer may not do is refused and stands in the log with the rule: names that
// it may not own (E-22), talk to or see, those of other tenants (E-29), and what
// administrators may.
func TestDeniesAreWritten(t *testing.T) {
	p := mustPolicy(switchboard.PolicyConfig{Peers: peers(
		"@1 own=org.example.** see=** talk=org.example.** level=trusted",
		"@2 own=org.other.** see=org.** talk=org.other.** level=trusted",
		"@3 level=basic tenant=beta",
	)})
	audited(t, p, nil, func(t *testing.T, h *host) {
		one, two, three := h.lane(1), h.lane(2), h.lane(3)
		one.call(1, "names.claim", `{"name":"org.example.a"}`)
		one.call(2, "names.claim", `{"name":"org.example.hidden"}`)
		two.send(0x02, 1, request("names.claim", "async", `{"name":"org.example.b"}`))
		two.wantError(0x06, -1, control.NotAllowed)
		c := h.lane(2)
		c.send(0x0a, 1, request("connect", "duplex", `{"to":"org.example.a"}`))
		c.wantError(0x0e, -1, control.NotAllowed)
		three.send(0x02, 1, request("names.get", "async", `{"name":"default/org.example.a"}`))
		three.wantError(0x06, -1, control.NotFound)
		two.send(0x02, 2, request("stats", "async", ``))
		two.wantError(0x06, -2, control.NotAllowed)

		type row struct{ actor, name, rule, verb string }
		var got []row
		for _, r := range h.tail(`{"event":"not_allowed"}`) {
			if r.Decision != "denied" || r.Wall == 0 || r.Session == "" {
				t.Errorf("got %+v", r)
			}
			got = append(got, row{r.Actor, r.Name + r.Target, r.Rule, r.Attrs["verb"]})
		}
		want := []row{
			{text(2), "org.example.b", "no rule", "own"},
			{text(2), "org.example.a", "no rule", "talk"},
			{text(3), "org.example.a", "tenant default does not export it", "see"},
			{text(2), "stats", "no administrator", "admin"},
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		r := h.one(`{"event":"unauthorized-cross-tenant-access"}`)
		if r.Attrs["sourcePlugin"] != text(3) || r.Attrs["targetTenant"] != "default" {
			t.Errorf("got %+v", r)
		}
		if at, err := time.Parse(time.RFC3339Nano, r.Attrs["timestamp"]); err != nil || time.Since(at) > time.Hour {
			t.Errorf("timestamp %q", r.Attrs["timestamp"])
		}
		for _, p := range []*peer{one, two, three} {
			p.lane.Close()
		}
	})
}

// E-25, Q-45: what was done and what came to nothing are both there; the filters
// pick by event, peer wherever it stands, name and time, and all together.
func TestAuditFilters(t *testing.T) {
	audited(t, nil, nil, func(t *testing.T, h *host) {
		p := h.lane(1)
		p.call(1, "names.claim", `{"name":"a"}`)
		began := time.Now()
		time.Sleep(10 * time.Second)
		q := h.lane(2)
		q.send(0x02, 1, request("names.claim", "async", `{"name":"a"}`))
		q.wantError(0x06, -1, control.NameTaken)
		c := h.lane(2)
		c.send(0x0a, 1, request("connect", "duplex", `{"to":"a"}`))
		p.want(0x02, 1)
		p.send(0x06, -1, `{"name":"refused","message":"s3cret of the callee","stack":""}`)
		c.wantError(0x0e, -1, control.Refused)

		if r := h.one(`{"event":"claim"}`); r.Actor != text(1) || r.Name != "a" || r.Attrs["state"] != "owner" {
			t.Errorf("got %+v", r)
		}
		if r := h.one(`{"event":"claim_failed"}`); r.Actor != text(2) || r.Reason != "name_taken" {
			t.Errorf("got %+v", r)
		}
		if r := h.one(`{"event":"open_failed"}`); r.Actor != text(2) || r.Name != "a" || r.Reason != "refused" {
			t.Errorf("got %+v", r)
		}
		for query, want := range map[string]int{
			`{"peer":"` + text(1) + `","event":"login"}`: 1,
			`{"peer":"` + text(2) + `","event":"login"}`: 2,
			`{"name":"a"}`: 3,
			`{"name":"b"}`: 0,
			fmt.Sprintf(`{"name":"a","until":%d}`, began.UnixMilli()):                                             1,
			fmt.Sprintf(`{"name":"a","since":%d}`, began.UnixMilli()+1):                                           2,
			fmt.Sprintf(`{"name":"a","since":%d,"event":"claim_failed","peer":%q}`, began.UnixMilli()+1, text(2)): 1,
			fmt.Sprintf(`{"name":"a","since":%d,"event":"claim_failed","peer":%q}`, began.UnixMilli()+1, text(1)): 0,
			`{"name":"a","n":2}`: 2,
			`{"n":0}`:            0,
		} {
			if got := h.tail(query); len(got) != want {
				t.Errorf("%s: got %d records, want %d: %+v", query, len(got), want, got)
			}
		}
		p.lane.Close()
		q.lane.Close()
	})
}

// 100 records unless asked for more, the newest; of 10,001 the first is gone.
func TestQ44(t *testing.T) {
	audited(t, nil, nil, func(t *testing.T, h *host) {
		p := h.lane(1)
		for i := range int32(audit10k) {
			p.call(1+i, "names.claim", `{"name":"n`+fmt.Sprint(i)+`"}`)
			p.call(20_001+i, "names.release", `{"name":"n`+fmt.Sprint(i)+`"}`)
			if i%50 == 0 {
				time.Sleep(time.Second) // within the rate of one actor
			}
		}
		if got := h.tail(`{}`); len(got) != 100 || got[99].Event.Event != "release" || got[99].Name != "n"+fmt.Sprint(audit10k-1) {
			t.Errorf("got %d records, the last %+v", len(got), got[len(got)-1])
		}
		all := h.tail(`{"n":20000}`)
		if len(all) != 10_000 || all[0].Seq <= 1 || all[len(all)-1].Seq-all[0].Seq < 9_999 {
			t.Errorf("got %d records from %d", len(all), all[0].Seq)
		}
		p.lane.Close()
	})
}

// audit10k is how many names are claimed and released, for 10,001 records and more.
const audit10k = 5_001

// the 51st connect, and the 101st read, within 60 s raise one alarm each; the
// same number spread over two minutes none.
func TestQ42(t *testing.T) {
	for _, tc := range []struct {
		event, method, args string
		limit               int
	}{
		{"high_message_rate", "connect", `{"to":"nobody"}`, policy.HighMessages},
		{"high_data_access_rate", "names.get", `{"name":"nobody"}`, policy.HighDataAccesses},
	} {
		t.Run(tc.event, func(t *testing.T) {
			audited(t, nil, nil, func(t *testing.T, h *host) {
				m := h.mux(1)
				call := func() {
					p := h.open(m)
					if tc.method == "connect" {
						p.send(0x0a, 1, request(tc.method, "duplex", tc.args))
						p.wantError(0x0e, -1, control.NotFound)
					} else {
						p.send(0x02, 1, request(tc.method, "async", tc.args))
						p.wantError(0x06, -1, control.NotFound)
					}
					p.lane.Close()
				}
				for range 2 * tc.limit {
					call()
					time.Sleep(2 * time.Minute / time.Duration(2*tc.limit-1))
				}
				if got := h.tail(`{"event":"` + tc.event + `"}`); len(got) != 0 {
					t.Fatalf("too early: %+v", got)
				}
				time.Sleep(time.Minute)
				for range tc.limit + 20 {
					call()
				}
				r := h.one(`{"event":"` + tc.event + `"}`)
				if r.Actor != text(1) || r.N != uint64(tc.limit+1) || r.Attrs["severity"] != "medium" || r.Attrs["details"] == "" {
					t.Errorf("got %+v", r)
				}
				admin := h.lane(0)
				rates := string(admin.call(1, "rates", ``))
				if want := fmt.Sprintf(`"method":%q,"count":%d}`, tc.method, tc.limit+20); !strings.Contains(rates, want) {
					t.Errorf("got %s, want %s", rates, want)
				}
				admin.lane.Close()
			})
		})
	}
}

// broken is a sink that is down.
type broken struct{}

func (broken) Name() string               { return "down" }
func (broken) Close() error               { return nil }
func (broken) Write([]audit.Record) error { return errors.New("down") }

// a sink that is down stops nothing, and counts what it has lost.
func TestQ46(t *testing.T) {
	audited(t, nil, []switchboard.AuditSink{broken{}}, func(t *testing.T, h *host) {
		p := h.lane(1)
		p.call(1, "names.claim", `{"name":"a"}`)
		h.one(`{"event":"claim"}`)
		sink := h.srv.Stats().Audit.Sinks[0]
		if sink.Sent != 0 || sink.Dropped == 0 || sink.Error != "down" || h.srv.Stats().Degraded != "" {
			t.Errorf("got %+v, degraded %q", sink, h.srv.Stats().Degraded)
		}
		p.lane.Close()
	})
}

// A panic of the audit log's writer: the server goes on and says that it is degraded,
// and what administrators change is refused.
func TestAuditWriterPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := switchboard.AuditThatPanics()
		must(t, err)
		srv, err := switchboard.New(switchboard.Config{Key: seeded(0), Audit: a})
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		h := &host{t: t, srv: srv, local: switchboard.NewLocal(), stop: stop}
		h.wg.Go(func() { h.err = srv.Serve(ctx, h.local) })
		time.Sleep(2 * time.Minute)
		p, admin := h.lane(1), h.lane(0)
		me := field(t, p.call(1, "whoami", ""), "session")
		admin.send(0x02, 1, request("sessions.close", "async", fmt.Sprintf(`{"session":%q}`, me)))
		admin.wantError(0x06, -1, control.Unavailable)
		p.call(2, "names.claim", `{"name":"org.example.still"}`)
		health, err := srv.Health(ctx)
		if err != nil || !errors.Is(health.Degraded, audit.ErrDegraded) || !strings.Contains(srv.Stats().Degraded, "a trap") {
			t.Errorf("got %+v, %v, and the statistics say %q", health, err, srv.Stats().Degraded)
		}
		stop()
		h.wg.Wait()
		if err := a.Close(); h.err != nil || !errors.Is(err, audit.ErrDegraded) {
			t.Errorf("Serve returned %v, Close %v", h.err, err)
		}
	})
}

// What a new policy changes is told key by key; a refused reload says why.
func TestPolicyChangesAreWritten(t *testing.T) {
	before := []string{"@1 level=basic", "@2 own=a.** level=trusted", "@3"}
	after := []string{"@1 level=trusted", "@2 own=b.** level=trusted", "@4 level=basic admin"}
	audited(t, rules(before...), nil, func(t *testing.T, h *host) {
		if err := h.srv.SetPolicy(rules(after...)); err != nil {
			t.Fatal(err)
		}
		if err := h.srv.SetPolicy(rules(after...)); err != nil { // the same again is no change
			t.Fatal(err)
		}
		h.one(`{"event":"policy_changed"}`)
		if r := h.one(`{"event":"trust_level_changed"}`); r.Target != text(1) || r.Attrs["from"] != "basic" || r.Attrs["to"] != "trusted" {
			t.Errorf("got %+v", r)
		}
		got := make(map[string]string)
		for _, r := range h.tail(`{"event":"permissions_updated"}`) {
			got[r.Target] = r.Reason + r.Attrs["from"] + r.Attrs["to"]
		}
		want := map[string]string{text(2): "changedown=a.**own=b.**", text(3): "removed", text(4): "added"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		h.srv.ReloadFailed("a test", errors.New(`conf:7: want a text, not "s3cret"`))
		if r := h.one(`{"event":"reload_failed"}`); r.Reason != `conf:7: want a text, not "…"` {
			t.Errorf("got %+v", r)
		}
	})
}

// An administrator who follows the audit log and is one no more is told nothing of
// what happens then.
func TestTailEndsWithTheRight(t *testing.T) {
	audited(t, onlyListed("@1 level=trusted admin", "@2 level=trusted"), nil, func(t *testing.T, h *host) {
		one, two := h.lane(1), h.lane(2)
		time.Sleep(2 * time.Second) // all that has been is written
		one.send(0x0a, 1, request("audit.tail", "source", `{"n":0,"follow":true}`))
		synctest.Wait()
		must(t, h.srv.SetPolicy(onlyListed("@1 level=trusted", "@2 level=trusted")))
		two.call(1, "names.claim", `{"name":"secret"}`)
		for {
			got, err := muxrpc.ReadPacket(one.lane, control.MaxPeerBody)
			must(t, err)
			if got.Flags&muxrpc.FlagEnd != 0 {
				if code := field(t, got.Body, "name"); code != string(control.NotAllowed) {
					t.Errorf("it ends with %s", got.Body)
				}
				return
			}
			t.Errorf("told %s", got.Body)
		}
	})
}
