package switchboard_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/switchboard"
)

// entry is one channel in a channel.adopt.
func entry(id string, peer byte, role string) string {
	return fmt.Sprintf(`{"channel":%q,"peer":%q,"role":%q,"name":%q,"link":"net"}`, id, seeded(peer).Public(), role, echo)
}

// adopts says what the server answers to an adopt of one channel.
func adopts(t *testing.T, lane *peer, req int32, entry string) string {
	t.Helper()
	lane.send(0x02, req, request("channel.adopt", "async", `{"channels":[`+entry+`]}`))
	raw, code := answerTo(t, lane, req)
	if code != "" {
		return string(code)
	}
	var res control.AdoptResult
	must(t, json.Unmarshal(raw, &res))
	if len(res.Keep)+len(res.Drop) != 1 || res.Keep == nil || res.Drop == nil {
		t.Errorf("answer %s", raw)
	}
	if len(res.Keep) == 1 {
		return "keep"
	}
	return "drop"
}

// A move is the caller's to tell, of a link that it was offered; neither end
// hears of an error.
func TestMoved(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		stranger := d.open(d.from(here, 3))
		q, o := p.opened()
		moved := `{"channel":"` + o.Channel + `","link":"net"}`
		for _, tc := range []struct {
			name string
			lane *peer
			args string
			want control.Code
		}{
			{"before any link was offered", p.cc, moved, control.NotFound},
			{"unknown", p.cc, `{"channel":"` + channel.NewID().String() + `","link":"net"}`, control.NotFound},
			{"no id", p.cc, `{"channel":"x","link":"net"}`, control.BadRequest},
			{"an unknown kind", p.cc, `{"channel":"` + o.Channel + `","link":"warp"}`, control.BadRequest},
			{"no kind", p.cc, `{"channel":"` + o.Channel + `"}`, control.BadRequest},
		} {
			if _, code := p.ask(tc.lane, "channel.moved", tc.args); code != tc.want {
				t.Errorf("%s: %q, want %q", tc.name, code, tc.want)
			}
		}
		if _, code := p.link(o.Channel, `{"direct":{"net":40000}}`); code != "" {
			t.Fatal(code)
		}
		for _, lane := range []*peer{stranger, p.cp} {
			if _, code := p.ask(lane, "channel.moved", moved); code != control.NotFound {
				t.Errorf("by anybody but the caller: %q, want not_found", code)
			}
		}
		if _, code := p.ask(p.cc, "channel.moved", `{"channel":"`+o.Channel+`","link":"unix"}`); code != control.NotFound {
			t.Errorf("of a kind that was not offered: %q, want not_found", code)
		}
		q.say("still on the relay")
		if _, code := p.ask(p.cc, "channel.moved", moved); code != "" {
			t.Fatal(code)
		}
		q.wantCut()
		p.wantQuiet(p.mc)
		p.wantQuiet(p.mp)
		if _, code := p.ask(p.cc, "channel.moved", moved); code != control.NotFound {
			t.Errorf("moved twice: %q, want not_found", code)
		}

		// A session may be called back while it shares a channel that has moved.
		back := d.open(p.mp)
		back.send(0x0a, 1, request("connect", "duplex", `{"to":"`+o.Peer.Session+`"}`))
		d.next(p.mc).send(0x0e, -1, `{"name":"refused","message":"","stack":""}`)
		back.wantError(0x0e, -1, control.Refused)

		closed := `{"channel":"` + o.Channel + `","reason":"","sent":1,"received":2}`
		for i, tc := range []struct {
			lane *peer
			want control.Code
		}{{stranger, control.NotFound}, {p.cp, ""}, {p.cp, control.NotFound}, {p.cc, ""}, {p.cc, control.NotFound}} {
			if _, code := p.ask(tc.lane, "channel.closed", closed); code != tc.want {
				t.Errorf("channel.closed %d: %q, want %q", i, code, tc.want)
			}
		}
		if n := d.srv.Moved(); n != 0 {
			t.Errorf("%d channels are left", n)
		}
	})
}

