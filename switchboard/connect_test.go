package switchboard_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/switchboard"
)

const echo = "org.example.echo"

// offered accepts the server's next stream and checks that it is an offer.
func offered(h *host, next func() *peer) (*peer, control.OfferArgs) {
	h.t.Helper()
	p := next()
	var o control.OfferArgs
	if err := control.Decode([]json.RawMessage{arg(h.t, p.want(0x0a, 1))}, &o); err != nil {
		h.t.Fatal(err)
	}
	return p, o
}

// TestChannel opens channels between all kinds of lanes, sends both ways, and
// ends each direction by itself.
func TestChannel(t *testing.T) {
	for _, caller := range []string{"single", "yamux"} {
		for _, callee := range []string{"single", "yamux"} {
			t.Run(caller+" to "+callee, func(t *testing.T) {
				bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
					var c *peer
					if caller == "single" {
						c = h.lane(1)
					} else {
						m := h.mux(1)
						h.open(m).call(1, "names.claim", `{"name":"org.example.caller"}`)
						c = h.open(m)
					}
					connect := request("connect", "duplex", `{"to":"`+echo+`","meta":{"a":[1]}}`)
					var p *peer
					if callee == "single" {
						ctl := h.lane(2)
						ctl.call(1, "names.claim", `{"name":"`+echo+`"}`)
						c.send(0x0a, 1, connect)
						o := arg(t, ctl.want(0x02, 1))
						ctl.send(0x02, -1, "{}")
						p = h.lane(2)
						p.send(0x0a, 1, request("accept", "duplex", fmt.Sprintf(`{"channel":%q,"token":%q}`, field(t, o, "channel"), field(t, o, "token"))))
						p.want(0x0a, -1)
						ctl.lane.Abort() // the channel outlives the session it was offered on
					} else {
						m := h.mux(2)
						h.open(m).call(1, "names.claim", `{"name":"`+echo+`"}`)
						c.send(0x0a, 1, connect)
						var o control.OfferArgs
						p, o = offered(h, func() *peer { return h.next(m) })
						if o.Name != echo || o.Epoch == 0 || o.Peer.ID != seeded(1).Public() || string(o.Meta) != `{"a":[1]}` || o.Token != "" {
							t.Errorf("offer %+v", o)
						}
						if want := map[string]string{"single": "[]", "yamux": "[org.example.caller]"}[caller]; fmt.Sprint(o.Peer.Names) != want {
							t.Errorf("the caller's names are %v, want %s", o.Peer.Names, want)
						}
						p.send(0x0a, -1, "{}")
						p.say("early")
					}
					res := c.want(0x0a, -1)
					if !strings.Contains(string(res), seeded(2).Public().String()) {
						t.Errorf("answer %s", res)
					}
					if callee == "yamux" {
						c.hear("early")
					}
					c.say("ping")
					p.hear("ping")
					c.endWrite()
					p.wantEnd()
					p.say("pong")
					c.hear("pong")
					p.endWrite()
					c.wantEnd()
				})
			})
		}
	}
}

// TestConnectErrors: the first reason that applies, in the order of
// PROTOCOL.md §6.
func TestConnectErrors(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		m := h.mux(2)
		ctl := h.open(m)
		epoch := string(ctl.call(1, "names.claim", `{"name":"`+echo+`"}`))
		caller := h.mux(1)
		for _, tc := range []struct {
			args string
			code control.Code
		}{
			{`{}`, control.NameInvalid},
			{`{"to":"a..b"}`, control.NameInvalid},
			{`{"to":":01"}`, control.NameInvalid},
			{`{"to":"a","timeout_ms":1}`, control.BadRequest},
			{`{"to":":1","epoch":1}`, control.BadRequest},
			{`{"to":"a","meta":"` + strings.Repeat("x", 4<<10) + `"}`, control.BadRequest},
			{`{"to":"nobody","key":"@` + strings.Repeat("A", 43) + `=.ed25519"}`, control.NotFound},
			{`{"to":":999"}`, control.NotFound},
			{`{"to":"` + echo + `","key":"` + seeded(9).Public().String() + `","epoch":1}`, control.PeerMismatch},
			{`{"to":"` + echo + `","key":"` + seeded(2).Public().String() + `","epoch":1}`, control.Stale},
			{`{"to":"` + echo + `","require":true}`, control.Unavailable},
			{`{"to":"` + echo + `","require":true,"direct":["fd","unix","net"]}`, control.Unavailable},
			{`{"to":"` + echo + `","resume":-1}`, control.BadRequest},
		} {
			p := h.open(caller)
			p.send(0x0a, 1, request("connect", "duplex", tc.args))
			p.wantError(0x0e, -1, tc.code)
			p.send(0x0e, 1, "true") // what a stock library says then is dropped
			p.endWrite()
			p.wantEnd()
		}
		if epoch == "" {
			t.Error("no epoch")
		}
	})
}

