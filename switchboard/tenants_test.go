package switchboard_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
	"github.com/cad2f06c/switchboard/switchboard"
)

// borders are acme, which exports its store to all and its log to beta, and
// beta, which imports both; gamma imports nothing, and the default tenant all.
func borders(lines ...string) switchboard.PolicyConfig {
	return switchboard.PolicyConfig{
		Peers: peers(lines...),
		Tenants: map[string]switchboard.Tenant{
			"acme":    {Export: []string{"org.store", "org.log -> beta"}},
			"beta":    {Import: []string{"acme/org.**"}},
			"gamma":   {},
			"default": {Import: []string{"*/**"}},
		},
	}
}

// list is the names that a peer is shown.
func (a *asker) list(args string) []string {
	a.t.Helper()
	var page control.ListResult
	raw := a.call("names.list", args)
	must(a.t, json.Unmarshal([]byte(raw[3:]), &page))
	got := []string{}
	for _, e := range page.Names {
		got = append(got, e.Name)
	}
	return got
}

// TestTenants: names are of their owner's tenant, and cross only where one exports
// and the other imports; they are written as the reader's tenant does.
func TestTenants(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(mustPolicy(borders(
			`@1 level=trusted tenant=acme`, `@2 level=trusted tenant=beta`, `@3 level=trusted tenant=gamma`,
			`@4 level=trusted`, `@5 level=trusted tenant=beta see=**`,
		))))
		acme, beta, gamma, home, narrow := h.asker(1), h.asker(2), h.asker(3), h.asker(4), h.asker(5)
		watch, _ := beta.watch("")
		for _, n := range []string{"org.store", "acme/org.log", "org.secret"} {
			if got := acme.call("names.claim", `{"name":"`+n+`"}`); !strings.HasPrefix(got, `02 {"name":"`+n+`","state":"owner"`) {
				t.Fatal(got)
			}
		}
		for a, n := range map[*asker]string{beta: "org.store", gamma: "org.store", home: "org.store"} {
			if got := a.call("names.claim", `{"name":"`+n+`"}`); !strings.HasPrefix(got, "02 ") {
				t.Errorf("the same name in another tenant: %s", got)
			}
		}
		for _, tt := range []struct {
			a    *asker
			args string
			want string
		}{
			{acme, "", "org.log org.secret org.store"},
			{beta, "", "acme/org.log acme/org.store org.store"},
			{beta, `{"match":"org.**"}`, "org.store"},
			{beta, `{"match":"beta/org.**"}`, "org.store"},
			{beta, `{"match":"acme/**"}`, "acme/org.log acme/org.store"},
			{beta, `{"match":"*/*.store"}`, "acme/org.store"},
			{beta, `{"match":"gamma/**"}`, ""},
			{beta, `{"after":"acme/org.log"}`, "acme/org.store org.store"},
			{gamma, "", "org.store"},
			{gamma, `{"match":"acme/**"}`, ""},
			{home, "", "acme/org.store org.store"},
			{home, `{"match":"default/**"}`, "org.store"},
			{narrow, "", "org.store"},
		} {
			if got := strings.Join(tt.a.list(tt.args), " "); got != tt.want {
				t.Errorf("list %s: got %q, want %q", tt.args, got, tt.want)
			}
		}
		for _, want := range []string{"acme/org.store", "acme/org.log", "org.store"} {
			if ev, err := readEvent(watch); err != nil || ev.Type != "connected" || ev.Name != want || ev.Entry.Name != want {
				t.Errorf("watch: got %+v, %v, want %s", ev, err, want)
			}
		}
		for args, want := range map[string]control.Code{
			`{"name":"acme/org.store"}`: control.NotAllowed, `{"name":"switchboard.x"}`: control.NotAllowed,
			`{"name":"beta/switchboard"}`: control.NotAllowed, `{"name":"Acme/x"}`: control.NameInvalid, `{"name":"a/b/c"}`: control.NameInvalid,
			`{"name":"/x"}`: control.NameInvalid, `{"name":"acme/"}`: control.NameInvalid,
		} {
			if got := beta.call("names.claim", args); !strings.HasPrefix(got, `06 {"name":"`+string(want)) {
				t.Errorf("claim %s: got %s, want %s", args, got, want)
			}
		}
		if got := beta.call("names.list", `{"match":"Acme/**"}`); !strings.HasPrefix(got, `06 {"name":"bad_request"`) {
			t.Errorf("list of no tenant: %s", got)
		}
		for _, a := range []*asker{gamma, narrow} { // what does not cross is not there
			hidden, absent := answers(a, "acme/org.store", ":999"), answers(a, "acme/org.void", ":999")
			for call := range hidden {
				if hidden[call] != absent[call] {
					t.Errorf("%s of what does not cross: %s\nof what is not there: %s", call, hidden[call], absent[call])
				}
			}
		}
		if got := beta.call("names.release", `{"name":"acme/org.store"}`); !strings.HasPrefix(got, `06 {"name":"not_owner"`) {
			t.Errorf("release across: %s", got)
		}

		lane := h.open(beta.m)
		lane.send(0x0a, 1, request("connect", "duplex", `{"to":"acme/org.store"}`))
		q, o := offered(h, func() *peer { return h.next(acme.m) })
		q.send(0x0a, -1, `{}`)
		if got := string(lane.want(0x0a, -1)); !strings.Contains(got, `"name":"acme/org.store"`) {
			t.Errorf("the caller is told %s", got)
		}
		if o.Name != "acme/org.store" || o.Peer.Tenant != "beta" || len(o.Peer.Names) != 0 {
			t.Errorf("the callee is told %+v", o)
		}
		if got := beta.call("whoami", ""); !strings.Contains(got, `"tenant":"beta"`) || !strings.Contains(got, `"names":["org.store"]`) {
			t.Errorf("whoami says %s", got)
		}
		synctest.Wait()
	})
}

