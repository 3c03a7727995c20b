package switchboard

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// On a porch a source of which nobody waited is the next, and then all take turns;
// who has to go is of the source that has the most there; of a source the oldest is
// taken; and nothing is left of it in the end.
func TestPorchModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p porch
		var turns []source // whose turn is next first
		waits := make(map[source][]*waiting)
		out := func(got *waiting, src source) {
			if want := waits[src][0]; got != want {
				t.Fatalf("%+v was taken, want %+v", got, want)
			}
			if waits[src] = waits[src][1:]; len(waits[src]) == 0 {
				delete(waits, src)
				turns = slices.DeleteFunc(turns, func(s source) bool { return s == src })
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			src := from(fmt.Sprintf("192.0.2.%d", rapid.IntRange(0, 4).Draw(t, "source")))
			switch what := rapid.IntRange(0, 6).Draw(t, "what"); {
			case what < 4:
				w := &waiting{source: src}
				p.add(w)
				if len(waits[src]) == 0 {
					turns = slices.Insert(turns, 0, src)
				}
				waits[src] = append(waits[src], w)
			case what == 4:
				p.prefer(src)
				if i := slices.Index(turns, src); i >= 0 {
					turns = slices.Insert(slices.Delete(turns, i, i+1), 0, src)
				}
			case len(turns) == 0:
				if p.next() != nil || p.heaviest() != nil {
					t.Fatal("somebody is there")
				}
			case what == 5:
				first := turns[0]
				turns = append(turns[1:], first)
				out(p.next(), first)
			default:
				got := p.heaviest()
				for src, all := range waits {
					if len(all) > len(waits[got.source]) {
						t.Fatalf("one of %d went, while %s has %d", len(waits[got.source]), src, len(all))
					}
				}
				out(got, got.source)
			}
			n := 0
			for _, all := range waits {
				n += len(all)
			}
			if p.n != n || len(p.of) != len(waits) || p.turns.Len() != len(waits) {
				t.Fatalf("it has %d of %d sources, want %d of %d", p.n, len(p.of), n, len(waits))
			}
		}
	})
}