func TestRefusal(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		m := h.mux(2)
		h.open(m).call(1, "names.claim", `{"name":"`+echo+`"}`)
		c := h.lane(1)
		c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`"}`))
		p, _ := offered(h, func() *peer { return h.next(m) })
		p.send(0x0e, -1, `{"name":"not_allowed","message":"go\u001b[31m away`+strings.Repeat("ä", 200)+`","stack":""}`)
		msg := c.wantError(0x0e, -1, control.Refused)
		if !strings.HasPrefix(msg, "go[31m away") || len(msg) > 256 || !strings.HasSuffix(msg, "ä") {
			t.Errorf("message %q", msg)
		}
		c.wantEnd()

		// A stream that is reset before an answer is a full backlog.
		c = h.lane(1)
		c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`"}`))
		h.next(m).lane.Abort()
		c.wantError(0x0e, -1, control.Busy)
	})
}

// TestOfferEnds: who dies when, while an offer is open.
func TestOfferEnds(t *testing.T) {
	connect := request("connect", "duplex", `{"to":"`+echo+`","timeout_ms":3000}`)
	for _, tc := range []struct {
		name string
		act  func(c, p *peer)
		want control.Code // for the caller; "" if it is gone
		told bool         // the callee on a control lane gets channel.close
	}{
		{"timeout", func(c, p *peer) {}, control.Timeout, true},
		{"the caller dies", func(c, p *peer) { c.lane.Abort() }, "", true},
		{"the caller ends its lane", func(c, p *peer) { c.endWrite() }, "", true},
		{"the caller speaks too early", func(c, p *peer) { c.say("x") }, "", true},
		{"the callee dies", func(c, p *peer) { p.lane.Abort() }, control.PeerGone, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
				ctl := h.lane(2)
				ctl.call(1, "names.claim", `{"name":"`+echo+`"}`)
				c := h.lane(1)
				c.send(0x0a, 1, connect)
				o := arg(t, ctl.want(0x02, 1))
				ctl.send(0x02, -1, "{}")
				tc.act(c, ctl)
				if tc.want != "" {
					c.wantError(0x0e, -1, tc.want)
				} else if got := c.wantCutOrNothing(); got != "" {
					t.Errorf("the caller read %q", got)
				}
				if !tc.told {
					return
				}
				closed := arg(t, ctl.want(0x02, 2))
				if field(t, closed, "channel") != field(t, o, "channel") || field(t, closed, "reason") != "peer_gone" {
					t.Errorf("channel.close %s", closed)
				}
				ctl.send(0x02, -2, "true")
				late := h.lane(2)
				late.send(0x0a, 1, request("accept", "duplex", fmt.Sprintf(`{"channel":%q,"token":%q}`, field(t, o, "channel"), field(t, o, "token"))))
				late.wantError(0x0e, -1, control.NotFound)
			})
			bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
				m := h.mux(2)
				h.open(m).call(1, "names.claim", `{"name":"`+echo+`"}`)
				c := h.lane(1)
				c.send(0x0a, 1, connect)
				p, _ := offered(h, func() *peer { return h.next(m) })
				if tc.want == control.PeerGone {
					m.Close()
				} else {
					tc.act(c, p)
				}
				if tc.want != "" {
					c.wantError(0x0e, -1, tc.want)
				}
				p.wantCut()
			})
		})
	}
}