// TestBordersAgainstOracle: what lists, gets and watches show across tenants is
// what thirty lines of rules say, whatever the rules, while they change. A watch
// that has stood all the time says the same as a list.
func TestBordersAgainstOracle(t *testing.T) {
	tenants, all := []string{"", "acme", "beta"}, []string{"a", "b.c", "b.d.e"}
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		random := rand.New(rand.NewPCG(5, 65))
		must(t, h.srv.SetPolicy(mustPolicy(randomBorders(random, tenants))))
		var who []*asker
		var watches []*mirror
		for i := range tenants {
			who = append(who, h.asker(byte(i+1)))
			for _, n := range all {
				who[i].call("names.claim", `{"name":"`+n+`"}`)
			}
			watches = append(watches, newMirror(who[i]))
		}
		for round := range 60 {
			cfg := randomBorders(random, tenants)
			must(t, h.srv.SetPolicy(mustPolicy(cfg)))
			for i, mine := range tenants {
				want := []string{}
				for _, theirs := range tenants {
					for _, n := range all {
						text := policy.NameText(mine, theirs, names.Name(n))
						crosses := mine == theirs || cross(cfg, theirs, mine, n)
						if crosses {
							want = append(want, text)
						}
						if got := strings.HasPrefix(who[i].call("names.get", `{"name":"`+text+`"}`), "02 "); got != crosses {
							t.Errorf("round %d: %q gets %s: %v", round, mine, text, got)
						}
					}
				}
				slices.Sort(want)
				if got := who[i].list(""); !slices.Equal(got, want) {
					t.Errorf("round %d: %q lists %v, want %v", round, mine, got, want)
				}
				synctest.Wait()
				if got := watches[i].names(); !slices.Equal(got, want) {
					t.Errorf("round %d: %q has watched %v, want %v", round, mine, got, want)
				}
			}
			if t.Failed() {
				t.Fatalf("with %+v", cfg.Tenants)
			}
		}
		for _, a := range who {
			a.m.Close()
		}
		synctest.Wait()
	})
}