// The callee may be through before the caller has said that the channel moved.
func TestClosedBeforeMoved(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		_, o := p.opened()
		closed := `{"channel":"` + o.Channel + `","sent":1,"received":2}`
		if _, code := p.ask(p.cp, "channel.closed", closed); code != control.NotFound {
			t.Errorf("of a channel that has no link: %q", code)
		}
		p.link(o.Channel, `{"direct":{"net":40000}}`)
		for i, want := range []control.Code{"", control.NotFound} {
			if _, code := p.ask(p.cp, "channel.closed", closed); code != want {
				t.Errorf("channel.closed %d: %q, want %q", i, code, want)
			}
		}
		if _, code := p.ask(p.cc, "channel.moved", `{"channel":"`+o.Channel+`","link":"net"}`); code != "" || d.srv.Moved() != 1 {
			t.Errorf("channel.moved: %q, %d channels", code, d.srv.Moved())
		}
		if _, code := p.ask(p.cc, "channel.closed", closed); code != "" || d.srv.Moved() != 0 {
			t.Errorf("channel.closed: %q, %d channels", code, d.srv.Moved())
		}
		p.wantQuiet(p.mc)
		p.wantQuiet(p.mp)
	})
}

// channel.direct is the caller's too; a callee that does not answer costs 5 s.
func TestChannelDirect(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		stranger := d.open(d.from(here, 3))
		q, o := p.opened()
		args := `{"channel":"` + o.Channel + `","direct":["net"]}`
		for _, lane := range []*peer{stranger, p.cp} {
			if _, code := p.ask(lane, "channel.direct", args); code != control.NotFound {
				t.Errorf("by anybody but the caller: %q, want not_found", code)
			}
		}
		for args, want := range map[string]control.Code{
			`{"channel":"x","direct":["net"]}`:                                 control.BadRequest,
			`{"channel":"` + o.Channel + `","direct":"net"}`:                   control.BadRequest,
			`{"channel":"` + o.Channel + `"}`:                                  control.Unavailable,
			`{"channel":"` + channel.NewID().String() + `","direct":["net"]}`:  control.NotFound,
			`{"channel":"` + o.Channel + `","direct":["net"],"resume":-1}`:     control.BadRequest,
			`{"channel":"` + o.Channel + `","direct":["unix","fd","warp",""]}`: control.Unavailable,
		} {
			if _, code := p.ask(p.cc, "channel.direct", args); code != want {
				t.Errorf("%s: %q, want %q", args, code, want)
			}
		}
		for _, answer := range []string{`{}`, `true`, `{"direct":{"net":22}}`, `{"direct":{"unix":"/a/b"}}`, `{"direct":[]}`} {
			if _, code := p.link(o.Channel, answer); code != control.Unavailable {
				t.Errorf("answer %s: %q, want unavailable", answer, code)
			}
		}
		p.cc.send(0x02, 7, request("channel.direct", "async", args))
		began := time.Now()
		late := d.next(p.mp)
		late.want(0x02, 1)
		if _, code := answerTo(t, p.cc, 7); code != control.Timeout || time.Since(began) != 5*time.Second {
			t.Errorf("a callee that says nothing: %q after %v", code, time.Since(began))
		}
		late.wantCut()
		q.lane.Abort()
		synctest.Wait()
		if _, code := p.ask(p.cc, "channel.direct", args); code != control.NotFound {
			t.Errorf("of a channel that is over: %q", code)
		}
	})
}

// A key has 16 attempts at a time; a move, and 15 s, free a place.
func TestSecrets(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		_, o := p.opened()
		_, other := p.opened()
		args := `{"channel":"` + o.Channel + `","direct":["net"]}`
		if _, code := p.link(other.Channel, `{"direct":{"net":40000}}`); code != "" {
			t.Fatal(code)
		}
		for i := range 15 {
			if _, code := p.link(o.Channel, `{"direct":{"net":40000}}`); code != "" {
				t.Fatalf("attempt %d: %q", i, code)
			}
		}
		if _, code := p.ask(p.cc, "channel.direct", args); code != control.Busy {
			t.Errorf("attempt 17: %q, want busy", code)
		}
		if over := d.srv.Stats().Over; over["attempts"] != 1 || len(over) != 1 {
			t.Errorf("counted %v", over)
		}
		c := d.open(p.mc)
		c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`","require":true,"direct":["net"]}`))
		c.wantError(0x0e, -1, control.Busy)
		c, _, asked := p.connect(`,"direct":["net"]`, "{}") // without require it stays on the relay
		if c.want(0x0a, -1); asked.Direct != nil {
			t.Errorf("the callee is asked %+v", asked.Direct)
		}
		if _, code := p.ask(p.cc, "channel.moved", `{"channel":"`+other.Channel+`","link":"net"}`); code != "" {
			t.Fatal(code)
		}
		if _, code := p.link(o.Channel, `{"direct":{"net":40000}}`); code != "" {
			t.Errorf("after a move: %q", code)
		}
		if _, code := p.ask(p.cc, "channel.direct", args); code != control.Busy {
			t.Errorf("and once more: %q, want busy", code)
		}
		time.Sleep(15 * time.Second)
		if _, code := p.link(o.Channel, `{"direct":{"net":40000}}`); code != "" {
			t.Errorf("after 15 s: %q", code)
		}
	})
}

