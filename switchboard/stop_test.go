package switchboard_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/switchboard"
)

// TestStopReason: the resets at a stop say so at both ends of every channel,
// whoever of those that take part in it comes first.
func TestStopReason(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		mc, mp := h.mux(1), h.mux(2)
		h.open(mp).call(1, "names.claim", `{"name":"`+echo+`"}`)
		ends := make(map[string]*peer)
		for i := range 50 {
			c := h.open(mc)
			c.send(0x0a, 1, request("connect", "duplex", `{"to":"`+echo+`"}`))
			p, _ := offered(h, func() *peer { return h.next(mp) })
			p.send(0x0a, -1, "{}")
			c.want(0x0a, -1)
			ends[fmt.Sprint("caller ", i)], ends[fmt.Sprint("callee ", i)] = c, p
		}
		h.stop()
		for what, p := range ends {
			_, err := io.ReadAll(p.lane)
			if reset, ok := errors.AsType[*mux.ResetError](err); !ok || reset.Reason != mux.ReasonShutdown {
				t.Errorf("%s: ended with %v, want a reset for the server's stop", what, err)
			}
		}
	})
}

// A server that stops gives nobody more time than the rules do: who is out loses its
// channels within a second, and so does who may not talk any more.
func TestSetPolicyAtStop(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted own=a`, `@2 level=trusted talk=a`, `@3 level=trusted talk=a`, `@4 level=trusted talk=a`)))
		owner, out, mute, other := h.asker(1), h.asker(2), h.asker(3), h.asker(4)
		owner.call("names.claim", `{"name":"a"}`)
		co, po, _ := channelTo(h, out, owner, "a")
		cm, pm, _ := channelTo(h, mute, owner, "a")
		c, p, _ := channelTo(h, other, owner, "a")
		h.stop()
		h.next(owner.m).want(0x02, 1) // going_away
		began := time.Now()
		must(t, h.srv.SetPolicy(revoking(t, 2, `@1 level=trusted own=a`, `@2 level=trusted talk=a`, `@3 level=trusted talk=b`, `@4 level=trusted talk=a`)))
		for _, end := range []*peer{co, po, cm, pm} {
			end.wantCut()
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("after %v", took)
		}
		c.say("still here")
		p.hear("still here")
	})
}

// revoking is a policy of lines that refuses the n-th key.
func revoking(t *testing.T, n byte, lines ...string) *switchboard.Policy {
	file := filepath.Join(t.TempDir(), "revoked_peers")
	must(t, os.WriteFile(file, []byte(seeded(n).Public().String()+"\n"), 0o600))
	return mustPolicy(switchboard.PolicyConfig{Peers: peers(lines...), RevokedFile: file})
}
