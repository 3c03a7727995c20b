package switchboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// onSocket runs f with a server on a Unix socket; login makes a session of the
// n-th key, of which 0 is the server's own.
func onSocket(t *testing.T, f func(h *host, login func(n byte) *mux.Session)) {
	t.Helper()
	srv, err := switchboard.New(switchboard.Config{Key: seeded(0)})
	must(t, err)
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	var all []*mux.Session
	f(&host{t: t, srv: srv}, func(n byte) *mux.Session {
		raw, err := net.Dial("unix", path)
		must(t, err)
		conn := shs.Client(raw, &shs.Config{Key: seeded(n), ServerKey: srv.Key()})
		must(t, conn.Handshake(t.Context()))
		all = append(all, mux.Client(conn, mux.Config{}))
		return all[len(all)-1]
	})
	for _, m := range all {
		m.Close()
	}
	stop()
	wg.Wait()
}

// list asks for a page of channels.
func (p *pair) list(lane *peer, args string) control.ChannelsList {
	p.t.Helper()
	raw, code := p.ask(lane, "channels.list", args)
	if code != "" {
		p.t.Fatalf("channels.list %s: %s", args, code)
	}
	var page control.ChannelsList
	must(p.t, json.Unmarshal(raw, &page))
	return page
}

// Links over Unix sockets, and what callees may say of them; then who sees and
// closes the channel.
func TestUnixLinks(t *testing.T) {
	onSocket(t, func(h *host, login func(n byte) *mux.Session) {
		p := &pair{direct: &direct{host: h}, mc: login(1), mp: login(2), req: 100}
		p.cc, p.cp = h.open(p.mc), h.open(p.mp)
		p.cp.call(1, "names.claim", `{"name":"`+echo+`"}`)
		admin, stranger := h.open(login(0)), h.open(login(3))

		c, q, o := p.connect(`,"direct":["unix","net"],"require":true`, `{"require":true,"direct":{"unix":"/run/x/s","net":40000}}`)
		var res control.ConnectResult
		must(t, json.Unmarshal(c.want(0x0a, -1), &res))
		if fmt.Sprint(o.Direct.Kinds) != "[unix]" || o.Direct.UID == nil || res.Direct == nil || len(res.Direct.Links) != 1 ||
			res.Direct.Links[0].Unix != "/run/x/s" || res.Direct.Links[0].UID == nil {
			t.Errorf("the callee is asked %+v, the caller hears %+v", o.Direct, res.Direct)
		}
		for _, path := range []string{"run/s", "@run/s", `\u0000run`, "/run/../s", "/run//s", "/" + strings.Repeat("x", 107), "/run/s/"} {
			if _, code := p.link(o.Channel, `{"direct":{"unix":"`+path+`"}}`); code != control.Unavailable {
				t.Errorf("path %.20s: %q, want unavailable", path, code)
			}
		}

		c.say("ping")
		q.hear("ping")
		q.say("pongpong")
		c.hear("pongpong")
		for _, args := range []string{`{"all":true}`, `{"all":true,"after":"x"}`} {
			if _, code := p.ask(p.cc, "channels.list", args); code != control.NotAllowed {
				t.Errorf("%s by a caller: %q, want not_allowed", args, code)
			}
		}
		for _, lane := range []*peer{p.cc, p.cp} {
			if _, code := p.ask(lane, "channels.close", `{"channel":"`+o.Channel+`"}`); code != control.NotAllowed {
				t.Errorf("channels.close by an end: %q, want not_allowed", code)
			}
		}
		check := func(state, link string) {
			t.Helper()
			for name, page := range map[string]control.ChannelsList{
				"caller": p.list(p.cc, `{}`), "callee": p.list(p.cp, ``), "administrator": p.list(admin, `{"all":true}`),
			} {
				if len(page.Channels) != 1 || page.More {
					t.Fatalf("the %s sees %+v", name, page)
				}
				ch := page.Channels[0]
				if ch.Channel != o.Channel || ch.Name != echo || ch.State != state || ch.Link != link || ch.In != 4 || ch.Out != 8 || ch.Since == 0 ||
					ch.Caller.ID != seeded(1).Public() || ch.Caller.Session != o.Peer.Session || ch.Callee.ID != seeded(2).Public() || ch.Callee.Session != res.Peer.Session {
					t.Errorf("the %s sees %+v", name, ch)
				}
			}
			for name, lane := range map[string]*peer{"stranger": stranger, "administrator's own": admin} {
				if page := p.list(lane, `{}`); len(page.Channels) != 0 || page.Channels == nil {
					t.Errorf("%s list is %+v", name, page)
				}
			}
			if page := p.list(p.cc, `{"after":"`+o.Channel+`"}`); len(page.Channels) != 0 {
				t.Errorf("behind the last there is %+v", page)
			}
		}
		check("relayed", "")
		if _, code := p.ask(p.cc, "channel.moved", `{"channel":"`+o.Channel+`","link":"unix"}`); code != "" {
			t.Fatal(code)
		}
		check("direct", "unix")

		for args, want := range map[string]control.Code{
			`{"channel":"x"}`: control.BadRequest, `{"channel":"` + strings.Repeat("0", 32) + `"}`: control.NotFound, `{}`: control.BadRequest,
		} {
			if _, code := p.ask(admin, "channels.close", args); code != want {
				t.Errorf("channels.close %s: %q, want %q", args, code, want)
			}
		}
		if raw, code := p.ask(admin, "channels.close", `{"channel":"`+o.Channel+`","reason":"enough"}`); code != "" || string(raw) != "true" {
			t.Errorf("channels.close: %s %q", raw, code)
		}
		p.wantClose(p.mc, o.Channel, "enough")
		p.wantClose(p.mp, o.Channel, "enough")
		if page := p.list(admin, `{"all":true}`); len(page.Channels) != 0 {
			t.Errorf("after that: %+v", page)
		}
	})
}

