package switchboard_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/switchboard"
)

// wantGone reads a channel.close and answers it.
func wantGone(h *host, a *asker, id, reason string) {
	h.t.Helper()
	(&pair{direct: &direct{host: h}}).wantClose(a.m, id, reason)
}

// channelTo opens one; the callee says yes.
func channelTo(h *host, caller, callee *asker, to string) (c, p *peer, id string) {
	h.t.Helper()
	c = h.open(caller.m)
	c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+to+`"}`))
	p, o := offered(h, func() *peer { return h.next(callee.m) })
	p.send(0x0a, -1, "{}")
	c.want(0x0a, -1)
	return c, p, o.Channel
}

func (a *asker) session() string {
	a.t.Helper()
	return field(a.t, []byte(a.call("whoami", "")[3:]), "session")
}

// TestSetPolicyTalk: a caller that may not talk to a name any more loses its
// channels to it within a second, calls back with them, and one that is being
// made; other channels notice nothing.
func TestSetPolicyTalk(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		lines := []string{`@1 level=trusted own=org.**`, `@2 level=trusted talk=org.**`, `@3 level=trusted talk=org.**`}
		must(t, h.srv.SetPolicy(rules(lines...)))
		callee, caller, other := h.asker(1), h.asker(2), h.asker(3)
		for _, n := range []string{"org.a", "org.b"} {
			callee.call("names.claim", `{"name":"`+n+`"}`)
		}
		ca, pa, ida := channelTo(h, caller, callee, "org.a")
		cb, pb, _ := channelTo(h, caller, callee, "org.b")
		co, po, _ := channelTo(h, other, callee, "org.a")
		bc, bp, _ := channelTo(h, callee, caller, caller.session()) // calls back, of both channels
		ob, _, _ := channelTo(h, callee, other, other.session())
		cs, ps, ids := channelTo(h, caller, callee, callee.session()) // by a name that it may talk to
		pending := h.open(caller.m)
		pending.send(0x0a, 1, request("connect", "duplex", `{"to":"org.a"}`))
		offer, _ := offered(h, func() *peer { return h.next(callee.m) })

		began := time.Now()
		lines[1] = `@2 level=trusted talk=org.b see=org.a`
		must(t, h.srv.SetPolicy(rules(lines...)))
		for _, a := range []*asker{caller, callee} {
			told := map[string]bool{}
			for range 2 {
				n := h.next(a.m)
				args := arg(t, n.want(0x02, 1))
				n.send(0x02, -1, "true")
				if field(t, args, "reason") == "revoked" {
					told[field(t, args, "channel")] = true
				}
			}
			if !told[ida] || !told[ids] {
				t.Errorf("told of %v, want %s and %s", told, ida, ids)
			}
		}
		for _, p := range []*peer{ca, pa, cs, ps} {
			p.wantCut()
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("after %v", took)
		}
		offer.send(0x0a, -1, "{}") // a yes that comes too late
		pending.wantError(0x0e, -1, control.NotAllowed)
		for _, ends := range [][2]*peer{{cb, pb}, {co, po}, {bc, bp}} {
			ends[0].say("on")
			ends[1].hear("on")
		}

		lines[2] = `@3 level=trusted`
		lines = append(lines, `@4 level=trusted`)
		must(t, h.srv.SetPolicy(rules(lines...))) // more than before: nothing ends
		ob.say("on")
		lines[2] = `@3 level=trusted talk=com.**`
		must(t, h.srv.SetPolicy(rules(lines...)))
		co.wantCut()
		ob.wantCut() // the last of those that it answers is gone
		cb.say("on")
		pb.hear("on")
	})
}

// TestSetPolicyOwn: who may not own a name any more loses it, and its place in the
// line, at once; who may have it gets it.
func TestSetPolicyOwn(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=trusted`, `@3 level=trusted`)))
		first, second, third := h.asker(1), h.asker(2), h.asker(3)
		for _, n := range []string{"a", "b", "c"} {
			first.call("names.claim", `{"name":"`+n+`"}`)
			if n != "c" {
				second.call("names.claim", `{"name":"`+n+`","queue":true}`)
				third.call("names.claim", `{"name":"`+n+`","queue":true}`)
			}
		}
		w, _ := third.watch("")
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted own=b`, `@2 level=trusted own=x`, `@3 level=trusted`)))
		synctest.Wait()
		a, err := readEvent(w)
		must(t, err)
		c, err := readEvent(w)
		must(t, err)
		if a.Name != "a" || a.Type != "moved" || a.Entry.ID != seeded(3).Public() || c.Name != "c" || c.Type != "disconnected" {
			t.Errorf("watched %+v and %+v", a, c)
		}
		if got := third.call("names.get", `{"name":"b"}`); !strings.Contains(got, `"waiters":1`) || !strings.Contains(got, seeded(1).Public().String()) {
			t.Errorf("b is %s", got)
		}
		if got := first.call("names.claim", `{"name":"a"}`); !strings.Contains(got, "not_allowed") {
			t.Errorf("claimed again: %s", got)
		}
	})
}

