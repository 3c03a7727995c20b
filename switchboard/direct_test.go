package switchboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// farFrom is an in-process listener the connections of which come from hosts.
type farFrom struct {
	*switchboard.Local
	hosts chan string
}

func (l farFrom) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7483} }

func (l farFrom) Accept() (net.Conn, error) {
	conn, err := l.Local.Accept()
	if err != nil {
		return nil, err
	}
	return farConn{conn, <-l.hosts}, nil
}

type farConn struct {
	net.Conn
	host string
}

func (c farConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(c.host), Port: 50000}
}
func (farConn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7483} }

// direct is a server the peers of which come over TCP, as far as it knows.
type direct struct {
	*host
	remote farFrom
}

// directBubble runs f with one; keys 1 to 9 may come.
func directBubble(t *testing.T, cfg switchboard.Config, f func(t *testing.T, d *direct)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { runDirect(t, cfg, f) })
}

// runDirect runs f with a server, inside a bubble.
func runDirect(t *testing.T, cfg switchboard.Config, f func(t *testing.T, d *direct)) {
	t.Helper()
	cfg.Key, cfg.Policy = seeded(0), listed(1, 2, 3, 4, 5, 6, 7, 8, 9)
	srv, err := switchboard.New(cfg)
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	d := &direct{host: &host{t: t, srv: srv, local: switchboard.NewLocal(), stop: stop}, remote: farFrom{switchboard.NewLocal(), make(chan string, 1)}}
	d.wg.Go(func() { d.err = srv.Serve(ctx, d.local, d.remote) })
	f(t, d)
	stop()
	d.wg.Wait()
	if left := srv.Leftovers(); d.err != nil || left != "" {
		t.Errorf("Serve returned %v and left %q", d.err, left)
	}
}

// from logs in from a host with a yamux session.
func (d *direct) from(host string, n byte) *mux.Session {
	d.t.Helper()
	d.remote.hosts <- host
	raw, err := d.remote.DialContext(d.t.Context(), "", "")
	must(d.t, err)
	conn := shs.Client(raw, &shs.Config{Key: seeded(n), ServerKey: d.srv.Key()})
	must(d.t, conn.Handshake(d.t.Context()))
	m := mux.Client(conn, mux.Config{})
	d.t.Cleanup(func() { m.Close(); raw.Close() })
	return m
}

// pair is a caller with key 1 and a callee with key 2 that owns echo.
type pair struct {
	*direct
	mc, mp *mux.Session
	cc, cp *peer // their control lanes
	req    int32
}

func (d *direct) pair(callerHost, calleeHost string) *pair {
	p := &pair{direct: d, mc: d.from(callerHost, 1), mp: d.from(calleeHost, 2), req: 100}
	p.cc, p.cp = d.open(p.mc), d.open(p.mp)
	p.cp.call(1, "names.claim", `{"name":"`+echo+`"}`)
	return p
}

// connect calls echo; the callee answers the offer.
func (p *pair) connect(more, answer string) (caller, callee *peer, o control.OfferArgs) {
	p.t.Helper()
	c := p.open(p.mc)
	c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`"`+more+`}`))
	q, o := offered(p.host, func() *peer { return p.next(p.mp) })
	q.send(0x0a, -1, answer)
	return c, q, o
}

// opened makes a channel over the relay.
func (p *pair) opened() (callee *peer, o control.OfferArgs) {
	p.t.Helper()
	c, callee, o := p.connect("", "{}")
	c.want(0x0a, -1)
	return callee, o
}

// ask makes an async call, which may fail.
func (p *pair) ask(lane *peer, method, args string) (json.RawMessage, control.Code) {
	p.t.Helper()
	p.req++
	lane.send(0x02, p.req, request(method, "async", args))
	return answerTo(p.t, lane, p.req)
}

func answerTo(t *testing.T, lane *peer, req int32) (json.RawMessage, control.Code) {
	t.Helper()
	got, err := muxrpc.ReadPacket(lane.lane, control.MaxPeerBody)
	if err != nil || got.Req != -req {
		t.Fatalf("got packet %02x %d %s, %v, want the answer to %d", got.Flags, got.Req, got.Body, err, req)
	}
	if got.Flags&muxrpc.FlagEnd != 0 {
		return nil, control.Code(field(t, got.Body, "name"))
	}
	return got.Body, ""
}

// link asks for a link of a channel; the callee answers.
func (p *pair) link(id, answer string) (json.RawMessage, control.Code) {
	p.t.Helper()
	p.req++
	p.cc.send(0x02, p.req, request("channel.direct", "async", `{"channel":"`+id+`","direct":["fd","unix","net"]}`))
	q := p.next(p.mp)
	asked := arg(p.t, q.want(0x02, 1))
	if field(p.t, asked, "channel") != id {
		p.t.Fatalf("the callee is asked %s", asked)
	}
	q.send(0x02, -1, answer)
	return answerTo(p.t, p.cc, p.req)
}

