package switchboard_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/switchboard"
)

// stallers are connections of as many addresses that say nothing.
func stallers(t *testing.T, s *street, n int) (all []net.Conn) {
	t.Helper()
	for i := range n {
		all = append(all, s.from(t, net.IPv4(198, 51, 100, byte(i)).String()))
	}
	synctest.Wait()
	return all
}

// closed counts connections that the server has closed.
func closed(conns []net.Conn) (n int) {
	for _, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(time.Nanosecond)) // in the bubble's time
		if _, err := c.Read(make([]byte, 1)); err == io.EOF {
			n++
		}
	}
	return n
}

// Handshakes of strangers begin at a rate: a first login waits for no more than the
// next turn, however many came before it, and the next ones of its address for
// none. Those that wait have their time from when it is their turn.
func TestStrangersTakeTurns(t *testing.T) {
	limits := switchboard.Limits{Admission: switchboard.Admission{HandshakeRate: 10}}
	streetBubble(t, switchboard.Config{Limits: limits}, func(t *testing.T, h *host, s *street) {
		all := stallers(t, s, 50)
		if got := h.srv.AdmissionCounts()["delayed"]; got != 39 || h.srv.HalfOpen() != 50 { // a second's worth begins at once
			t.Errorf("%d of %d wait, want 39 of 50", got, h.srv.HalfOpen())
		}
		for i, most := range []time.Duration{110 * time.Millisecond, 0, 0} {
			began := time.Now()
			must(t, h.login(s.from(t, "192.0.2.1"), 1))
			if took := time.Since(began); took > most || i == 0 && took == 0 {
				t.Errorf("login %d took %v, want %v at most", i, took, most)
			}
		}
		time.Sleep(3900 * time.Millisecond)
		if got := closed(all); got != 0 {
			t.Errorf("%d are closed after 4 s", got)
		}
		time.Sleep(2 * time.Second)
		if got := closed(all); got < 11 || got > 22 { // and those that began in the first second
			t.Errorf("%d are closed after 6 s, want those of the first turns", got)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if counts := h.srv.AdmissionCounts(); h.srv.HalfOpen() != 0 || counts["failed_timeout"] != 50 || counts["logged_in"] != 3 {
			t.Errorf("after 10 s %d are in handshake; counts %v", h.srv.HalfOpen(), counts)
		}
	})
}

// Who waits for a turn goes first when the pool is full: of the address that has
// the most there. And none is left when the server stops.
func TestPorchFull(t *testing.T) {
	limits := switchboard.Limits{Admission: switchboard.Admission{HandshakeRate: 1, HalfOpenNet: 10}}
	streetBubble(t, switchboard.Config{Limits: limits}, func(t *testing.T, h *host, s *street) {
		begun := stallers(t, s, 2)
		one := s.from(t, "192.0.2.1")
		var many []net.Conn
		for range 16 {
			many = append(many, s.from(t, "192.0.2.2"))
		}
		synctest.Wait()
		if got := closed(many); got != 9 || closed(begun) != 0 || closed([]net.Conn{one}) != 0 {
			t.Errorf("of the heaviest %d are closed, want 9; of those that have begun %d", got, closed(begun))
		}
		if counts := h.srv.AdmissionCounts(); counts["evicted"] != 9 || h.srv.HalfOpen() != 10 {
			t.Errorf("%d in handshake, counts %v", h.srv.HalfOpen(), counts)
		}
	})
}
