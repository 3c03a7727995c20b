//go:build fault

package fault_test

import (
	"testing"
	"time"
)

// F24, by a peer that waits for each answer: 16 at once, then 4 a second.
func TestF24PingRate(t *testing.T) {
	_, p := startDaemon(t)
	h := p.hand(t)
	h.lane(t, 1, `{"name":["ping"],"args":[]}`)
	answered, took := countUntilCalm(t, h, func(n uint32) []frame { return []frame{pinging(n)} },
		func(f frame) bool { return f.typ == ofPing && f.flags == withACK })
	if most := 17 + int(4*took.Seconds()); answered < 16 || answered > most {
		t.Errorf("%d pings were answered in %v, want 16 to %d", answered, took, most)
	}
	report(t, "F24", "a peer that waits for each answer: %d pings answered in %v, then enhance_calm", answered, took.Round(time.Millisecond))
}

// F25, by a peer that resets each lane when it has been answered: 1,024 at once,
// then 500 a second.
func TestF25ResetRate(t *testing.T) {
	_, p := startDaemon(t)
	h := p.hand(t)
	h.lane(t, 1, `{"name":["ping"],"args":[]}`)
	resets, took := countUntilCalm(t, h, func(n uint32) []frame {
		id := 2*n + 3
		if n == 0 {
			return []frame{open(id), pingOn(id, 1)}
		}
		return []frame{flagged(id-2, withRST), open(id), pingOn(id, 1)}
	}, func(f frame) bool { return f.typ == ofData })
	if most := 1030 + int(500*took.Seconds()); resets < 1000 || resets > most {
		t.Errorf("%d lanes were answered and reset in %v, want 1,000 to %d", resets, took, most)
	}
	p.alive(t)
	report(t, "F25", "a peer that resets what was answered: %d resets in %v, then enhance_calm", resets, took.Round(time.Millisecond))
}

// F25, of window updates: 20,000 at once, and as many a second.
func TestF25UpdateRate(t *testing.T) {
	_, p := startDaemon(t)
	h := p.hand(t)
	h.lane(t, 1, `{"name":["ping"],"args":[]}`)
	began := time.Now()
	n := 0
	const at = 100 // a time: fewer a second might be within the rate
	var unit []byte
	for range at {
		unit = append(unit, wired(grant(1, 1))...)
	}
	for ; ; n += at {
		if _, err := h.Write(unit); err != nil {
			break
		}
	}
	how := h.fall(t, 10*time.Second, nil)
	if least := 20_000 - at; how.code != enhanceCalm || n < least {
		t.Errorf("after %d window updates the session ended with %+v, want at least %d and go-away %d", n, how, least, enhanceCalm)
	}
	p.alive(t)
	report(t, "F25", "enhance_calm for some of %d window updates in %v", n, time.Since(began).Round(time.Millisecond))
}

// countUntilCalm asks, waits for what fits, and asks again, until the session is
// ended with enhance_calm. It returns how often it got what it asked for.
func countUntilCalm(t *testing.T, h *hand, ask func(n uint32) []frame, fits func(frame) bool) (n int, took time.Duration) {
	t.Helper()
	began := time.Now()
	for must(t, h.put(ask(0)...)); ; {
		f, err := h.next()
		switch {
		case err != nil:
			t.Fatalf("after %d: %v", n, err)
		case f.typ == ofGoAway && f.length == enhanceCalm:
			return n, time.Since(began)
		case f.typ == ofGoAway:
			t.Fatalf("after %d: go-away %d", n, f.length)
		case fits(f):
			n++
			must(t, h.put(ask(uint32(n))...))
		}
	}
}
