package switchboard

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHalfOpenVictim(t *testing.T) {
	type conn struct {
		from  string
		since int // ms
		stage stage
	}
	for _, tt := range []struct {
		name  string
		conns []conn // in the order in which they came to their stage
		now   int
		want  int
	}{
		{"young ones: the oldest", []conn{{"192.0.2.1", 0, 0}, {"192.0.2.2", 10, 0}, {"192.0.2.2", 20, 0}}, 100, 0},
		{"young ones: whatever their stage", []conn{{"192.0.2.1", 0, stageProof}, {"192.0.2.2", 10, 0}}, 100, 0},
		{"late ones: the heaviest source", []conn{{"192.0.2.1", 0, 0}, {"192.0.2.2", 10, 0}, {"192.0.2.2", 20, 0}}, 1000, 1},
		{"late ones: the least far", []conn{{"192.0.2.1", 0, stageHello}, {"192.0.2.1", 1, stageHello}, {"192.0.2.2", 10, 0}}, 1000, 2},
		{"late before young", []conn{{"192.0.2.1", 0, stageHello}, {"192.0.2.2", 900, 0}}, 1000, 0},
		{"young ones of a source do not count", []conn{{"192.0.2.1", 0, 0}, {"192.0.2.2", 10, 0}, {"192.0.2.2", 900, 0}, {"192.0.2.2", 901, 0}}, 1000, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHalfOpen(len(tt.conns))
			all := make([]*waiting, len(tt.conns))
			for i, c := range tt.conns {
				at := time.Duration(c.since) * time.Millisecond
				w, victim := h.add(at, from(c.from), nil, false)
				if victim != nil {
					t.Fatal("a victim while there is room")
				}
				w.advance(at, c.stage)
				all[i] = w
			}
			_, victim := h.add(time.Duration(tt.now)*time.Millisecond, from("203.0.113.1"), nil, false)
			if got := slices.Index(all, victim); got != tt.want {
				t.Errorf("connection %d went, want %d", got, tt.want)
			}
			all[0].remove()
			all[0].remove() // once more does nothing
		})
	}
}

// The pool takes out whom its rule names, as a look at all of them finds it, and
// its counts hold under any schedule.
func TestHalfOpenModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHalfOpen(rapid.IntRange(1, 12).Draw(t, "max"))
		var in []*waiting
		now := time.Duration(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += time.Duration(rapid.SampledFrom([]int{1, 1, 1, 40, 600}).Draw(t, "pause")) * time.Millisecond
			pick := func() int { return rapid.IntRange(0, len(in)-1).Draw(t, "which") }
			switch what := rapid.IntRange(0, 5).Draw(t, "what"); {
			case what < 3:
				want := (*waiting)(nil)
				if len(in) == h.max {
					want = victimOf(in, now)
				}
				w, victim := h.add(now, from(fmt.Sprintf("192.0.2.%d", rapid.IntRange(0, 3).Draw(t, "source"))), nil, false)
				if victim != want {
					t.Fatalf("at %v %+v went, want %+v", now, victim, want)
				}
				in = append(slices.DeleteFunc(in, func(w *waiting) bool { return w == victim }), w)
				if victim != nil {
					victim.advance(now, stageProof) // too late: it does nothing
					victim.remove()
				}
			case len(in) == 0:
			case what == 3:
				i := pick()
				in[i].remove()
				in = slices.Delete(in, i, i+1)
			case what == 4:
				if w := in[pick()]; w.stage < stageProof {
					w.advance(now, w.stage+1)
				}
			default:
				want := victimOf(in, now)
				if got := h.shed(now); got != want {
					t.Fatalf("shed %+v, want %+v", got, want)
				}
				in = slices.DeleteFunc(in, func(w *waiting) bool { return w == want })
			}
			if h.n != len(in) || h.n > h.max {
				t.Fatalf("%d are in it, want %d", h.n, len(in))
			}
		}
		for _, w := range in {
			w.remove()
		}
		if h.n != 0 || len(h.crowds) != 0 || h.shed(now) != nil {
			t.Fatalf("left: %d, %v", h.n, h.crowds)
		}
	})
}

// victimOf is the rule of halfOpen, by looking at all; times differ.
func victimOf(in []*waiting, now time.Duration) *waiting {
	late := slices.DeleteFunc(slices.Clone(in), func(w *waiting) bool { return now-w.since <= patience })
	if len(late) == 0 {
		return slices.MinFunc(in, func(a, b *waiting) int { return cmp.Compare(a.since, b.since) })
	}
	least := slices.MinFunc(late, func(a, b *waiting) int { return cmp.Compare(a.stage, b.stage) }).stage
	late = slices.DeleteFunc(late, func(w *waiting) bool { return w.stage != least })
	slices.SortFunc(late, func(a, b *waiting) int { return cmp.Compare(a.since, b.since) })
	of := make(map[source]int)
	most := 0
	for _, w := range late {
		of[w.source]++
		most = max(most, of[w.source])
	}
	return late[slices.IndexFunc(late, func(w *waiting) bool { return of[w.source] == most })]
}
