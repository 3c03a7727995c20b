package switchboard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/switchboard"
)

// A peer of the server's user whose line expires has the rights of one without a
// line, and its watch is told.
func TestWatchHearsOfExpiry(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted see=a `+until(10*time.Second), `@2 level=trusted tenant=beta`)))
		self, one := h.asker(0), h.asker(1)
		self.call("names.claim", `{"name":"b"}`)
		one.session() // its lane stays
		w, began := one.watch("")
		if strings.Contains(began, "connected") {
			t.Fatalf("it sees %s", began)
		}
		time.Sleep(11 * time.Second)
		if got := one.call("names.list", ""); !strings.Contains(got, `"b"`) {
			t.Fatalf("listed %s", got)
		}
		must(t, w.lane.SetReadDeadline(time.Now().Add(time.Second)))
		if ev, err := readEvent(w); err != nil || ev.Type != "connected" || ev.Name != "b" {
			t.Errorf("watched %+v, %v", ev, err)
		}
	})
}

// A clock that is set, or a machine that has slept, does not keep an expired line for
// more than a minute: a timer knows of neither.
func TestNap(t *testing.T) {
	now := time.Now()
	for left, want := range map[time.Duration]time.Duration{-time.Hour: -time.Hour, time.Second: time.Second, 24 * time.Hour: time.Minute} {
		if got := switchboard.Nap(now, now.Add(left)); got != want {
			t.Errorf("%v before the expiry: %v, want %v", left, got, want)
		}
	}
}
