package switchboard_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/switchboard"
)

// over is one way over one limit.
type over struct {
	limit  string // as stats name it
	by     string // a limit that is passed on the way; "" is none
	limits switchboard.Limits
	n      int64 // how often it was met
	do     func(t *testing.T, h *host)
}

// overs are those of a session's life; those before the login are counted as
// outcomes of admission.
func overs() []over {
	return []over{
		{"sessions", "", switchboard.Limits{Sessions: 1}, 1, func(t *testing.T, h *host) {
			h.asker(1)
			h.refusedLogin(2)
		}},
		{"sessions_per_key", "", switchboard.Limits{SessionsPerKey: 1}, 1, func(t *testing.T, h *host) {
			h.asker(1)
			h.refusedLogin(1)
		}},
		{"lanes", "", switchboard.Limits{Lanes: 2}, 3, func(t *testing.T, h *host) {
			m := h.mux(1)
			for i := range 5 {
				p := h.open(m)
				if i < 2 {
					p.call(1, "ping", "")
				} else {
					p.wantCut()
				}
			}
		}},
		{"lane_backlog", "open_rate", switchboard.Limits{LaneBacklog: 2, OpenRate: 1, OpenBurst: 1}, 3, func(t *testing.T, h *host) {
			m := h.mux(1)
			for i := range 6 { // one is looked at, two wait
				p := h.open(m)
				if i < 3 {
					defer p.call(1, "ping", "")
				} else {
					p.wantCut()
				}
			}
		}},
		{"early_resets", "", switchboard.Limits{EarlyResets: 99, Lanes: 1000, OpenRate: 1 << 20, OpenBurst: 1 << 20}, 1, func(t *testing.T, h *host) {
			conn := h.dial(1)
			for i := range 1000 {
				flags := byte(1)
				if i%10 == 0 {
					flags |= 8
				}
				id := 2*i + 1
				conn.Write([]byte{0, 1, 0, flags, 0, 0, byte(id >> 8), byte(id), 0, 0, 0, 0})
			}
			drain(conn)
		}},
		{"open_rate", "", switchboard.Limits{OpenRate: 1, OpenBurst: 1}, 1, func(t *testing.T, h *host) {
			m := h.mux(1)
			for range 2 {
				h.open(m).call(1, "ping", "")
			}
		}},
		{"ping_rate", "", switchboard.Limits{PingRate: 1, PingBurst: 2}, 1, func(t *testing.T, h *host) {
			conn := h.dial(1)
			ping := []byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}
			conn.Write(bytes.Repeat(ping, 3))
			drain(conn)
		}},
		{"update_rate", "", switchboard.Limits{UpdateRate: 2}, 1, func(t *testing.T, h *host) {
			conn := h.dial(1)
			conn.Write([]byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}) // opens stream 1
			conn.Write(bytes.Repeat([]byte{0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, 3))
			drain(conn)
		}},
		{"empty_frames", "", switchboard.Limits{}, 1, func(t *testing.T, h *host) {
			conn := h.dial(1)
			conn.Write([]byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0})
			conn.Write([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0})
			drain(conn)
		}},
		{"reset_rate", "", switchboard.Limits{ResetRate: 1, ResetBurst: 2}, 1, func(t *testing.T, h *host) {
			conn := h.dial(1)
			for id := byte(1); id < 7; id += 2 {
				conn.Write([]byte{0, 1, 0, 1, 0, 0, 0, id, 0, 0, 0, 0})
				conn.Write([]byte{0, 1, 0, 8, 0, 0, 0, id, 0, 0, 0, 0})
			}
			drain(conn)
		}},
		{"dead_after", "", switchboard.Limits{KeepAlive: 5 * time.Second, DeadAfter: 20 * time.Second}, 1, func(t *testing.T, h *host) {
			conn := h.dial(1)
			conn.Write([]byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0})
			began := time.Now()
			drain(conn)
			if took := time.Since(began).Round(time.Second); took != 20*time.Second {
				t.Errorf("silence ended it after %v", took)
			}
		}},
		{"write_timeout", "", switchboard.Limits{WriteTimeout: 3 * time.Second}, 1, func(t *testing.T, h *host) {
			conn := h.dial(1)
			for range 2 { // and reads no answer
				conn.Write([]byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1})
			}
			time.Sleep(4 * time.Second)
		}},
		{"calls", "", switchboard.Limits{Calls: 2}, 1, func(t *testing.T, h *host) {
			p := h.lane(1)
			for req := range int32(3) {
				p.send(0x0a, req+1, request("names.watch", "source", ""))
			}
			err := error(nil)
			for err == nil {
				_, err = readEvent(p)
			}
			if !errors.Is(err, control.Busy) {
				t.Errorf("the third call: %v", err)
			}
		}},
		{"call_rate", "", switchboard.Limits{CallRate: 1, CallBurst: 2}, 1, func(t *testing.T, h *host) {
			a := h.asker(1)
			for i := range 3 {
				wantAnswer(t, a.call("ping", ""), i == 2, "rate_limited")
			}
		}},
		{"rates", "", switchboard.Limits{Rates: map[string]switchboard.Rate{"ping": {N: 2, Per: time.Minute}}}, 1, func(t *testing.T, h *host) {
			a := h.asker(1)
			for i := range 3 {
				wantAnswer(t, a.call("ping", ""), i == 2, "rate_limited")
			}
		}},
		{"body", "", switchboard.Limits{}, 1, func(t *testing.T, h *host) {
			p := h.lane(1)
			p.call(1, "ping", "")
			p.lane.Write([]byte{2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2})
			p.wantCut()
		}},
		{"watches", "", switchboard.Limits{Watches: 1}, 1, func(t *testing.T, h *host) {
			a := h.asker(1)
			a.watch("")
			w := h.open(a.m)
			w.send(0x0a, 1, request("names.watch", "source", ""))
			wantAnswer(t, packet(t, w, -1), true, "quota")
		}},
		{"names_per_key", "", switchboard.Limits{NamesPerKey: 1}, 1, func(t *testing.T, h *host) {
			a := h.asker(1)
			for i := range 2 {
				wantAnswer(t, a.call("names.claim", fmt.Sprintf(`{"name":"n%d"}`, i)), i == 1, "quota")
			}
		}},
		{"names_per_tenant", "", switchboard.Limits{NamesPerTenant: 1}, 1, func(t *testing.T, h *host) {
			a := h.asker(1)
			for i := range 2 {
				wantAnswer(t, a.call("names.claim", fmt.Sprintf(`{"name":"n%d"}`, i)), i == 1, "quota")
			}
		}},
		{"replaces", "", switchboard.Limits{}, 1, func(t *testing.T, h *host) {
			both := []*asker{h.asker(1), h.asker(1)}
			for i := range 5 {
				wantAnswer(t, both[i%2].call("names.claim", `{"name":"n","replace":true}`), i == 4, "rate_limited")
			}
		}},
		{"held", "", slowLimits(100<<10, 0), 1, func(t *testing.T, h *host) {
			s := h.sink(h.asker(9), 1, 1)
			s.fill(0, 200<<10)
			close(s.tap.open)
		}},
		{"held_total", "", slowLimits(0, 100<<10), 1, func(t *testing.T, h *host) {
			s := h.sink(h.asker(9), 1, 1)
			s.fill(0, 200<<10)
			close(s.tap.open)
		}},
		{"offers", "", switchboard.Limits{Offers: 1}, 1, func(t *testing.T, h *host) {
			callee, caller := h.asker(1), h.asker(2)
			callee.call("names.claim", `{"name":"n"}`)
			first := h.open(caller.m)
			first.send(0x0a, 1, request("connect", "duplex", `{"to":"n"}`))
			h.next(callee.m) // and no answer
			wantAnswer(t, caller.connect(`{"to":"n","timeout_ms":1000}`), true, "busy")
		}},
	}
}

