package switchboard

import (
	"context"
	"time"

	"github.com/cad2f06c/switchboard/internal/policy"
)

// token is a channel with room for one: something has happened.
type token chan struct{}

func (t token) tell() {
	select {
	case t <- struct{}{}:
	default: // it is known
	}
}

// valid returns the lines that count now. It notes when that changes, and which
// keys have taken the place of others.
func (r *rules) valid(peers []policy.Peer, now time.Time) []policy.Peer {
	good := make([]policy.Peer, 0, len(peers))
	for _, p := range peers {
		if !p.Valid(now) {
			continue
		}
		good = append(good, p)
		if p.Next != (policy.Key{}) {
			r.from[p.Next] = p.Key
		}
		if at := time.UnixMilli(p.Expires); p.Expires != 0 && (r.until.IsZero() || at.Before(r.until)) {
			r.until = at
		}
	}
	return good
}

// maxNap is how long expireRules relies on a timer: that knows nothing of a clock that
// is set, nor of the time that a machine has slept.
const maxNap = time.Minute

// nap is how long a line that expires at until may be left alone.
func nap(now, until time.Time) time.Duration { return min(until.Sub(now), maxNap) }

// expireRules puts the rules in force anew when a line expires.
func (s *Server) expireRules(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r := s.rules.Load()
		var due <-chan time.Time
		if !r.until.IsZero() {
			timer.Reset(nap(time.Now(), r.until))
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-s.ruled:
		case <-due:
			if time.Now().Before(r.until) {
				continue
			}
			if _, err := s.setPolicy(r.source, r); err != nil { // it was in order before
				s.log.Error("a line of the policy has expired and cannot be taken out", "err", err)
				return
			}
		}
	}
}
