package switchboard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/switchboard"
)

// onlyListed is a policy in which only who has a line may come.
func onlyListed(lines ...string) *switchboard.Policy {
	return mustPolicy(switchboard.PolicyConfig{Peers: peers(lines...), Local: "refuse"})
}

// until is the option of a line that is good for so long.
func until(d time.Duration) string {
	return "expires=" + policy.FormatExpires(time.Now().Add(d).UnixMilli())
}

// A name that its owner may not own any more is not handed to a waiter that is out
// itself, not even for a moment.
func TestNameSkipsWhoIsOut(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(onlyListed(`@1 level=trusted`, `@2 level=trusted`, `@3 level=trusted`)))
		first, second, third := h.asker(1), h.asker(2), h.asker(3)
		first.call("names.claim", `{"name":"a"}`)
		second.call("names.claim", `{"name":"a","queue":true}`)
		third.call("names.claim", `{"name":"a","queue":true}`)
		w, _ := third.watch("")
		must(t, h.srv.SetPolicy(onlyListed(`@1 level=trusted own=b`, `@3 level=trusted`)))
		if ev, err := readEvent(w); err != nil || ev.Type != "moved" || ev.Entry.ID != seeded(3).Public() {
			t.Errorf("watched %+v, %v", ev, err)
		}
	})
}

// A name is not held for a key that may not come back: not for one that is revoked,
// and not for one in whose place another stands, when its time is over.
func TestNoHoldForWhoIsOut(t *testing.T) {
	bubble(t, switchboard.Limits{NameHold: time.Hour}, func(t *testing.T, h *host) {
		old := `@1 level=trusted ` + until(10*time.Second) + ` next=` + seeded(2).Public().String()
		must(t, h.srv.SetPolicy(onlyListed(old, `@2 level=trusted`, `@3 level=trusted`)))
		first, second, third := h.asker(1), h.asker(2), h.asker(3)
		first.call("names.claim", `{"name":"a"}`)
		third.call("names.claim", `{"name":"b"}`)
		second.session() // its lane stays
		time.Sleep(10 * time.Second)
		<-first.m.Done()
		if got := second.call("names.claim", `{"name":"a"}`); !strings.HasPrefix(got, "02 ") {
			t.Errorf("the name of the key that it has replaced: %s", got)
		}
		must(t, h.srv.SetPolicy(onlyListed(`@2 level=trusted`)))
		<-third.m.Done()
		if got := second.call("names.claim", `{"name":"b"}`); !strings.HasPrefix(got, "02 ") {
			t.Errorf("the name of a key that is out: %s", got)
		}
	})
}
