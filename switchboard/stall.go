package switchboard

import (
	"context"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
)

var errStalled = control.Quota.With("the channel's bytes were not taken in time")

// stalls are relayed channels whose bytes wait, by how many had moved when that was
// first seen.
type stalls map[channel.ID]stall

type stall struct {
	bytes int64
	since time.Time
}

// resetStalled resets relayed channels over which bytes wait and none has moved for
// Limits.ChannelStall, or a quarter more. It returns when ctx ends.
func (s *Server) resetStalled(ctx context.Context) {
	limit := s.limits.ChannelStall
	if limit <= 0 {
		return
	}
	tick := time.NewTicker(max(limit/4, time.Millisecond))
	defer tick.Stop()
	for seen := make(stalls); ; {
		select {
		case now := <-tick.C:
			for _, l := range seen.look(s, now, limit) {
				s.over.count(overStall)
				l.caller.aside(func() { l.end(mux.ReasonQuota.String(), nil, errStalled) })
			}
		case <-ctx.Done():
			return
		}
	}
}

// look returns the channels that have stalled, and forgets those that have not.
func (seen stalls) look(s *Server, now time.Time, limit time.Duration) (stalled []*link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range seen {
		if s.links[id] == nil {
			delete(seen, id)
		}
	}
	for id, l := range s.links {
		in, out := l.pipe.Counts()
		was, known := seen[id]
		switch {
		case l.moved || l.closing || !l.pipe.Waiting():
			delete(seen, id)
		case !known || was.bytes != in+out:
			seen[id] = stall{in + out, now}
		case now.Sub(was.since) >= limit:
			delete(seen, id)
			stalled = append(stalled, l)
		}
	}
	return stalled
}