// The server's own key is an administrator's where it is local, and so is a key
// the line of which says so; others are not.
func TestWhoIsAdmin(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@2 level=basic admin`, `@3 level=verified`)))
		p := &pair{direct: &direct{host: h}}
		for n, want := range map[byte][2]control.Code{0: {"", control.NotFound}, 1: {control.NotAllowed, control.NotAllowed}, 2: {"", control.NotFound}, 3: {control.NotAllowed, control.NotAllowed}} {
			for i, call := range [][2]string{{"channels.list", `{"all":true}`}, {"channels.close", `{"channel":"` + strings.Repeat("0", 32) + `"}`}} {
				if _, code := p.ask(h.lane(n), call[0], call[1]); code != want[i] {
					t.Errorf("%s by key %d: %q, want %q", call[0], n, code, want[i])
				}
			}
		}
	})
}

// A list comes in pages, in the order of ids, each channel once.
func TestChannelsPages(t *testing.T) {
	const n = 4000 // more than a page has room for, and not more than one key may have on its word
	onSocket(t, func(h *host, login func(n byte) *mux.Session) {
		p := &pair{direct: &direct{host: h}}
		want := make(map[string]bool)
		for i := 0; len(want) < n; i++ {
			lane := h.open(login(1))
			for range 5 {
				var entries []string
				for range min(200, n-len(want)) {
					id := fmt.Sprintf("%032x", len(want)*7919%n+1)
					want[id] = true
					entries = append(entries, entry(id, 2, "caller"))
				}
				if len(entries) == 0 {
					break
				}
				if _, code := p.ask(lane, "channel.adopt", `{"channels":[`+strings.Join(entries, ",")+`]}`); code != "" {
					t.Fatal(code)
				}
			}
		}
		for name, lane := range map[string]*peer{"own": h.open(login(1)), "all": h.open(login(0))} {
			after, seen, pages := "", 0, 0
			for more := true; more; pages++ {
				page := p.list(lane, fmt.Sprintf(`{"all":%v,"after":%q}`, name == "all", after))
				for _, ch := range page.Channels {
					if ch.Channel <= after || !want[ch.Channel] || ch.State != "direct" || ch.Callee.Session != "" {
						t.Fatalf("%s: %+v behind %s", name, ch, after)
					}
					after = ch.Channel
					seen++
				}
				more = page.More
			}
			if seen != n || pages < 2 {
				t.Errorf("%s: %d channels on %d pages, want %d on some", name, seen, pages, n)
			}
		}
	})
}
