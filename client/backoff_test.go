package client

import (
	"testing"
	"time"
)

// Of a herd each tries once at once, then at a moment of its own, and from then on
// once in the time that there is; whoever waits longer anyway does so.
func TestHerd(t *testing.T) {
	const d, spread = 100 * time.Millisecond, 8 * time.Second
	var quarters [4]int
	for range 4000 {
		var h herd
		if got := h.pause(d, spread); got != d {
			t.Fatalf("the first pause is %v, want %v", got, d)
		}
		h.failed++
		got := h.pause(d, spread)
		if got < d || got >= spread {
			t.Fatalf("the second pause is %v, want %v to %v", got, d, spread)
		}
		quarters[4*got/spread]++
		h.failed++
		if got := h.pause(d, spread); got != spread {
			t.Fatalf("the third pause is %v, want %v", got, spread)
		}
		if got := h.pause(2*spread, spread); got != 2*spread {
			t.Fatalf("a longer pause became %v", got)
		}
		if got := h.pause(d, 0); got != d {
			t.Fatalf("without a spread: got %v, want %v", got, d)
		}
	}
	for i, n := range quarters {
		if n < 800 || n > 1200 {
			t.Errorf("quarter %d of the spread: %d of 4000 come then", i, n)
		}
	}
}

// The pause before a reconnect grows with a server that drops everybody, and
// with nothing else: however often a server is killed, whoever had a session
// for a while is back soon.
func TestBackoffEarned(t *testing.T) {
	for _, tt := range []struct {
		lasted time.Duration
		most   time.Duration // the pause after many sessions that lasted so
	}{
		{0, maxBackoff},
		{time.Millisecond, maxBackoff},
		{10 * time.Millisecond, minBackoff},
		{300 * time.Millisecond, minBackoff},
		{maxBackoff, minBackoff},
	} {
		var pause backoff
		for range 20 {
			pause.next(false)
			pause.earn(tt.lasted)
		}
		pause.next(false)
		if pause.d != tt.most {
			t.Errorf("after sessions of %v: got a pause of %v, want %v", tt.lasted, pause.d, tt.most)
		}
	}
}
