package switchboard_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

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