// TestAccept: one accept fits an offer, all others get one and the same answer.
func TestAccept(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		ctl := h.lane(2)
		ctl.call(1, "names.claim", `{"name":"`+echo+`"}`)
		c := h.lane(1)
		c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`"}`))
		o := arg(t, ctl.want(0x02, 1))
		id, token := field(t, o, "channel"), field(t, o, "token")
		accept := func(n byte, id, token string) *peer {
			p := h.lane(n)
			p.send(0x0a, 1, request("accept", "duplex", fmt.Sprintf(`{"channel":%q,"token":%q}`, id, token)))
			return p
		}
		var answers []string
		for _, p := range []*peer{
			accept(3, id, token),                      // another key
			accept(2, id, strings.Repeat("0", 32)),    // another token
			accept(2, strings.Repeat("0", 32), token), // another channel
			accept(2, strings.ToUpper(id), token),
			accept(2, "", ""),
		} {
			answers = append(answers, p.wantError(0x0e, -1, control.NotFound))
		}
		for _, a := range answers {
			if a != answers[0] {
				t.Errorf("answers differ: %q", answers)
			}
		}
		p := accept(2, id, token) // before the offer's answer: counts as one
		p.want(0x0a, -1)
		c.want(0x0a, -1)
		ctl.send(0x06, -1, `{"name":"refused","message":"","stack":""}`) // ignored now
		p.say("hi")
		c.hear("hi")
		accept(2, id, token).wantError(0x0e, -1, control.NotFound) // a token is good once
	})
}

// TestDeathIsReset: once bound, the death of either lane resets the other,
// which is told why.
func TestDeathIsReset(t *testing.T) {
	for _, victim := range []string{"caller", "callee", "caller's lane", "callee's lane"} {
		t.Run(victim, func(t *testing.T) {
			bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
				mc, mp := h.mux(1), h.mux(2)
				h.open(mp).call(1, "names.claim", `{"name":"`+echo+`"}`)
				c := h.open(mc)
				c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`"}`))
				p, o := offered(h, func() *peer { return h.next(mp) })
				p.send(0x0a, -1, "{}")
				c.want(0x0a, -1)
				c.say("data")
				p.hear("data")
				survivor, sm, reason := p, mp, "peer_gone"
				switch victim {
				case "caller":
					mc.Close()
				case "callee":
					mp.Close()
					survivor, sm = c, mc
				case "caller's lane":
					c.lane.Abort()
					reason = "peer_reset"
				case "callee's lane":
					p.lane.Abort()
					survivor, sm, reason = c, mc, "peer_reset"
				}
				notice := h.next(sm)
				told := arg(t, notice.want(0x02, 1))
				notice.send(0x02, -1, "true")
				if field(t, told, "channel") != o.Channel || field(t, told, "reason") != reason {
					t.Errorf("told %s, want %s", told, reason)
				}
				survivor.wantCut()
			})
		})
	}
}

// TestCallBack: a session id may be called by who shares a channel with it.
func TestCallBack(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		mc, mp := h.mux(1), h.mux(2)
		h.open(mp).call(1, "names.claim", `{"name":"`+echo+`"}`)
		id := field(t, h.open(mc).call(1, "whoami", ""), "session")
		back := func() *peer {
			p := h.open(mp)
			p.send(0x0a, 1, request("connect", "duplex", `{"to":"`+id+`"}`))
			return p
		}
		back().wantError(0x0e, -1, control.NotFound)
		c := h.open(mc)
		c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`"}`))
		p, _ := offered(h, func() *peer { return h.next(mp) })
		p.send(0x0a, -1, "{}")
		c.want(0x0a, -1)
		b := back()
		q, o := offered(h, func() *peer { return h.next(mc) })
		if o.Name != id || o.Epoch != 0 || o.Peer.ID != seeded(2).Public() {
			t.Errorf("offer %+v", o)
		}
		q.send(0x0a, -1, "{}")
		b.want(0x0a, -1)
		for _, x := range []*peer{c, p, b, q} {
			x.endWrite()
		}
		for _, x := range []*peer{c, p, b, q} {
			x.wantEnd()
		}
		time.Sleep(time.Second)
		back().wantError(0x0e, -1, control.NotFound)
	})
}

