package names

import "time"

// Two programs with one key that both insist on a name would take it from each
// other for ever. The fourth replace within the window is refused.
const (
	maxReplaces   = 3
	replaceWindow = 30 * time.Second
)

// replaces counts the replaces of the last 30 s that took effect, by key and name.
// The acts stand in the order of time, so what is too old is always in front, and
// the counts are exactly those of the acts that are left.
type replaces struct {
	acts   []act
	counts map[actor]int
	latest time.Time
}

type actor struct {
	key  [32]byte
	name Name
}

type act struct {
	at time.Time
	actor
}

// expire forgets the acts that are 30 s old. A clock that steps back holds the acts
// longer; it never reorders them.
func (p *replaces) expire(now time.Time) {
	if now.After(p.latest) {
		p.latest = now
	}
	for len(p.acts) > 0 && p.latest.Sub(p.acts[0].at) >= replaceWindow {
		who := p.acts[0].actor
		if p.counts[who]--; p.counts[who] == 0 {
			delete(p.counts, who)
		}
		p.acts = p.acts[1:]
	}
	if len(p.acts) == 0 {
		p.acts, p.counts = nil, nil
	}
}

// allowed reports whether one more act stays within the limit; expire comes first.
func (p *replaces) allowed(who actor) bool { return p.counts[who] < maxReplaces }

// note counts one act that took effect.
func (p *replaces) note(now time.Time, who actor) {
	p.expire(now)
	p.acts = append(p.acts, act{p.latest, who})
	if p.counts == nil {
		p.counts = make(map[actor]int)
	}
	p.counts[who]++
}