// TestSetPolicySince: a rev from before a change of rules is answered with a
// snapshot, one from after it with what has changed; the same rules are no
// change.
func TestSetPolicySince(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`)))
		a := h.asker(1)
		rev := func() string {
			lane := h.open(a.m)
			lane.send(0x02, 1, request("names.list", "async", ""))
			got, err := muxrpc.ReadPacket(lane.lane, control.MaxPeerBody)
			must(t, err)
			r, _, _ := strings.Cut(strings.TrimPrefix(string(got.Body), `{"rev":`), ",")
			return r
		}
		since := func(r string) bool {
			_, began := a.watch(`{"since":` + r + `}`)
			return strings.Contains(began, `"lagged"`)
		}
		before := rev()
		if since(before) {
			t.Error("nothing has changed")
		}
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`)))
		if since(before) {
			t.Error("the same rules")
		}
		must(t, h.srv.SetPolicy(rules(`@1 level=verified`)))
		if !since(before) || since(rev()) {
			t.Error("other rules")
		}
	})
}

// TestSetPolicyRevoked: a revoked key is refused wherever it comes from, at once
// and for good; what it had is free.
func TestSetPolicyRevoked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "revoked_peers")
	must(t, os.WriteFile(file, []byte(seeded(2).Public().String()+" # stolen\n"), 0o600))
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		a, b := h.asker(1), h.asker(2)
		b.call("names.claim", `{"name":"n"}`)
		c, _, id := channelTo(h, a, b, "n")
		began := time.Now()
		must(t, h.srv.SetPolicy(mustPolicy(switchboard.PolicyConfig{RevokedFile: file})))
		if got := a.call("names.claim", `{"name":"n"}`); !strings.HasPrefix(got, "02 ") {
			t.Errorf("the name is not free: %s", got)
		}
		<-b.m.Done()
		wantGone(h, a, id, "peer_gone")
		c.wantCut()
		if took := time.Since(began); took > time.Second {
			t.Errorf("after %v", took)
		}
		raw, err := h.local.DialContext(t.Context(), "", "")
		must(t, err)
		if err := login(h, raw, 2); err == nil {
			t.Error("a revoked key is admitted")
		}
		must(t, h.srv.SetPolicy(mustPolicy(switchboard.PolicyConfig{Local: "refuse"})))
		<-a.m.Done()
		h.asker(0) // the server's own key
	})
}

// TestPolicyMistakes: each is refused with where it stands.
func TestPolicyMistakes(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	must(t, os.WriteFile(bad, []byte("# x\nnonsense\n"), 0o600))
	open := filepath.Join(dir, "open")
	must(t, os.WriteFile(open, nil, 0o600))
	must(t, os.Chmod(open, 0o666))
	link := filepath.Join(dir, "link")
	must(t, os.WriteFile(filepath.Join(dir, "good"), nil, 0o600))
	must(t, os.Symlink("good", link))
	for want, cfg := range map[string]switchboard.PolicyConfig{
		"bad: line 2: ":        {PeersFile: bad},
		"revoked: ":            {RevokedFile: dir + "/bad"},
		"others may write":     {PeersFile: open},
		"a symbolic link":      {PeersFile: link},
		"it is a symbolic":     {RevokedFile: link},
		"not a regular file":   {PeersFile: dir},
		"no such file":         {PeersFile: dir + "/none"},
		`level "high"`:         {Listed: "high"},
		`level "low"`:          {Local: "low"},
		`rights of "boss"`:     {Bundles: map[string]switchboard.Bundle{"boss": {}}},
		"rights of basic":      {Bundles: map[string]switchboard.Bundle{"basic": {See: []string{"a..b"}}}},
		`tenant "A"`:           {Tenants: map[string]switchboard.Tenant{"A": {}}},
		`tenant acme: "a/b"`:   {Tenants: map[string]switchboard.Tenant{"acme": {Export: []string{"a/b"}}}},
		`tenant acme: "a..**"`: {Tenants: map[string]switchboard.Tenant{"acme": {Import: []string{"a..**"}}}},
		"line 1: ":             {Peers: strings.NewReader("@AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=.ed25519\n")}, // of low order
	} {
		p, err := switchboard.NewPolicy(cfg)
		want = strings.TrimPrefix(want, "revoked: ")
		if err == nil || p != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that says %q", err, want)
		}
	}
	if p, err := switchboard.NewPolicy(switchboard.PolicyConfig{RevokedFile: dir + "/none"}); err != nil || p.Keys() != 0 {
		t.Errorf("nobody is revoked: %v", err)
	}
}

