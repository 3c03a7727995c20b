package names_test

import (
	"fmt"
	"testing"

	"github.com/cad2f06c/switchboard/names"
	"pgregory.net/rapid"
)

// A Matcher finds what a scan of all patterns with Match finds, whatever was entered and removed before.
func TestMatcher(t *testing.T) {
	element := rapid.SampledFrom([]string{"a", "b", "c"})
	join := func(t *rapid.T, words *rapid.Generator[string], last ...string) string {
		all := rapid.SliceOfN(words, 0, 4).Draw(t, "words")
		all = append(all, rapid.SampledFrom(last).Draw(t, "last"))
		text := all[0]
		for _, w := range all[1:] {
			text += "." + w
		}
		return text
	}
	rapid.Check(t, func(t *rapid.T) {
		var m names.Matcher[int]
		type entry struct {
			p names.Pattern
			k int
		}
		held := make(map[entry]bool)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				p, err := names.ParsePattern(join(t, rapid.OneOf(element, rapid.Just("*")), "a", "b", "*", "**"))
				if err != nil {
					t.Fatal(err)
				}
				e := entry{p, rapid.IntRange(0, 3).Draw(t, "k")}
				m.Add(e.p, e.k)
				held[e] = true
			},
			"remove": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip("empty")
				}
				all := make([]entry, 0, len(held))
				for e := range held {
					all = append(all, e)
				}
				e := all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
				m.Remove(e.p, e.k)
				delete(held, e)
			},
			"": func(t *rapid.T) {
				n := names.Name(join(t, element, "a", "b"))
				want := make(map[int]int)
				for e := range held {
					if e.p.Match(n) {
						want[e.k]++
					}
				}
				got := make(map[int]int)
				m.Each(n, func(k int) { got[k]++ })
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("%s: got %v, want %v", n, got, want)
				}
			},
		})
		for e := range held {
			m.Remove(e.p, e.k)
		}
		if !m.Empty() {
			t.Fatal("something is left")
		}
	})
}

func BenchmarkMatcher(b *testing.B) {
	var m names.Matcher[int]
	for i := range 10_000 {
		p, err := names.ParsePattern(fmt.Sprintf("org.example.plugin%d", i))
		if err != nil {
			b.Fatal(err)
		}
		m.Add(p, i)
	}
	m.Add(names.Pattern{}, -1)
	found := 0
	b.ReportAllocs()
	for b.Loop() {
		m.Each("org.example.plugin77", func(int) { found++ })
	}
	if found != 2*b.N {
		b.Errorf("found %d in %d", found, b.N)
	}
}