// Both can be set.
func TestSecretsSet(t *testing.T) {
	cfg := switchboard.Config{Limits: switchboard.Limits{Attempts: 1, AttemptLife: 3 * time.Second}}
	directBubble(t, cfg, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		_, o := p.opened()
		for range 2 {
			if _, code := p.link(o.Channel, `{"direct":{"net":40000}}`); code != "" {
				t.Fatal(code)
			}
			time.Sleep(2 * time.Second)
			if _, code := p.ask(p.cc, "channel.direct", `{"channel":"`+o.Channel+`","direct":["net"]}`); code != control.Busy {
				t.Errorf("a second attempt: %q, want busy", code)
			}
			time.Sleep(time.Second)
		}
	})
}

// The time that an end may be away can be set, and libraries are told.
func TestDirectLease(t *testing.T) {
	for lease, told := range map[time.Duration]string{0: "", time.Minute: "", 5 * time.Second: `,"lease_ms":5000`} {
		directBubble(t, switchboard.Config{Limits: switchboard.Limits{DirectLease: lease}}, func(t *testing.T, d *direct) {
			p := d.pair(here, there)
			if me, _ := p.ask(p.cc, "whoami", ""); !strings.HasSuffix(string(me), told+"}}") || strings.Contains(string(me), "lease") != (told != "") {
				t.Errorf("with %v: %s", lease, me)
			}
			id := p.moved()
			p.mp.Close()
			began := time.Now()
			p.wantClose(p.mc, id, "peer_gone")
			if took := time.Since(began).Round(time.Second); took != cmp.Or(lease, time.Minute) {
				t.Errorf("with %v it ended after %v", lease, took)
			}
		})
	}
}

// A moved channel outlives its sessions for 60 s; an end that comes back in time
// has it again.
func TestMovedSessionEnds(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		id := p.moved()
		p.mc.Close()
		p.wantQuiet(p.mp)
		time.Sleep(58 * time.Second)
		p.mc = d.from(here, 1)
		p.cc = d.open(p.mc)
		for entry, want := range map[string]string{
			entry(id, 2, "callee"): "drop",
			entry(id, 3, "caller"): "drop",
			entry(id, 1, "caller"): "drop",
		} {
			if got := adopts(t, p.cc, 1, entry); got != want {
				t.Errorf("%s: %s, want %s", entry, got, want)
			}
		}
		if got := adopts(t, d.open(d.from(here, 3)), 1, entry(id, 2, "caller")); got != "drop" {
			t.Errorf("adopted by a stranger: %s", got)
		}
		for range 2 { // again is as well
			if got := adopts(t, p.cc, 2, entry(id, 2, "caller")); got != "keep" {
				t.Errorf("adopted by its key: %s", got)
			}
		}
		time.Sleep(2 * time.Minute)
		p.wantQuiet(p.mp)
		p.wantQuiet(p.mc)

		p.mp.Close()
		began := time.Now()
		p.wantClose(p.mc, id, "peer_gone")
		if took := time.Since(began).Round(time.Second); took != time.Minute || d.srv.Moved() != 0 {
			t.Errorf("told after %v, %d channels left", took, d.srv.Moved())
		}
		if got := adopts(t, d.open(d.from(there, 2)), 1, entry(channel.ID{}.String()[1:], 1, "callee")); got != "bad_request" {
			t.Errorf("an id that is none: %s", got)
		}
	})
}

// What the rule lets survive is not ended after 60 s.
func TestMovedSurvives(t *testing.T) {
	cfg := switchboard.Config{Direct: func(switchboard.DirectQuery) switchboard.DirectGrant {
		return switchboard.DirectGrant{Kinds: []channel.Kind{channel.Net}, Survive: true}
	}}
	directBubble(t, cfg, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		id := p.moved()
		p.mc.Close()
		time.Sleep(10 * time.Minute)
		p.wantQuiet(p.mp)
		p.mc = d.from(here, 1)
		if got := adopts(t, d.open(p.mc), 1, entry(id, 2, "caller")); got != "keep" {
			t.Errorf("adopted: %s", got)
		}
	})
}

