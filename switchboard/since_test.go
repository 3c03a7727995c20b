package switchboard_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/switchboard"
)

// The rev of a change that a watcher may not see is for it like any number that was
// never a rev: who guesses them learns nothing of hidden names.
func TestSinceHidden(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted see=seen`, `@2 level=trusted`)))
		a, owner := h.asker(1), h.open(h.mux(2))
		claim := func(req int32, name string) uint64 {
			var got control.ClaimResult
			must(t, json.Unmarshal(owner.call(req, "names.claim", `{"name":"`+name+`"}`), &got))
			return got.Rev
		}
		hidden, seen := claim(1, "hidden"), claim(2, "seen")
		never := hidden - 1
		for rev, want := range map[uint64]bool{never: true, hidden: true, seen: false} {
			text, err := json.Marshal(control.WatchArgs{Since: &rev})
			must(t, err)
			if _, began := a.watch(string(text)); strings.Contains(began, `"lagged"`) != want {
				t.Errorf("since %d of %d, %d, %d: %s", rev, never, hidden, seen, began)
			}
		}
	})
}
