package switchboard_test

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// trap is a connection at the server that panics once it is armed: behind the next
// read that brings something, in the next write, or in so many calls of Close.
type trap struct {
	net.Conn
	reads, writes atomic.Bool
	closes        atomic.Int32
}

func (c *trap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.reads.Load() {
		panic("a trap")
	}
	return n, err
}

func (c *trap) Write(p []byte) (int, error) {
	if c.writes.Load() {
		panic("a trap")
	}
	return c.Conn.Write(p)
}

func (c *trap) Close() error {
	if c.closes.Add(-1) >= 0 {
		panic("a trap")
	}
	return c.Conn.Close()
}

// trapped logs in with the first key over a trap.
func (s *street) trapped(t *testing.T, h *host) (*trap, *shs.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	at := &trap{Conn: theirs}
	s.conns <- comer{at, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}}
	conn := shs.Client(ours, &shs.Config{Key: seeded(1), ServerKey: h.srv.Key()})
	must(t, conn.Handshake(t.Context()))
	return at, conn
}

// TestPanicAside: a panic on a goroutine beside that of the session (who writes for
// it, who watches a caller that waits, who relays the other way) ends the session,
// and neither the server nor others.
func TestPanicAside(t *testing.T) {
	const connect = `{"to":"` + echo + `"}`
	for name, spring := range map[string]func(t *testing.T, h *host, s *street, m *mux.Session){
		"writer": func(t *testing.T, h *host, s *street, _ *mux.Session) {
			at, conn := s.trapped(t, h)
			ctl := h.open(mux.Client(conn, mux.Config{}))
			ctl.call(1, "ping", "")
			at.writes.Store(true)
			ctl.send(0x02, 2, request("ping", "async", ""))
			ctl.wantCutOrNothing()
		},
		"watch over a caller": func(t *testing.T, h *host, s *street, m *mux.Session) {
			at, conn := s.trapped(t, h)
			caller := &peer{t: t, lane: conn}
			caller.send(0x0a, 1, request("connect", "duplex", connect))
			offered(h, func() *peer { return h.next(m) })
			at.reads.Store(true)
			caller.say("x")
			caller.wantCutOrNothing()
		},
		"relay, the other way": func(t *testing.T, h *host, s *street, _ *mux.Session) {
			_, ctl := s.trapped(t, h)
			callee := &peer{t: t, lane: ctl}
			callee.call(1, "names.claim", `{"name":"org.example.far"}`)
			caller := h.lane(3)
			caller.send(0x0a, 1, request("connect", "duplex", `{"to":"org.example.far"}`))
			o := arg(t, callee.want(0x02, 1))
			callee.send(0x02, -1, "{}")
			at, conn := s.trapped(t, h)
			p := &peer{t: t, lane: conn}
			p.send(0x0a, 1, request("accept", "duplex", fmt.Sprintf(`{"channel":%q,"token":%q}`, field(t, o, "channel"), field(t, o, "token"))))
			p.want(0x0a, -1)
			caller.want(0x0a, -1)
			at.reads.Store(true)
			p.say("x")
			caller.wantCutOrNothing()
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := streetBubble(t, switchboard.Config{}, func(t *testing.T, h *host, s *street) {
				m := h.mux(2)
				ctl := h.open(m)
				ctl.call(1, "names.claim", `{"name":"`+echo+`"}`)
				spring(t, h, s, m)
				synctest.Wait()
				if counts := h.srv.AdmissionCounts(); counts["panics"] != 1 {
					t.Errorf("counts %v", counts)
				}
				ctl.call(2, "ping", "")
			})
			if !strings.Contains(log, "msg=panic") || !strings.Contains(log, "a trap") {
				t.Errorf("the log does not say: %s", log)
			}
		})
	}
}

// TestPanicWhenTimeIsUp: a connection that stalls in its handshake panics when it is
// closed for that: its end, and nobody else's.
func TestPanicWhenTimeIsUp(t *testing.T) {
	log := streetBubble(t, switchboard.Config{}, func(t *testing.T, h *host, s *street) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close() })
		at := &trap{Conn: theirs}
		at.closes.Store(2) // under the handshake, and of its place
		s.conns <- comer{at, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}}
		time.Sleep(time.Minute)
		synctest.Wait()
		if counts := h.srv.AdmissionCounts(); counts["panics"] != 2 || h.srv.HalfOpen() != 0 {
			t.Errorf("counts %v, %d half open", counts, h.srv.HalfOpen())
		}
		h.lane(1).call(1, "ping", "")
	})
	if strings.Count(log, "msg=panic") != 2 || !strings.Contains(log, "a trap") {
		t.Errorf("the log does not say: %s", log)
	}
}

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