// moved makes a channel and moves it; its lanes are gone.
func (p *pair) moved() string {
	p.t.Helper()
	c, q, o := p.connect("", "{}")
	c.want(0x0a, -1)
	c.say("ping")
	q.hear("ping")
	if _, code := p.link(o.Channel, `{"direct":{"net":40000}}`); code != "" {
		p.t.Fatalf("channel.direct: %s", code)
	}
	if _, code := p.ask(p.cc, "channel.moved", `{"channel":"`+o.Channel+`","link":"net"}`); code != "" {
		p.t.Fatalf("channel.moved: %s", code)
	}
	for _, lane := range []*peer{c, q} {
		_, err := io.ReadAll(lane.lane)
		if reset, ok := err.(*mux.ResetError); !ok || reset.Reason != mux.ReasonNone {
			p.t.Errorf("a lane of a moved channel ends with %v, want a reset for no reason", err)
		}
	}
	return o.Channel
}

// wantClose reads the channel.close that comes next to a session.
func (p *pair) wantClose(m *mux.Session, id, reason string) {
	p.t.Helper()
	notice := p.next(m)
	told := arg(p.t, notice.want(0x02, 1))
	notice.send(0x02, -1, "true")
	if field(p.t, told, "channel") != id || field(p.t, told, "reason") != reason {
		p.t.Errorf("told %s, want %s %s", told, id, reason)
	}
}

// wantQuiet fails if the server opens a stream to a session.
func (p *pair) wantQuiet(m *mux.Session) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Second)
	defer cancel()
	if st, err := m.Accept(ctx); err == nil {
		p.t.Errorf("told %s, want nothing", (&peer{t: p.t, lane: st}).want(0x02, 1))
	}
}

const (
	here  = "203.0.113.9"
	there = "198.51.100.7"
)

// A connect that asks for links at once, and what of a callee's answer the
// caller gets.
func TestConnectDirect(t *testing.T) {
	const kinds = `,"direct":["fd","unix","net","warp"]`
	const needs = kinds + `,"require":true`
	for _, tc := range []struct {
		name           string
		caller, callee string
		more, answer   string
		want           string // the one link, "" for none, or a code
	}{
		{"a port", here, there, kinds, `{"direct":{"net":40000}}`, there + ":40000"},
		{"a port and what was not asked", here, there, kinds, `{"direct":{"net":40000,"unix":"/a/b","fd":true}}`, there + ":40000"},
		{"no answer", here, there, kinds, `{}`, ""},
		{"an answer that is no object", here, there, kinds, `true`, ""},
		{"an answer of another type", here, there, kinds, `{"direct":{"net":"40000"}}`, ""},
		{"port 22", here, there, kinds, `{"direct":{"net":22}}`, ""},
		{"the server's own port", here, there, kinds, `{"direct":{"net":7483}}`, ""},
		{"a host", here, there, kinds, `{"direct":{"net":40000,"host":"10.0.0.1"}}`, there + ":40000"},
		{"both loopback", "127.0.0.1", "127.0.0.1", kinds, `{"direct":{"net":40000}}`, "127.0.0.1:40000"},
		{"require", here, there, needs, `{"require":true,"direct":{"net":40000}}`, there + ":40000"},
		{"require, no answer", here, there, needs, `{}`, "unavailable"},
		{"require, not agreed", here, there, needs, `{"direct":{"net":40000}}`, "unavailable"},
		{"require, no links", here, there, needs, `{"require":true}`, "unavailable"},
		{"require, port 22", here, there, needs, `{"require":true,"direct":{"net":22}}`, "unavailable"},
		{"require, no port", here, there, needs, `{"require":true,"direct":{"net":0}}`, "unavailable"},
		{"require, an answer that is none", here, there, needs, `7`, "unavailable"},
		{"sealed", here, there, `,"sealed":true`, `{"sealed":true}`, ""},
		{"sealed, not agreed", here, there, `,"sealed":true`, `{}`, "unavailable"},
		{"sealed, an answer of another type", here, there, `,"sealed":true`, `{"sealed":"true"}`, "unavailable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
				p := d.pair(tc.caller, tc.callee)
				c, q, o := p.connect(tc.more, tc.answer)
				if (o.Direct != nil) != strings.Contains(tc.more, "direct") || o.Require != strings.Contains(tc.more, "require") || o.Sealed != strings.Contains(tc.more, "sealed") {
					t.Errorf("offer %+v for %s", o, tc.more)
				}
				if o.Direct != nil && (fmt.Sprint(o.Direct.Kinds) != "[net]" || o.Direct.UID != nil || o.Direct.Secret == (control.Secret{})) {
					t.Errorf("ask %+v", o.Direct)
				}
				if tc.want == "unavailable" {
					c.wantError(0x0e, -1, control.Unavailable)
					q.wantCut()
					return
				}
				var res control.ConnectResult
				must(t, json.Unmarshal(c.want(0x0a, -1), &res))
				var got string
				if res.Direct != nil {
					got = res.Direct.Links[0].Net
					if len(res.Direct.Links) != 1 || res.Direct.Secret != o.Direct.Secret || res.Direct.Survive {
						t.Errorf("links %+v", res.Direct)
					}
				}
				if got != tc.want || res.Sealed != o.Sealed {
					t.Errorf("got %q, sealed %v, want %q", got, res.Sealed, tc.want)
				}
				c.say("still")
				q.hear("still")
			})
		})
	}
}

