package switchboard_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/switchboard"
)

// asker is a peer whose answers are compared.
type asker struct {
	t   *testing.T
	h   *host
	m   *mux.Session
	ctl *peer
	req int32
}

func (h *host) asker(n byte) *asker {
	h.t.Helper()
	m := h.mux(n)
	return &asker{t: h.t, h: h, m: m, ctl: h.open(m)}
}

// call makes an async call and returns flags and body of the answer.
func (a *asker) call(method, args string) string {
	a.t.Helper()
	a.req++
	a.ctl.send(0x02, a.req, request(method, "async", args))
	return packet(a.t, a.ctl, -a.req)
}

// connect tries to open a channel, and returns the answer.
func (a *asker) connect(args string) string {
	a.t.Helper()
	lane := a.h.open(a.m)
	lane.send(0x0a, 1, request("connect", "duplex", args))
	return packet(a.t, lane, -1)
}

// watch begins a watch, and returns what it says up to synced.
func (a *asker) watch(args string) (w *peer, began string) {
	a.t.Helper()
	w = a.h.open(a.m)
	w.send(0x0a, 1, request("names.watch", "source", args))
	for !strings.Contains(began, `"synced"`) {
		began += packet(a.t, w, -1) + "\n"
	}
	return w, began
}

// packet reads one, without what differs from one moment to the next.
func packet(t *testing.T, p *peer, req int32) string {
	t.Helper()
	got, err := muxrpc.ReadPacket(p.lane, control.MaxPeerBody)
	if err != nil || got.Req != req {
		t.Fatalf("got packet %02x %d %s, %v, want %d", got.Flags, got.Req, got.Body, err, req)
	}
	return fmt.Sprintf("%02x %s", got.Flags, regexp.MustCompile(`"rev":\d+`).ReplaceAllString(string(got.Body), `"rev":0`))
}

// answers is what a peer is told of a name in every call there is. The owner
// says no to each offer.
func answers(a *asker, name, session string) map[string]string {
	on := `{"name":"` + name + `"}`
	all := map[string]string{
		"get":             a.call("names.get", on),
		"claim":           a.call("names.claim", on),
		"claim queue":     a.call("names.claim", `{"name":"`+name+`","queue":true}`),
		"claim replace":   a.call("names.claim", `{"name":"`+name+`","replace":true}`),
		"release":         a.call("names.release", on),
		"update":          a.call("names.update", `{"name":"`+name+`","info":{}}`),
		"list":            a.call("names.list", ""),
		"list match":      a.call("names.list", `{"match":"`+name+`"}`),
		"list brief":      a.call("names.list", `{"brief":true}`),
		"list after":      a.call("names.list", `{"after":"a"}`),
		"connect":         a.connect(`{"to":"` + name + `"}`),
		"connect key":     a.connect(`{"to":"` + name + `","key":"` + seeded(9).Public().String() + `"}`),
		"connect epoch":   a.connect(`{"to":"` + name + `","epoch":7}`),
		"connect session": a.connect(`{"to":"` + session + `"}`),
		"connect require": a.connect(`{"to":"` + name + `","require":true}`),
	}
	_, all["watch"] = a.watch("")
	_, all["watch match"] = a.watch(`{"match":"` + name + `"}`)
	_, all["watch since"] = a.watch(`{"since":1}`)
	return all
}