// TestConnectRate is Q-35: a hundred calls in a minute, then rate_limited with
// when to try again; other keys and other methods are as free as before.
func TestConnectRate(t *testing.T) {
	limits := switchboard.Limits{Rates: map[string]switchboard.Rate{"connect": {N: 100, Per: time.Minute}}}
	bubble(t, limits, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=trusted`, `@3 level=trusted rate=2/10`)))
		a, b, c := h.asker(1), h.asker(2), h.asker(3)
		for i := range 100 {
			if got := a.connect(`{"to":"nobody"}`); !strings.Contains(got, "not_found") {
				t.Fatalf("call %d: %s", i+1, got)
			}
		}
		got := a.connect(`{"to":"nobody"}`)
		if want := `0e {"name":"rate_limited","message":"too many calls of connect; try again in 600ms","stack":"","retry_ms":600}`; got != want {
			t.Fatalf("call 101: got %s, want %s", got, want)
		}
		time.Sleep(599 * time.Millisecond)
		if got := a.connect(`{"to":"nobody"}`); !strings.Contains(got, `"retry_ms":1}`) {
			t.Errorf("a moment too early: %s", got)
		}
		time.Sleep(time.Millisecond)
		if got := a.connect(`{"to":"nobody"}`); !strings.Contains(got, "not_found") {
			t.Errorf("after the time that it was told: %s", got)
		}
		if got := a.call("names.get", `{"name":"x"}`); !strings.Contains(got, "not_found") {
			t.Errorf("another method: %s", got)
		}
		if got := b.connect(`{"to":"nobody"}`); !strings.Contains(got, "not_found") {
			t.Errorf("another key: %s", got)
		}
		for i, want := range []string{"not_found", "not_found", `"retry_ms":5000}`} {
			if got := c.connect(`{"to":"nobody"}`); !strings.Contains(got, want) {
				t.Errorf("a rate of its own, call %d: %s", i+1, got)
			}
		}
	})
}

// TestQuotaOfLevel: levels differ in what they may hold; what a session held is
// given back to the last (Leftovers, when the server has stopped).
func TestQuotaOfLevel(t *testing.T) {
	limits := switchboard.Limits{Basic: switchboard.Quota{Lanes: 3}, Lanes: 5, NamesPerTenant: 4, CallBurst: 1000}
	bubble(t, limits, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=basic`, `@2 level=trusted`, `@3 level=verified`, `@4 level=untrusted`)))
		for n, want := range map[byte]int{1: 3, 2: 5} {
			m := h.mux(n)
			for i := range want + 1 {
				p := h.open(m)
				// The reset may be there before it.
				_ = muxrpc.WritePacket(p.lane, muxrpc.Packet{Flags: 0x02, Req: 1, Body: []byte(request("ping", "async", ""))})
				got, err := muxrpc.ReadPacket(p.lane, control.MaxPeerBody)
				if (err == nil) != (i < want) {
					t.Errorf("key %d, lane %d: %s, %v", n, i+1, got.Body, err)
				}
			}
			m.Close()
		}
		time.Sleep(time.Minute)
		for n, want := range map[byte]int{1: 200, 2: 1000, 3: 1000, 4: 100} {
			a := h.asker(n)
			made := 0
			for a.call("ping", "")[:2] == "02" {
				if made++; made > 2*want {
					break
				}
			}
			if got := made; got != want {
				t.Errorf("key %d makes %d calls at once, want %d", n, got, want)
			}
			a.m.Close()
		}
		time.Sleep(time.Minute)
		a := h.asker(2)
		for i := range 5 {
			got := a.call("names.claim", fmt.Sprintf(`{"name":"n%d"}`, i))
			if want := map[bool]string{true: "02 ", false: `06 {"name":"quota"`}[i < 4]; !strings.HasPrefix(got, want) {
				t.Errorf("name %d of the tenant: %s", i+1, got)
			}
		}
		a.call("names.release", `{"name":"n0"}`)
		if got := a.call("names.claim", `{"name":"n4"}`); !strings.HasPrefix(got, "02 ") {
			t.Errorf("after a release: %s", got)
		}
	})
}

