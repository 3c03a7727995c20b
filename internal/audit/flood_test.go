package audit

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFlood(t *testing.T) {
	f := newFlood(10)
	a, b := actor{key: "a"}, actor{source: "b"}
	took := func(who actor, at time.Duration, n int) (taken int) {
		for range n {
			if f.take(who, at) {
				taken++
			}
		}
		return taken
	}
	for _, step := range []struct {
		who  actor
		at   time.Duration
		n    int
		want int
	}{
		{a, 0, 15, 10}, {b, 0, 15, 10}, {a, 99 * time.Millisecond, 5, 0}, {a, 100 * time.Millisecond, 5, 1},
		{a, 600 * time.Millisecond, 9, 5}, {a, time.Hour, 15, 10}, {a, time.Minute, 1, 0}, // a clock that runs back gives nothing
	} {
		if got := took(step.who, step.at, step.n); got != step.want {
			t.Errorf("%v at %v: %d of %d, want %d", step.who, step.at, got, step.n, step.want)
		}
	}
	events, more := f.told()
	if more || len(events) != 2 || events[0].Actor != "a" || events[0].N != 5+5+4+4+5+1 || events[1].Source != "b" || events[1].N != 5 {
		t.Errorf("told %+v", events)
	}
	if events, _ := f.told(); len(events) != 0 {
		t.Errorf("told %+v twice", events)
	}
	unlimited := newFlood(-1)
	for range 1000 {
		if !unlimited.take(a, 0) {
			t.Fatal("a limit of none is one")
		}
	}
}

// TestFloodBound: whoever there is, what is remembered is bounded, no event is
// unaccounted for, and nobody gets more than his rate.
func TestFloodBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const rate = 5
		f := newFlood(rate)
		actors := rapid.SampledFrom([]int{1, 3, maxActors - 1, maxActors, 3 * maxActors}).Draw(t, "actors")
		taken, given, told := 0, 0, uint64(0)
		now := time.Duration(0)
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			each := rapid.SampledFrom([]int{1, rate, rate + 2}).Draw(t, "each")
			for i := range actors {
				for range each {
					given++
					if f.take(actor{key: fmt.Sprint(i)}, now) {
						taken++
					}
				}
			}
			now += rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, time.Hour}).Draw(t, "pause")
		}
		if len(f.actors) > maxActors+1 {
			t.Fatalf("%d actors are remembered", len(f.actors))
		}
		for more := true; more; {
			var events []Event
			if events, more = f.told(); len(events) > maxSuppressed {
				t.Fatalf("%d events in one go", len(events))
			}
			for _, e := range events {
				told += e.N
			}
		}
		if taken+int(told) != given {
			t.Fatalf("%d taken and %d told of %d", taken, told, given)
		}
	})
}