// TestMatrix: what each right lets a peer do with a name, in every call. What is
// hidden is answered to the byte as what does not exist.
func TestMatrix(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(
			`@1 level=trusted`,
			`@2 level=trusted see=org.other.**`,
			`@3 level=trusted see=org.example.**`,
			`@4 level=trusted talk=org.example.**`,
			`@5 level=trusted own=org.example.**`,
			`@6 level=untrusted talk=org.example.**`,
			`@7 level=untrusted`,
			`@8 level=basic`,
			`@9 level=trusted`,
		)))
		const name, none = "org.example.echo", "org.example.void"
		owner := h.asker(1)
		owner.call("names.claim", `{"name":"`+name+`","info":{"x":1}}`)
		session := field(t, []byte(owner.call("whoami", "")[3:]), "session")
		waiter := h.asker(5)
		waiter.call("names.claim", `{"name":"`+name+`","queue":true}`)
		h.wg.Go(func() { // no to all
			for {
				st, err := owner.m.Accept(t.Context())
				if err != nil {
					return
				}
				offer := &peer{t: t, lane: st}
				offer.want(0x0a, 1)
				offer.send(0x0e, -1, `{"name":"Error","message":"no"}`)
			}
		})
		got := func(n byte) map[string]string { return answers(h.asker(n), name, session) }

		for _, n := range []byte{2, 7} {
			hidden, absent := got(n), answers(h.asker(n), none, ":999")
			for call, answer := range hidden {
				if answer != absent[call] || strings.Contains(answer, "org.") {
					t.Errorf("key %d: %s of what is hidden: %s\nof what is not there: %s", n, call, answer, absent[call])
				}
			}
		}
		const (
			notFound   = `06 {"name":"not_found","message":"no such name"`
			notAllowed = `{"name":"not_allowed"`
			refused    = `0e {"name":"refused"`
		)
		for n, want := range map[byte]map[string]string{
			3: {
				"get": `02 {"name":"org.example.echo"`, "claim": "06 " + notAllowed, "claim queue": "06 " + notAllowed, "release": `06 {"name":"not_owner"`,
				"list": `02 {"rev":0,"names":[{"name":"org.example.echo"`, "list brief": `02 {"rev":0,"names":["org.example.echo"]}`,
				"connect": "0e " + notAllowed, "connect key": "0e " + notAllowed, "connect epoch": "0e " + notAllowed,
				"connect session": `0e {"name":"not_found","message":"no such session"`, "watch": `0a {"rev":0,"type":"connected","name":"org.example.echo"`,
			},
			4: {"get": `02 {"name":"org.example.echo"`, "claim": "06 " + notAllowed, "connect": refused, "connect key": `0e {"name":"peer_mismatch"`,
				"connect epoch": `0e {"name":"stale"`, "connect session": refused},
			5: {"get": `02 {"name":"org.example.echo"`, "claim": `06 {"name":"name_taken"`, "connect": refused, "connect session": refused},
			// who is untrusted sees it, and talks to nobody trusted.
			6: {"get": `02 {"name":"org.example.echo"`, "connect": "0e " + notAllowed, "connect session": `0e {"name":"not_found"`},
			7: {"get": notFound},
			8: {"get": `02 {"name":"org.example.echo"`, "claim": "06 " + notAllowed, "connect": refused},
			9: {"get": `02 {"name":"org.example.echo"`, "claim": `06 {"name":"name_taken"`, "connect": refused},
		} {
			all := got(n)
			for call, begin := range want {
				if !strings.HasPrefix(all[call], begin) {
					t.Errorf("key %d: %s: got %s, want %s…", n, call, all[call], begin)
				}
			}
			// How many wait is for who may own the name.
			for _, call := range []string{"get", "list", "watch"} {
				if got := strings.Contains(all[call], `"waiters":1`); got != (n == 5 || n == 9) {
					t.Errorf("key %d: %s says who waits: %v in %s", n, call, got, all[call])
				}
			}
		}
		owner.m.Close()
		synctest.Wait()
	})
}

// of the 16 pairs of levels two are refused, whatever the patterns say.
func TestLevelPairs(t *testing.T) {
	levels := []string{"untrusted", "basic", "trusted", "verified"}
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		var lines []string
		for i, level := range levels {
			lines = append(lines, fmt.Sprintf("@%d level=%s talk=**", i+1, level), fmt.Sprintf("@%d level=%s own=n%d", i+11, level, i))
		}
		must(t, h.srv.SetPolicy(rules(lines...)))
		refused := 0
		for i := range levels {
			owner := h.asker(byte(i + 11))
			owner.call("names.claim", fmt.Sprintf(`{"name":"n%d"}`, i))
			h.wg.Go(func() {
				for {
					st, err := owner.m.Accept(t.Context())
					if err != nil {
						return
					}
					offer := &peer{t: t, lane: st}
					offer.want(0x0a, 1)
					offer.send(0x0e, -1, `{"name":"Error","message":"no"}`)
				}
			})
			for j := range levels {
				got := h.asker(byte(j + 1)).connect(fmt.Sprintf(`{"to":"n%d"}`, i))
				want := `0e {"name":"refused"`
				if j == 0 && i >= 2 {
					want = `0e {"name":"not_allowed"`
					refused++
				}
				if !strings.HasPrefix(got, want) {
					t.Errorf("%s to %s: got %s, want %s", levels[j], levels[i], got, want)
				}
			}
			owner.m.Close()
		}
		synctest.Wait()
		if refused != 2 {
			t.Errorf("%d pairs refused, want 2", refused)
		}
	})
}

// What a callee is told of its caller is the server's word: key, level, tenant,
// and of its names those that exist for the callee.
func TestOfferStamps(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(
			`@1 level=verified own=** talk=**`,
			`@2 level=basic own=org.example.** see=a.**`,
		)))
		callee, caller := h.asker(2), h.asker(1)
		callee.call("names.claim", `{"name":"org.example.echo"}`)
		for _, n := range []string{"a.b", "c.d"} {
			caller.call("names.claim", `{"name":"`+n+`"}`)
		}
		lane := h.open(caller.m)
		lane.send(0x0a, 1, request("connect", "duplex", `{"to":"org.example.echo","level":"x","peer":{"level":"x"},"tenant":"x","names":["x"]}`))
		q, o := offered(h, func() *peer { return h.next(callee.m) })
		q.send(0x0e, -1, `{"name":"Error","message":"no"}`)
		lane.wantError(0x0e, -1, control.Refused)
		if got := fmt.Sprint(o.Peer.Level, o.Peer.Tenant, o.Peer.Names, o.Peer.ID); got != fmt.Sprint("verified", "", []string{"a.b"}, seeded(1).Public()) {
			t.Errorf("the offer says %s", got)
		}
		if got := caller.call("whoami", ""); !strings.Contains(got, `"level":"verified"`) || strings.Contains(got, "tenant") {
			t.Errorf("whoami says %s", got)
		}
	})
}