// TestQuotaFollowsLevel: a session that runs gets the quota of its new level with
// the policy, not with its next login. What it has stays.
func TestQuotaFollowsLevel(t *testing.T) {
	limits := switchboard.Limits{Basic: switchboard.Quota{Lanes: 3, Held: 300 << 10, NetOpenRate: 1}, Lanes: 5}
	bubble(t, limits, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=trusted`)))
		m := h.mux(1)
		opens := func() bool {
			p := h.open(m)
			err := muxrpc.WritePacket(p.lane, muxrpc.Packet{Flags: 0x02, Req: 1, Body: []byte(request("ping", "async", ""))})
			if err == nil { // the reset may be there already
				_, err = muxrpc.ReadPacket(p.lane, control.MaxPeerBody)
			}
			return err == nil
		}
		for i := range 4 {
			if !opens() {
				t.Fatalf("trusted: lane %d is reset", i+1)
			}
		}
		must(t, h.srv.SetPolicy(rules(`@1 level=basic`, `@2 level=trusted`)))
		if opens() {
			t.Error("basic: a fifth lane is taken, with 3 allowed")
		}
		if m.NumStreams() != 4 {
			t.Errorf("%d lanes are left of 4", m.NumStreams())
		}
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=trusted`)))
		if !opens() || opens() {
			t.Error("trusted again: want the fifth lane, and no sixth")
		}
		m.Close()
	})
}

// TestBudgetFollowsLevel: what may be held for a key that is demoted is less at
// once, in sessions that run.
func TestBudgetFollowsLevel(t *testing.T) {
	limits := switchboard.Limits{Basic: switchboard.Quota{Held: 300 << 10}}
	bubble(t, limits, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=trusted`)))
		a, b := h.asker(1), h.asker(2)
		b.call("names.claim", `{"name":"sink"}`)
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=basic`)))
		if got := h.srv.BudgetOf(seeded(2).Public()); got != 300<<10 {
			t.Errorf("the key may hold %d bytes, want the %d of basic", got, 300<<10)
		}
		if got := h.srv.BudgetOf(seeded(1).Public()); got != 64<<20 {
			t.Errorf("the other key may hold %d bytes, want 64 MiB", got)
		}
		a.m.Close()
		b.m.Close()
	})
}

// TestSetPolicyMoved: a channel that has moved ends at both ends when its caller
// may not talk to the called name any more, and is not adopted again; nor is one
// by a server that knows nothing of it.
func TestSetPolicyMoved(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		id := p.moved()
		lines := []string{`@1 level=trusted talk=org.**`, `@2 level=trusted`}
		must(t, d.srv.SetPolicy(rules(lines...)))
		p.wantQuiet(p.mc)
		lines[0] = `@1 level=trusted see=org.**`
		must(t, d.srv.SetPolicy(rules(lines...)))
		p.wantClose(p.mc, id, "revoked")
		p.wantClose(p.mp, id, "revoked")
		if d.srv.Moved() != 0 {
			t.Errorf("%d channels left", d.srv.Moved())
		}
		for i, want := range map[byte]string{1: "drop", 2: "keep"} {
			n := map[byte]byte{1: 2, 2: 1}[i]
			role := map[byte]string{1: "caller", 2: "callee"}[i]
			id := strings.Repeat(fmt.Sprint(i), 32)
			if got := adopts(t, d.open(d.from(here, i)), 1, entry(id, n, role)); got != want {
				t.Errorf("key %d as the %s: %s, want %s", i, role, got, want)
			}
		}
		must(t, d.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=trusted`)))
		if got := adopts(t, d.open(d.from(here, 1)), 1, entry(strings.Repeat("3", 32), 2, "caller")); got != "keep" {
			t.Errorf("allowed again: %s", got)
		}
	})
}
