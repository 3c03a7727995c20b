package switchboard_test

import (
	"io"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/switchboard"
)

// TestByteRate: what a key sends over the relay is paced and not lost; the other
// direction, and other keys, are as fast as before. A key of another level has the
// rate of that.
func TestByteRate(t *testing.T) {
	const rate, total = 100_000, 1_000_000
	limits := switchboard.Limits{Basic: switchboard.Quota{ByteRate: rate}}
	bubble(t, limits, func(t *testing.T, h *host) {
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=basic`)))
		callee, caller := h.asker(1), h.asker(2)
		callee.call("names.claim", `{"name":"sink"}`)
		c, p, _ := channelTo(h, caller, callee, "sink")
		send := func(from, to *peer) time.Duration {
			began := time.Now()
			h.wg.Go(func() {
				if _, err := from.lane.Write(make([]byte, total)); err != nil {
					t.Error(err)
				}
			})
			if _, err := io.ReadFull(to.lane, make([]byte, total)); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		if took := send(c, p); took < 4*time.Second || took > total/rate*time.Second {
			t.Errorf("%d bytes at %d/s took %v", total, rate, took)
		}
		if took := send(p, c); took > time.Second {
			t.Errorf("the other direction took %v", took)
		}
		must(t, h.srv.SetPolicy(rules(`@1 level=trusted`, `@2 level=trusted`)))
		time.Sleep(time.Minute)
		if took := send(c, p); took > time.Second {
			t.Errorf("without a bound they took %v", took)
		}
	})
}