// TestOpenTimeout: a connect that does not say how long it waits waits as long as the
// server is set to.
func TestOpenTimeout(t *testing.T) {
	for set, want := range map[time.Duration]time.Duration{0: 10 * time.Second, 3 * time.Second: 3 * time.Second} {
		bubble(t, switchboard.Limits{OpenTimeout: set}, func(t *testing.T, h *host) {
			callee, caller := h.asker(1), h.asker(2)
			callee.call("names.claim", `{"name":"n"}`)
			began := time.Now()
			wantAnswer(t, caller.connect(`{"to":"n"}`), true, "timeout") // the callee does not answer
			if took := time.Since(began); took != want {
				t.Errorf("set to %v it was %v", set, took)
			}
			if refused := h.srv.Stats().Refused; refused["timeout"] != 1 || len(refused) != 1 {
				t.Errorf("counted %v", refused)
			}
		})
	}
}

// TestOfferPlaces: connects over the callee's places wait for one, then busy.
func TestOfferPlaces(t *testing.T) {
	bubble(t, switchboard.Limits{OffersPerCaller: 1}, func(t *testing.T, h *host) {
		mc, mp := h.mux(1), h.mux(2)
		h.open(mp).call(1, "names.claim", `{"name":"`+echo+`"}`)
		connect := func(ms int) *peer {
			p := h.open(mc)
			p.send(0x0a, 1, request("connect", "duplex", fmt.Sprintf(`{"to":"%s","timeout_ms":%d}`, echo, ms)))
			return p
		}
		first := connect(60_000)
		p, _ := offered(h, func() *peer { return h.next(mp) })
		connect(500).wantError(0x0e, -1, control.Busy)
		third := connect(60_000)
		time.Sleep(time.Second)
		p.send(0x0a, -1, "{}")
		first.want(0x0a, -1)
		p, _ = offered(h, func() *peer { return h.next(mp) })
		p.send(0x0a, -1, "{}")
		third.want(0x0a, -1)
	})
}

// TestStop: listeners close, everybody is told, open channels get their time.
func TestStop(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		w, idle := h.lane(1), h.lane(3)
		w.deaf = true // on its one lane going_away comes before or behind the end of the watch
		w.send(0x0a, 1, request("names.watch", "source", ""))
		w.want(0x0a, -1)
		idle.call(1, "ping", "")
		mc, mp := h.mux(1), h.mux(2)
		h.open(mp).call(1, "names.claim", `{"name":"`+echo+`"}`)
		w.want(0x0a, -1)
		c := h.open(mc)
		c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`"}`))
		p, _ := offered(h, func() *peer { return h.next(mp) })
		p.send(0x0a, -1, "{}")
		c.want(0x0a, -1)
		pending := h.open(mc)
		pending.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`"}`))
		h.next(mp)

		h.stop()
		began := time.Now()
		w.wantError(0x0e, -1, control.ShuttingDown)
		pending.wantError(0x0e, -1, control.ShuttingDown)
		for _, p := range []*peer{h.next(mc), h.next(mp), idle} {
			if told := arg(t, p.want(0x02, 1)); string(told) != `{"drain_ms":30000}` {
				t.Errorf("told %s", told)
			}
			p.send(0x02, -1, "true")
		}
		idle.hear(strings.Repeat("\x00", 9)) // the muxrpc goodbye
		if _, err := h.local.DialContext(t.Context(), "", ""); err == nil {
			t.Error("the listener is still open")
		}
		c.say("still here")
		p.hear("still here")
		select {
		case <-mc.RemoteGoAway(): // which some libraries take for the end of all streams
			t.Error("go-away came before the channel's time was up")
		default:
		}
		notice := h.next(mc)
		if told := arg(t, notice.want(0x02, 1)); field(t, told, "reason") != "shutting_down" {
			t.Errorf("told %s", told)
		}
		if d := time.Since(began).Round(time.Second); d != 30*time.Second {
			t.Errorf("the channel had %v, want 30 s", d)
		}
		c.wantCut()
		p.wantCut()
	})
}
