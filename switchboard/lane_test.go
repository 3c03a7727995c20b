package switchboard_test

import (
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

func TestFirstByte(t *testing.T) {
	for _, tc := range []struct {
		name  string
		bytes string
		want  string // answered
		after time.Duration
		log   string
	}{
		{"unknown", "GET / HTTP/1.1\r\n", "", 0, "the first byte is of no kind of lane"},
		{"muxrpc client that came and went", strings.Repeat("\x00", 9), strings.Repeat("\x00", 9), 0, "session ends"},
		{"nothing", "", "", 30 * time.Second, "no first byte in 30s"},
		{"half a packet", "\x02\x00\x00\x00\x05", "", 10 * time.Second, "no whole first packet in 10s"},
		{"half a yamux header", "\x00\x00", "", 30 * time.Second, "no whole first frame in 30s"},
		{"4 GiB", "\x02\xff\xff\xff\xff\x00\x00\x00\x01", "", 0, "4294967295 bytes, limit 65536"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
				p := h.lane(1)
				began := time.Now()
				p.say(tc.bytes)
				got, _ := io.ReadAll(p.lane)
				if string(got) != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
				if d := time.Since(began); d.Round(time.Second) != tc.after {
					t.Errorf("ended after %v, want %v", d, tc.after)
				}
				synctest.Wait()
				if !strings.Contains(h.log.String(), tc.log) {
					t.Errorf("the log says nothing of %q:\n%s", tc.log, &h.log)
				}
			})
		})
	}
}

// TestBrokenSessionIsCut: a session that breaks has no goodbye.
func TestBrokenSessionIsCut(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		p := h.lane(1)
		p.say("\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00") // there is no frame type 9
		p.wantCut()
		q := h.lane(2)
		q.call(1, "ping", "")
		q.say("\x02\xff\xff\xff\xff\x00\x00\x00\x02") // 4 GiB
		q.wantCut()
	})
}

func TestControlCalls(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		p := h.lane(1)
		who := p.call(1, "whoami", "")
		if id := field(t, who, "id"); id != seeded(1).Public().String() {
			t.Errorf("whoami says %s", who)
		}
		p.call(2, "names.claim", `{"name":"org.example.a","info":{"version":"1"}}`)
		entry := p.call(3, "names.get", `{"name":"org.example.a"}`)
		if !strings.Contains(string(entry), `"info":{"version":"1"},"transport":"local"`) {
			t.Errorf("entry %s", entry)
		}
		list := p.call(4, "names.list", `{"match":"org.*.a"}`)
		if !strings.Contains(string(list), `"name":"org.example.a"`) || strings.Contains(string(list), "info") {
			t.Errorf("list %s", list)
		}
		if got := p.call(5, "names.list", `{"match":"com.**"}`); !strings.HasSuffix(string(got), `"names":[]}`) {
			t.Errorf("list of nothing %s", got)
		}
		for i, tc := range []struct {
			method, kind, args string
			code               control.Code
		}{
			{"names.claim", "async", `{"name":"0a"}`, control.NameInvalid},
			{"names.claim", "async", `{"name":"switchboard.x"}`, control.NotAllowed},
			{"names.claim", "async", `{"name":"a","name":"b"}`, control.BadRequest},
			{"names.claim", "async", `{"name":7}`, control.BadRequest},
			{"names.claim", "async", `"a"`, control.BadRequest},
			{"names.claim", "async", `{"name":"b","info":"` + strings.Repeat("x", 4<<10) + `"}`, control.BadRequest},
			{"names.get", "async", `{"name":"org.example.b"}`, control.NotFound},
			{"names.list", "async", `{"match":"a.**.b"}`, control.BadRequest},
			{"names.release", "async", `{"name":"org.example.b"}`, control.NotOwner},
			{"names.update", "async", `{"name":"org.example.b","info":1}`, control.NotOwner},
			{"names.update", "async", `{"name":"org.example.a"}`, control.BadRequest},
			{"names.watch", "async", ``, control.BadRequest},
			{"connect", "async", `{"to":"a"}`, control.BadRequest},
			{"sessions.list", "async", ``, control.NotAllowed},
			{"sessions.lost", "async", ``, control.BadRequest},
		} {
			req := int32(10 + i)
			p.send(0x02, req, request(tc.method, tc.kind, tc.args))
			p.wantError(0x06, -req, tc.code)
		}
		p.send(0x0a, 50, request("connect", "duplex", `{"to":"org.example.a"}`))
		p.wantError(0x0e, -50, control.BadRequest)
		p.call(51, "ping", "") // still there
		p.endWrite()
		p.wantEnd()
	})
}

// TestNameGoesWithSession: a name is free the moment its session ends, and the
// next in line owns it in the same event.
func TestNameGoesWithSession(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		a, b, w := h.lane(1), h.lane(2), h.lane(3)
		w.send(0x0a, 1, request("names.watch", "source", ""))
		w.want(0x0a, -1) // synced
		a.call(1, "names.claim", `{"name":"n"}`)
		w.want(0x0a, -1)
		if got := field(t, b.call(1, "names.claim", `{"name":"n","queue":true}`), "state"); got != "waiting" {
			t.Errorf("state %q", got)
		}
		a.lane.Abort()
		ev := w.want(0x0a, -1)
		if field(t, ev, "type") != "moved" || !strings.Contains(string(ev), seeded(2).Public().String()) {
			t.Errorf("event %s", ev)
		}
		b.lane.Abort()
		if ev := w.want(0x0a, -1); field(t, ev, "type") != "disconnected" {
			t.Errorf("event %s", ev)
		}
		w.send(0x0e, 1, "true") // the watcher ends its watch
		w.want(0x0e, -1)
	})
}

