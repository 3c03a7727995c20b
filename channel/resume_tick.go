package channel

import (
	"os"
	"time"
)

// tick looks at the times, as long as somebody waits for something.
func (r *resumer) tick() {
	r.mu.Lock()
	r.ticker = nil
	var dead *resumeLane
	if r.err == nil && !r.done {
		now := time.Now()
		dead = r.probeLocked(now)
		r.endTimesLocked(now)
		r.wakeLocked()
	}
	r.mu.Unlock()
	if dead != nil {
		r.died(dead, os.ErrDeadlineExceeded)
	}
}

// probeLocked asks an active path that is silent while we wait for it, and
// returns it when it stays so.
func (r *resumer) probeLocked(now time.Time) (dead *resumeLane) {
	p := r.activeLocked()
	for _, q := range r.paths {
		if q.heard || q != p || !q.waiting || !r.c.waits() {
			q.quiet, q.probed = now, false
		}
		q.heard, q.waiting = false, q == p && r.c.waits()
	}
	if p == nil || !r.live || !p.waiting {
		return nil
	}
	switch quiet := now.Sub(p.quiet); {
	case quiet >= probeAfter+deadAfter:
		return p
	case quiet >= probeAfter && !p.probed:
		p.probed, p.ping = true, true
	}
	return nil
}

// endTimesLocked ends what has no path, or has been over or closed for long.
func (r *resumer) endTimesLocked(now time.Time) {
	s := &r.since
	if r.c.active() != nil || r.pending {
		s.homeless = time.Time{}
	} else if s.homeless.IsZero() {
		s.homeless = now
	}
	if s.over.IsZero() && r.c.over() {
		s.over = now
	}
	if r.shut && (r.una != r.c.out.una || r.c.active() == nil) {
		s.shut, r.una = now, r.c.out.una
	}
	switch {
	case r.c.over():
		if now.Sub(s.over) >= partTime {
			r.finishLocked()
		}
	case !s.homeless.IsZero() && now.Sub(s.homeless) >= homeless:
		r.breakLocked(lostErr(errHomeless), true)
	case r.shut && now.Sub(s.shut) >= lingerTime:
		r.breakLocked(lostErr(errLinger), true)
	}
}
