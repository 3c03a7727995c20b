package switchboard_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/switchboard"
)

// TestPanicAtTheEnd: a panic of what ends a channel, on a goroutine of its own, is
// noted and ends neither the server nor others.
func TestPanicAtTheEnd(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		lines := []string{`@1 level=trusted`, `@2 level=trusted`, `@3 level=trusted`}
		must(t, h.srv.SetPolicy(rules(lines...)))
		callee, caller, other := h.asker(1), h.asker(2), h.asker(3)
		callee.call("names.claim", `{"name":"org.a"}`)
		channelTo(h, caller, callee, "org.a")
		synctest.Wait() // the relay has begun
		h.srv.BreakLanes()
		co, po, _ := channelTo(h, other, callee, "org.a")
		lines[1] = `@2 level=trusted see=org.a`
		must(t, h.srv.SetPolicy(rules(lines...)))
		synctest.Wait()
		if got := h.srv.AdmissionCounts()["panics"]; got != 1 {
			t.Errorf("%d panics are counted", got)
		}
		co.say("still here")
		po.hear("still here")
		if log := h.log.String(); !strings.Contains(log, "msg=panic") || !strings.Contains(log, "cannot be reset") {
			t.Errorf("the log does not say: %s", log)
		}
		caller.m.Close() // and its end comes by the same lane
		synctest.Wait()
		co.say("and here")
		po.hear("and here")
	})
}
