package switchboard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Health is what a server that is well says of itself.
type Health struct {
	Sessions int
	Relayed  int // open channels that go over the server
	Direct   int // that have moved to direct links

	// Degraded is why not all is done that should be, if it is not: the audit log
	// cannot be written. Channels go on; changes by administrators are refused.
	Degraded error
}

// ErrNotServing says that Serve does not run, or not yet.
var ErrNotServing = errors.New("switchboard: not serving")

// Health asks those parts of the server on which all others wait: every accept
// loop, and the lock of the books. It fails with ErrNotServing until all
// listeners are served, with an error about an accept loop that has been kept
// from accepting for 5 s, or with ctx's error if the books do not answer before
// it ends. While the server stops, and afterwards, only the books are asked.
// Safe for concurrent use.
func (s *Server) Health(ctx context.Context) (Health, error) {
	if err := s.hearts.check(time.Since(s.started)); err != nil {
		return Health{}, err
	}
	answer := make(chan Health, 1)
	var wg sync.WaitGroup // not waited for: the lock may never come
	wg.Go(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		answer <- Health{Sessions: len(s.sessions), Relayed: len(s.links), Direct: len(s.moved.channels)}
	})
	select {
	case h := <-answer:
		h.Degraded = s.degraded()
		return h, nil
	case <-ctx.Done():
		return Health{}, fmt.Errorf("the books do not answer: %w", ctx.Err())
	}
}

// maxAbsence is how long an accept loop may be kept from accepting: its longest
// pause, without a descriptor, is a fifth of that.
const maxAbsence = 5 * maxPause

// hearts are the accept loops of a server.
type hearts struct {
	mu   sync.Mutex
	want int // loops; 0 until Serve knows
	all  []*heart
}

// heart is one accept loop.
type heart struct {
	addr string
	over atomic.Bool  // its end is none of its own: the server stops, or Serve fails
	away atomic.Int64 // when it came back from Accept, since the server's start; 0 while it is there
}

// expect says how many there will be.
func (h *hearts) expect(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.want = n
}

// begin enters a loop.
func (h *hearts) begin(ln net.Listener) *heart {
	one := &heart{addr: ln.Addr().String()}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, one)
	return one
}

// check reports what is wrong with the loops now, in time since the server's
// start.
func (h *hearts) check(now time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.want == 0 || len(h.all) < h.want {
		return ErrNotServing
	}
	for _, one := range h.all {
		away := time.Duration(one.away.Load())
		if away > 0 && now-away > maxAbsence && !one.over.Load() {
			return fmt.Errorf("listener %s: no accept for %v", one.addr, (now - away).Round(time.Second))
		}
	}
	return nil
}

// acceptOn is Accept of a loop.
func (s *Server) acceptOn(ln net.Listener, h *heart) (net.Conn, error) {
	h.away.Store(0)
	conn, err := ln.Accept()
	h.away.Store(int64(max(1, time.Since(s.started))))
	return conn, err
}