// randomBorders are three tenants and what may cross between them.
func randomBorders(random *rand.Rand, tenants []string) switchboard.PolicyConfig {
	cfg := switchboard.PolicyConfig{Tenants: make(map[string]switchboard.Tenant)}
	var lines []string
	for i, tenant := range tenants {
		lines = append(lines, fmt.Sprintf("@%d level=trusted tenant=%s", i+1, policy.TenantText(tenant)))
		var tn switchboard.Tenant
		for _, p := range []string{"a", "b.*", "b.**", "**"} {
			other := tenants[(i+1+random.IntN(2))%3]
			switch random.IntN(6) {
			case 0:
				tn.Export = append(tn.Export, p)
			case 1:
				tn.Export = append(tn.Export, p+" -> "+policy.TenantText(other))
			case 2:
				tn.Import = append(tn.Import, "*/"+p)
			case 3:
				tn.Import = append(tn.Import, policy.TenantText(other)+"/"+p)
			}
		}
		cfg.Tenants[policy.TenantText(tenant)] = tn
	}
	cfg.Peers = peers(lines...)
	return cfg
}

// mirror is what a watch says of the names that there are.
type mirror struct {
	mu    sync.Mutex
	shown map[string]bool
}

func newMirror(a *asker) *mirror {
	m := &mirror{shown: make(map[string]bool)}
	w := a.h.open(a.m)
	w.send(0x0a, 1, request("names.watch", "source", ""))
	a.h.wg.Go(func() {
		for {
			ev, err := readEvent(w)
			if err != nil {
				return
			}
			m.take(a.t, ev)
		}
	})
	return m
}

func (m *mirror) take(t *testing.T, ev control.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch ev.Type {
	case "connected", "disconnected":
		if m.shown[ev.Name] == (ev.Type == "connected") {
			t.Errorf("%s was that already: %+v", ev.Name, ev)
		}
		m.shown[ev.Name] = ev.Type == "connected"
	case "lagged":
		clear(m.shown)
	}
}

func (m *mirror) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	got := []string{}
	for n, shown := range m.shown {
		if shown {
			got = append(got, n)
		}
	}
	slices.Sort(got)
	return got
}

// cross is the rule about borders, as plainly as it can be said.
func cross(cfg switchboard.PolicyConfig, from, to, name string) bool {
	matches := func(pattern string) bool {
		p, err := names.ParsePattern(pattern)
		return err == nil && p.Match(names.Name(name))
	}
	exported := slices.ContainsFunc(cfg.Tenants[policy.TenantText(from)].Export, func(e string) bool {
		pattern, only, limited := strings.Cut(e, " -> ")
		return matches(pattern) && (!limited || only == policy.TenantText(to))
	})
	return exported && slices.ContainsFunc(cfg.Tenants[policy.TenantText(to)].Import, func(i string) bool {
		tenant, pattern, _ := strings.Cut(i, "/")
		return matches(pattern) && (tenant == "*" || tenant == policy.TenantText(from))
	})
}

// A watch of a pattern without a tenant is of its peer's own tenant, whichever that
// becomes.
func TestWatchFollowsTenant(t *testing.T) {
	for _, match := range []string{"", "org.**"} {
		bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
			must(t, h.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=trusted tenant=beta`, `@3 level=trusted`)))
			one, two, three := h.asker(1), h.asker(2), h.asker(3)
			two.call("names.claim", `{"name":"org.there"}`)
			three.call("names.claim", `{"name":"org.here"}`)
			w, began := one.watch(`{"match":"` + match + `"}`)
			if !strings.Contains(began, "org.here") || strings.Contains(began, "org.there") {
				t.Fatalf("%q began with %s", match, began)
			}
			must(t, h.srv.SetPolicy(rules(`@1 level=trusted tenant=beta`, `@2 level=trusted tenant=beta`, `@3 level=trusted`)))
			two.call("names.claim", `{"name":"org.new"}`)
			must(t, w.lane.SetReadDeadline(time.Now().Add(time.Second)))
			told := make(map[string]string)
			for range 3 {
				ev, err := readEvent(w)
				if err != nil {
					break
				}
				told[ev.Name] = ev.Type
			}
			want := map[string]string{"org.here": "disconnected", "org.there": "connected", "org.new": "connected"}
			if !maps.Equal(told, want) {
				t.Errorf("%q was told %v, want %v", match, told, want)
			}
		})
	}
}
