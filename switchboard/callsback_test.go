package switchboard_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/switchboard"
)

// callBack makes a channel from the callee of a pair to its caller's session.
func (p *pair) callBack() (c, q *peer, id string) {
	p.t.Helper()
	who, _ := p.ask(p.cc, "whoami", "")
	c = p.open(p.mp)
	c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+field(p.t, who, "session")+`"}`))
	q, o := offered(p.host, func() *peer { return p.next(p.mc) })
	q.send(0x0a, -1, "{}")
	c.want(0x0a, -1)
	return c, q, o.Channel
}

// What calls back ends with the last channel that brought the two together, whether
// either goes over the server or not.
func TestCallsBackEndWithMoved(t *testing.T) {
	for _, moves := range []bool{false, true} {
		t.Run(fmt.Sprintf("moves=%v", moves), func(t *testing.T) {
			directBubble(t, switchboard.Config{}, func(t *testing.T, d *direct) {
				p := d.pair(here, there)
				first := p.moved()
				second := p.moved()
				c, q, id := p.callBack()
				if moves {
					p.cp.send(0x02, 7, request("channel.direct", "async", `{"channel":"`+id+`","direct":["net"]}`))
					link := p.next(p.mc)
					link.want(0x02, 1)
					link.send(0x02, -1, `{"direct":{"net":40001}}`)
					if _, code := answerTo(t, p.cp, 7); code != "" {
						t.Fatal(code)
					}
					p.cp.call(8, "channel.moved", `{"channel":"`+id+`","link":"net"}`)
				}
				must(t, d.srv.SetPolicy(rules(`@1 level=trusted talk=org.**`, `@2 level=trusted`))) // as much as it needs
				p.wantQuiet(p.mc)
				must(t, d.srv.SetPolicy(rules(`@1 level=trusted see=org.**`, `@2 level=trusted`)))
				for _, m := range []*mux.Session{p.mc, p.mp} {
					told := map[string]bool{}
					for range 3 {
						n := p.next(m)
						told[field(t, arg(t, n.want(0x02, 1)), "channel")] = true
						n.send(0x02, -1, "true")
					}
					if !told[first] || !told[second] || !told[id] {
						t.Errorf("told of %v, want %s, %s and %s", told, first, second, id)
					}
				}
				if !moves {
					c.wantCut()
					q.wantCut()
				}
				if n := d.srv.Moved(); n != 0 {
					t.Errorf("%d channels left", n)
				}
			})
		})
	}
}

// Who was called may call back while a channel that brought the two together stands,
// and not on the strength of a call back.
func TestCallsBackNoLonger(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=untrusted own=x`)))
		caller, callee := h.asker(1), h.asker(2)
		callee.call("names.claim", `{"name":"x"}`)
		c, p, _ := channelTo(h, caller, callee, "x")
		back, answered, _ := channelTo(h, callee, caller, caller.session())
		c.endWrite()
		p.endWrite()
		c.wantEnd()
		p.wantEnd()
		synctest.Wait()
		if got := callee.connect(`{"to":"` + caller.session() + `"}`); !strings.Contains(got, "not_found") {
			t.Errorf("called back again: %s", got)
		}
		back.say("on")
		answered.hear("on")
	})
}