// Where no link can be, the callee is not asked for one; who requires one is
// refused before the callee hears of it.
func TestConnectDirectImpossible(t *testing.T) {
	none := switchboard.Config{DirectKinds: []channel.Kind{}}
	unix := switchboard.Config{DirectKinds: []channel.Kind{channel.Unix}}
	hook := switchboard.Config{Direct: func(q switchboard.DirectQuery) switchboard.DirectGrant {
		if q.Caller == seeded(1).Public() && q.Callee == seeded(2).Public() && q.Name == echo {
			return switchboard.DirectGrant{Survive: true}
		}
		return switchboard.DirectGrant{Kinds: []channel.Kind{channel.Net}}
	}}
	for _, tc := range []struct {
		name           string
		cfg            switchboard.Config
		caller, callee string
		kinds          string
	}{
		{"a link-local callee", switchboard.Config{}, here, "169.254.169.254", `"net"`},
		{"a loopback callee", switchboard.Config{}, here, "127.0.0.1", `"net"`},
		{"an IPv6 loopback callee", switchboard.Config{}, here, "::1", `"net"`},
		{"no kind", switchboard.Config{}, here, there, ``},
		{"other kinds", switchboard.Config{}, here, there, `"unix","fd","warp"`},
		{"nothing allowed", none, here, there, `"net"`},
		{"only unix allowed", unix, here, there, `"net","unix"`},
		{"the rule says no", hook, here, there, `"net"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			directBubble(t, tc.cfg, func(t *testing.T, d *direct) {
				p := d.pair(tc.caller, tc.callee)
				c := p.open(p.mc)
				c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`","require":true,"direct":[`+tc.kinds+`]}`))
				c.wantError(0x0e, -1, control.Unavailable)
				c, _, o := p.connect(`,"direct":[`+tc.kinds+`]`, `{"direct":{"net":40000}}`)
				if res := c.want(0x0a, -1); o.Direct != nil || strings.Contains(string(res), "direct") {
					t.Errorf("the offer asks %+v, the caller hears %s", o.Direct, res)
				}
				if _, code := p.ask(p.cc, "channel.direct", `{"channel":"`+o.Channel+`","direct":[`+tc.kinds+`]}`); code != control.Unavailable {
					t.Errorf("channel.direct: %q, want unavailable", code)
				}
			})
		})
	}
}

// Lanes that are no yamux streams have no links.
func TestDirectNeedsYamux(t *testing.T) {
	directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
		p := d.pair(here, there)
		d.remote.hosts <- here
		single, err := d.dialFar(d.remote.Local, 3)
		must(t, err)
		single.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`","require":true,"direct":["net"]}`))
		single.wantError(0x0e, -1, control.Unavailable)

		d.remote.hosts <- here
		callee, err := d.dialFar(d.remote.Local, 3)
		must(t, err)
		callee.call(1, "names.claim", `{"name":"single"}`)
		c := p.open(p.mc)
		c.send(0x0a, 1, request("connect", "duplex", `{"to":"single","require":true,"direct":["net"]}`))
		c.wantError(0x0e, -1, control.Unavailable)
	})
}

// A callee without yamux seals too: its word may come behind its accept, and
// without it there is no channel.
func TestSealedOnControl(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		early, ok    bool
	}{
		{"the answer first", `{"sealed":true}`, false, true},
		{"the accept first", `{"sealed":true}`, true, true},
		{"the accept first, not agreed", `{}`, true, false},
		{"not agreed", `{}`, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
				ctl := h.lane(2)
				ctl.call(1, "names.claim", `{"name":"`+echo+`"}`)
				c := h.lane(1)
				c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`","sealed":true}`))
				o := arg(t, ctl.want(0x02, 1))
				if !strings.Contains(string(o), `"sealed":true`) {
					t.Errorf("offer %s", o)
				}
				if !tc.early {
					ctl.send(0x02, -1, tc.answer)
					synctest.Wait()
				}
				p := h.lane(2)
				p.send(0x0a, 1, request("accept", "duplex", fmt.Sprintf(`{"channel":%q,"token":%q}`, field(t, o, "channel"), field(t, o, "token"))))
				synctest.Wait()
				if tc.early {
					ctl.send(0x02, -1, tc.answer)
				}
				if !tc.ok {
					c.wantError(0x0e, -1, control.Unavailable)
					p.wantCutOrNothing()
					return
				}
				p.want(0x0a, -1)
				if res := c.want(0x0a, -1); !strings.Contains(string(res), `"sealed":true`) {
					t.Errorf("the caller hears %s", res)
				}
				c.say("hi")
				p.hear("hi")
			})
		})
	}
}