func TestQuotas(t *testing.T) {
	limits := switchboard.Limits{Watches: 1, CallRate: 1, CallBurst: 3, SessionsPerKey: 2, NamesPerKey: 1}
	bubble(t, limits, func(t *testing.T, h *host) {
		p := h.lane(1)
		p.send(0x0a, 1, request("names.watch", "source", ""))
		p.want(0x0a, -1)
		p.send(0x0a, 2, request("names.watch", "source", ""))
		p.wantError(0x0e, -2, control.Quota)
		p.call(3, "ping", "")
		p.send(0x02, 4, request("ping", "async", ""))
		p.wantError(0x06, -4, control.RateLimited)
		p.call(5, "manifest", "") // always
		h.lane(1).lane.(io.Closer).Close()
		time.Sleep(5 * time.Second)
		p.call(6, "ping", "")

		h.lane(1)
		raw, err := h.local.DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := login(h, raw, 1); err == nil {
			t.Error("a third session of one key was admitted")
		}
		q := h.lane(2)
		q.call(1, "names.claim", `{"name":"a"}`)
		q.send(0x02, 2, request("names.claim", "async", `{"name":"b"}`))
		q.wantError(0x06, -2, control.Quota)
	})
}

// TestRateOutlivesSession: a new login does not buy new calls.
func TestRateOutlivesSession(t *testing.T) {
	bubble(t, switchboard.Limits{CallRate: 1, CallBurst: 3}, func(t *testing.T, h *host) {
		p := h.lane(1)
		for i := range int32(3) {
			p.call(i+1, "ping", "")
		}
		p.lane.Abort()
		q := h.lane(1)
		q.send(0x02, 1, request("ping", "async", ""))
		q.wantError(0x06, -1, control.RateLimited)
		h.lane(2).call(1, "ping", "") // nobody else pays
	})
}

// TestWatchLag: a watcher that does not read is told that it lagged and gets a
// snapshot; one that always lags is put out, the third time unless set.
func TestWatchLag(t *testing.T) {
	watchLag(t, switchboard.Limits{WatchEvents: 4}, 3)
	watchLag(t, switchboard.Limits{WatchBytes: 10_000, WatchLags: 5}, 5)
	watchLag(t, switchboard.Limits{WatchEvents: 4, WatchLags: 1}, 1)
}

func watchLag(t *testing.T, limits switchboard.Limits, most int) {
	t.Helper()
	bubble(t, limits, func(t *testing.T, h *host) {
		w, p := h.lane(1), h.lane(2)
		w.send(0x0a, 1, request("names.watch", "source", ""))
		w.want(0x0a, -1)
		req := int32(0)
		churn := func(n int) { // more than the lane's own buffers hold
			for range n {
				req++
				p.call(req, "names.claim", fmt.Sprintf(`{"name":"n","info":%q}`, fmt.Sprint(req, strings.Repeat("x", 3000))))
			}
		}
		lags := 0
		for {
			churn(400)
			want := fmt.Sprintf("%q", fmt.Sprint(req, strings.Repeat("x", 3000)))
			for state := ""; state != want; { // the last change is not lost
				got, err := readEvent(w)
				if errors.Is(err, control.Quota) {
					if lags != most-1 {
						t.Errorf("put out after %d lags, want %d", lags, most-1)
					}
					if over := h.srv.Stats().Over; over["watch_queue"] != int64(most) || over["watch_lags"] != 1 || len(over) != 2 {
						t.Errorf("counted %v", over)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got.Type == "lagged" {
					lags++
				}
				if got.Entry != nil {
					state = string(got.Entry.Info)
				}
			}
		}
	})
}

// TestTrickledCalls: a control lane on yamux whose packets come a byte at a
// time, several at once, or both; a header that claims too much ends the session.
func TestTrickledCalls(t *testing.T) {
	const text = "\x02\x00\x00\x00\x1b\x00\x00\x00\x01" + `{"name":["ping"],"args":[]}`
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		p := h.open(h.mux(1))
		for i := range text {
			p.say(text[i : i+1])
			synctest.Wait()
		}
		p.want(0x02, -1)
		p.say(text + text + text[:20])
		p.want(0x02, -1)
		p.want(0x02, -1)
		synctest.Wait()
		p.say(text[20:])
		p.want(0x02, -1)
		for _, b := range []byte("\x02\xff\xff\xff\xff\x00\x00\x00\x05") {
			p.say(string([]byte{b}))
			synctest.Wait()
		}
		p.wantCut()
	})
}

// TestUntakenAnswers: a peer that takes no answers ends its session, though the server
// waits for its next call meanwhile.
func TestUntakenAnswers(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		m := h.mux(1)
		p := h.open(m)
		p.call(1, "names.claim", fmt.Sprintf(`{"name":"n","info":%q}`, strings.Repeat("x", 3000)))
		for i := range int32(120) { // more than the window, less than it and what waits for it
			p.send(0x02, i+2, request("names.get", "async", `{"name":"n"}`))
		}
		began := time.Now()
		select {
		case <-m.Done():
		case <-time.After(time.Minute):
		}
		if d := time.Since(began).Round(time.Second); d != 10*time.Second {
			t.Errorf("ended after %v", d)
		}
		if n := h.srv.ControlLanes(); n != 0 {
			t.Errorf("%d control lanes are left", n)
		}
	})
}

// TestLaneWithoutEnd: a control lane is over a moment after its goodbye, whether or not
// its opener ends the stream.
func TestLaneWithoutEnd(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		p := h.open(h.mux(1))
		p.call(1, "ping", "")
		p.send(0, 0, "")
		time.Sleep(5 * time.Second)
		if n := h.srv.ControlLanes(); n != 0 {
			t.Errorf("%d control lanes are left", n)
		}
		h.open(h.mux(1)).call(1, "ping", "")
	})
}
