package audit

import "time"

const (
	maxActors     = 4096 // that are counted apart; more share one count
	maxSuppressed = 64   // actors told of in one go
)

// flood is the control of who fills the log: each actor may have rate records at
// once, and as many a second. It is pure: now is an argument, and only differences
// of it count.
type flood struct {
	rate   float64 // 0: no limit
	actors map[actor]*actorCount
	over   []*actorCount // that have suppressed events
	swept  time.Duration
}

// actor is who is counted: the key, or the address of who has none.
type actor struct{ key, source string }

type actorCount struct {
	actor
	used       float64
	at         time.Duration
	suppressed uint64
}

func newFlood(rate int) flood {
	return flood{rate: float64(max(rate, 0)), actors: make(map[actor]*actorCount)}
}

// take reports whether one more event of who may be written at now. If not, it is
// counted.
func (f *flood) take(who actor, now time.Duration) bool {
	if f.rate == 0 {
		return true
	}
	a := f.actors[who]
	if a == nil {
		a = f.add(who, now)
	}
	if a.used > 0 && now > a.at {
		a.used = max(0, a.used-(now-a.at).Seconds()*f.rate)
	}
	a.at = max(a.at, now)
	if a.used+1 > f.rate {
		if a.suppressed++; a.suppressed == 1 {
			f.over = append(f.over, a)
		}
		return false
	}
	a.used++
	return true
}

// add begins to count who; if there are too many, with all others for whom there was
// no place.
func (f *flood) add(who actor, now time.Duration) *actorCount {
	if len(f.actors) >= maxActors && now-f.swept >= time.Second {
		f.swept = now
		for key, a := range f.actors {
			if a.suppressed == 0 && (now-a.at).Seconds()*f.rate >= a.used {
				delete(f.actors, key)
			}
		}
	}
	if len(f.actors) >= maxActors {
		who = actor{}
		if a := f.actors[who]; a != nil {
			return a
		}
	}
	a := &actorCount{actor: who, at: now}
	f.actors[who] = a
	return a
}

// told returns events that say what was suppressed since the last ones, of so many
// actors as fit one go; more reports whether there are others.
func (f *flood) told() (events []Event, more bool) {
	n := min(len(f.over), maxSuppressed)
	for _, a := range f.over[:n] {
		events = append(events, Event{Event: EventSuppressed, Actor: a.key, Source: a.source, Reason: reasonRate, N: a.suppressed})
		a.suppressed = 0
	}
	f.over = append(f.over[:0], f.over[n:]...)
	return events, len(f.over) > 0
}
