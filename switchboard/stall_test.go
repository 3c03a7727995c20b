package switchboard_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/switchboard"
)

// TestChannelStall: with a bound on it, a channel whose bytes nobody takes is reset at
// both ends, for quota; an idle one, one that is read slowly and one without a bound
// live on.
func TestChannelStall(t *testing.T) {
	for _, bound := range []time.Duration{0, time.Minute} {
		bubble(t, switchboard.Limits{ChannelStall: bound}, func(t *testing.T, h *host) {
			callee, caller := h.asker(1), h.asker(2)
			callee.call("names.claim", `{"name":"sink"}`)
			stuck, deaf, _ := channelTo(h, caller, callee, "sink")
			idle, still, _ := channelTo(h, caller, callee, "sink")
			slow, sip, _ := channelTo(h, caller, callee, "sink")
			flood := func(p *peer, done chan<- error) {
				_, err := io.CopyN(p.lane, zeros{}, 4<<20)
				done <- err
			}
			broke, whole := make(chan error, 1), make(chan error, 1)
			h.wg.Go(func() { flood(stuck, broke) })
			h.wg.Go(func() { flood(slow, whole) })
			for range 64 {
				if _, err := io.ReadFull(sip.lane, make([]byte, 64<<10)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
			}
			if err := <-whole; err != nil {
				t.Errorf("the slow one: %v", err)
			}
			idle.say("hello")
			still.hear("hello")
			synctest.Wait()
			select {
			case err := <-broke:
				if bound == 0 || !isReset(err, mux.ReasonQuota) {
					t.Errorf("with a bound of %v: %v, want a reset for quota", bound, err)
				}
				deaf.wantCut()
				if over := h.srv.Stats().Over; over["channel_stall"] != 1 || len(over) != 1 {
					t.Errorf("counted %v", over)
				}
			default:
				if bound != 0 {
					t.Error("the stuck channel is still there")
				}
				deaf.lane.Abort()
				<-broke
			}
		})
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