// TestOver: each limit has a counter, which says how often it was met, and no
// other moves.
func TestOver(t *testing.T) {
	for _, o := range overs() {
		t.Run(o.limit, func(t *testing.T) {
			bubble(t, o.limits, func(t *testing.T, h *host) {
				if got := h.srv.Stats().Over; len(got) != 0 {
					t.Fatalf("at the start: %v", got)
				}
				o.do(t, h)
				synctest.Wait()
				got := h.srv.Stats().Over
				delete(got, o.by)
				if len(got) != 1 || got[o.limit] != o.n {
					t.Errorf("got %v, want %s %d", got, o.limit, o.n)
				}
			})
		})
	}
}

// drain reads until the server ends the connection.
func drain(conn io.Reader) { _, _ = io.Copy(io.Discard, conn) }

// refusedLogin is one that the server does not take.
func (h *host) refusedLogin(n byte) {
	h.t.Helper()
	raw, err := h.local.DialContext(h.t.Context(), "", "")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { raw.Close() })
	if err := login(h, raw, n); err == nil {
		h.t.Fatal("the login is taken")
	}
}

// wantAnswer checks whether an answer is the error that is due.
func wantAnswer(t *testing.T, got string, due bool, code string) {
	t.Helper()
	if strings.Contains(got, `{"name":"`+code+`"`) != due {
		t.Errorf("got %s, want %s: %t", got, code, due)
	}
}