// A restarted server takes the channels of the one before it from their ends.
func TestAdoptAfterRestart(t *testing.T) {
	id := channel.NewID().String()
	caller, callee := entry(id, 2, "caller"), entry(id, 1, "callee")
	for _, tc := range []struct {
		name         string
		first        byte // whose key
		firstEntry   string
		second       byte
		secondEntry  string
		want         string
		ended, afoot bool // the first is told after 60 s; the channel lives on
	}{
		{"the caller first", 1, caller, 2, callee, "keep", false, true},
		{"the callee first", 2, callee, 1, caller, "keep", false, true},
		{"the wrong role", 1, caller, 2, entry(id, 1, "caller"), "drop", true, false},
		{"the wrong peer", 1, caller, 2, entry(id, 3, "callee"), "drop", true, false},
		{"the wrong key", 1, caller, 3, entry(id, 1, "callee"), "drop", true, false},
		{"another key's end", 1, caller, 3, caller, "drop", true, false},
		{"another channel", 1, caller, 2, entry(channel.NewID().String(), 1, "callee"), "keep", true, false},
		{"one end alone", 2, callee, 0, "", "", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
				p := &pair{direct: d}
				first := d.from(here, tc.first)
				if got := adopts(t, d.open(first), 1, tc.firstEntry); got != "keep" {
					t.Errorf("the first: %s", got)
				}
				began := time.Now()
				time.Sleep(30 * time.Second)
				if tc.second != 0 {
					if got := adopts(t, d.open(d.from(there, tc.second)), 1, tc.secondEntry); got != tc.want {
						t.Errorf("the second: %s, want %s", got, tc.want)
					}
				}
				if tc.ended {
					p.wantClose(first, id, "peer_gone")
					if took := time.Since(began).Round(time.Second); took != time.Minute {
						t.Errorf("told after %v", took)
					}
				} else {
					time.Sleep(2 * time.Minute)
					p.wantQuiet(first)
				}
				if n := d.srv.Moved(); n > 0 != (tc.afoot || tc.want == "keep") {
					t.Errorf("%d channels are left", n)
				}
			})
		})
	}
}

// A session has at most 1,024 moved channels, unless set, and a bad entry spoils its
// call.
func TestAdoptLimits(t *testing.T) {
	for _, set := range []int{0, 3} {
		t.Run(fmt.Sprint(set), func(t *testing.T) { adoptLimits(t, set) })
	}
}

func adoptLimits(t *testing.T, set int) {
	directBubble(t, switchboard.Config{Limits: switchboard.Limits{Moved: set}}, func(t *testing.T, d *direct) {
		lane, most := d.open(d.from(here, 1)), cmp.Or(set, 1024)
		for i := range most + 1 {
			want := "keep"
			if i == most {
				want = "drop"
			}
			if got := adopts(t, lane, int32(i+1), entry(channel.NewID().String(), 2, "caller")); got != want {
				t.Fatalf("channel %d: %s, want %s", i, got, want)
			}
		}
		if over := d.srv.Stats().Over; over["moved"] != 1 || len(over) != 1 {
			t.Errorf("counted %v", over)
		}
		for _, bad := range []string{`{}`, `7`, entry("00", 2, "caller"), entry(channel.NewID().String(), 2, "owner")} {
			if got := adopts(t, lane, 2000, bad); got != "bad_request" {
				t.Errorf("%s: %s", bad, got)
			}
		}
	})
}

// The rules are asked again when a channel is adopted.
func TestAdoptDenied(t *testing.T) {
	kinds := []channel.Kind{channel.Net}
	cfg := switchboard.Config{Direct: func(q switchboard.DirectQuery) switchboard.DirectGrant {
		if q.Caller != seeded(1).Public() || q.Callee != seeded(2).Public() || q.Name != echo {
			panic(fmt.Sprintf("asked %+v", q))
		}
		return switchboard.DirectGrant{Kinds: kinds}
	}}
	directBubble(t, cfg, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		id := p.moved()
		kinds = nil
		p.mp.Close()
		synctest.Wait()
		if got := adopts(t, d.open(d.from(there, 2)), 1, entry(id, 1, "callee")); got != "drop" {
			t.Errorf("adopted against the rules: %s", got)
		}
		p.wantClose(p.mc, id, "revoked")
		if n := d.srv.Moved(); n != 0 {
			t.Errorf("%d channels are left", n)
		}
	})
}
