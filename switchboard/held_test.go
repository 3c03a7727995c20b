package switchboard_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/switchboard"
)

// tap is a connection of a client whose Reads can be stopped.
type tap struct {
	net.Conn
	shut atomic.Bool
	open chan struct{} // closed when they may go on
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.shut.Load() {
		<-c.open
	}
	return n, err
}

// sink is a peer with a name and channels to it, which it does not take in while
// its tap is shut.
type sink struct {
	*asker
	tap  *tap
	ends [][2]*peer // the caller's and its own
}

// sink has n channels from a caller, and one more, which fills the write that is under
// way to it, for that counts for nobody, until something is held.
func (h *host) sink(caller *asker, key byte, n int) *sink {
	s := &sink{tap: &tap{Conn: h.dial(key), open: make(chan struct{})}}
	m := mux.Client(s.tap, mux.Config{})
	h.t.Cleanup(func() { m.Close() })
	s.asker = &asker{t: h.t, h: h, m: m, ctl: h.open(m)}
	name := fmt.Sprintf("sink%d", key)
	s.call("names.claim", `{"name":"`+name+`"}`)
	for range n + 1 {
		c, p, _ := channelTo(h, caller, s.asker, name)
		s.ends = append(s.ends, [2]*peer{c, p})
	}
	s.tap.shut.Store(true)
	before := h.srv.Stats().Held
	for i := 0; h.srv.Stats().Held == before; i++ {
		if i == 15 { // of a window of 256 KiB
			h.t.Fatal("nothing is held")
		}
		s.fill(n, 16<<10)
	}
	return s
}

// fill sends n bytes on the i-th channel.
func (s *sink) fill(i, n int) {
	s.t.Helper()
	if _, err := io.CopyN(s.ends[i][0].lane, zeros{}, int64(n)); err != nil {
		s.t.Errorf("channel %d: %v", i, err)
	}
	synctest.Wait()
}

// slowLimits keep a session whose peer takes nothing.
func slowLimits(held, total int) switchboard.Limits {
	return switchboard.Limits{Held: held, HeldTotal: total, WriteTimeout: time.Hour, DeadAfter: time.Hour}
}

// TestHeldTotal: when what is held for several keys passes the server's bound, though
// none passes its own, the key for which most is held loses its fullest channel, for
// quota; the others, and its own others, lose no byte.
func TestHeldTotal(t *testing.T) {
	// 450 KiB and what the sinks began with, 3 times 32 KiB at most, are under the
	// bound; 650 KiB are over it.
	bubble(t, slowLimits(400<<10, 600<<10), func(t *testing.T, h *host) {
		caller := h.asker(9)
		most, two, one := h.sink(caller, 1, 2), h.sink(caller, 2, 1), h.sink(caller, 3, 1)
		most.fill(0, 100<<10)
		most.fill(1, 200<<10)
		two.fill(0, 150<<10)
		if over := h.srv.Stats().Over; len(over) != 0 {
			t.Fatalf("counted %v before the bound", over)
		}
		one.fill(0, 200<<10)
		if st := h.srv.Stats(); st.Over["held_total"] != 1 || len(st.Over) != 1 || st.Held == 0 || st.Held > 600<<10 {
			t.Errorf("counted %v, and %d are held", st.Over, st.Held)
		}
		lost := most.ends[1]
		if _, err := io.ReadAll(lost[0].lane); !isReset(err, mux.ReasonQuota) {
			t.Errorf("the fullest channel: %v, want a reset for quota", err)
		}
		for _, s := range []*sink{most, two, one} {
			close(s.tap.open)
		}
		lost[1].wantCut()
		for _, c := range []struct {
			ends [2]*peer
			n    int64
		}{{most.ends[0], 100 << 10}, {two.ends[0], 150 << 10}, {one.ends[0], 200 << 10}} {
			must(t, c.ends[0].lane.CloseWrite())
			if n, err := io.Copy(io.Discard, c.ends[1].lane); n != c.n || err != nil {
				t.Errorf("%d bytes have come, %v, want %d", n, err, c.n)
			}
		}
		synctest.Wait()
		if st := h.srv.Stats(); st.Held != 0 {
			t.Errorf("%d are held for nobody", st.Held)
		}
	})
}

// isReset reports whether an error is the peer's reset for a reason.
func isReset(err error, why mux.Reason) bool {
	reset, ok := errors.AsType[*mux.ResetError](err)
	return ok && reset.Reason == why
}
