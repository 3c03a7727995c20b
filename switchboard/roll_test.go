package switchboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/names"
	"pgregory.net/rapid"
)

type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// listed reads a whole roll by pages.
func listed(t fataler, leaves []*leaf, l listing) (all []control.Entry) {
	for {
		parts, more := l.page(leaves)
		text := append(append([]byte("["), bytes.Join(parts, nil)...), ']')
		if len(text) > control.MaxPeerBody-pageRoom+2 {
			t.Fatalf("a page of %d bytes", len(text))
		}
		var some []control.Entry
		var err error
		if l.brief {
			var alone []string
			err = json.Unmarshal(text, &alone)
			for _, n := range alone {
				some = append(some, control.Entry{Name: n})
			}
		} else {
			err = json.Unmarshal(text, &some)
		}
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if all = append(all, some...); !more {
			return all
		}
		if len(some) == 0 {
			t.Fatal("an empty page, and more")
		}
		l.after = some[len(some)-1].Name
	}
}

// A roll shows what the registry holds, whatever happened between two lists, and its leaves are neither too large nor too many.
func TestRollModel(t *testing.T) {
	for _, most := range []int{40, 1000} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { rollModel(t, most) })
		})
	}
}

func rollModel(t *rapid.T, most int) {
	now := time.UnixMilli(1_700_000_000_000)
	reg := names.New(names.Limits{NamesPerKey: most + 1}, now)
	owner := names.Owner{Session: 7, Transport: "unix"}
	var r roll
	name := func(i int) names.Name { return names.Name(fmt.Sprintf("n.%s%d", []string{"a", "b"}[i%2], i)) }
	for range rapid.IntRange(1, 6).Draw(t, "rounds") {
		from := rapid.IntRange(0, most).Draw(t, "from")
		n := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, most)).Draw(t, "n")
		step := rapid.IntRange(1, 5).Draw(t, "step")
		release := rapid.Bool().Draw(t, "release")
		for i := from; i < min(from+n, most); i += step {
			if release {
				reg.Release(now, 7, name(i))
			} else if _, _, err := reg.Claim(now, owner, name(i), names.Options{Info: []byte("1")}); err != nil {
				t.Fatal(err)
			}
		}
		_, entries := reg.Snapshot(now)
		leaves := r.at(entries)
		checkLeaves(t, leaves, len(entries))
		pattern, err := names.ParsePattern(rapid.SampledFrom([]string{"**", "n.*", "*.a7", "x.**"}).Draw(t, "match"))
		if err != nil {
			t.Fatal(err)
		}
		after := ""
		if rapid.Bool().Draw(t, "after") {
			after = string(name(rapid.IntRange(0, most).Draw(t, "after what")))
		}
		l := listing{match: match{names: pattern}, after: after, brief: rapid.Bool().Draw(t, "brief")}
		got := listed(t, leaves, l)
		for _, e := range entries {
			if !pattern.Match(e.Name) || string(e.Name) <= after {
				continue
			}
			want := wireEntry(e)
			want.Info = nil
			if l.brief {
				want = control.Entry{Name: string(e.Name)}
			}
			if len(got) == 0 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
				t.Fatalf("behind %q: got %v, want %v", after, got[:min(1, len(got))], want)
			}
			got = got[1:]
		}
		if len(got) > 0 {
			t.Fatalf("%d too many, from %v on", len(got), got[0])
		}
	}
}

// A list of several pages has every name once.
func TestRollPages(t *testing.T) {
	const n = 16_000
	now := time.UnixMilli(1_700_000_000_000)
	reg := names.New(names.Limits{NamesPerKey: n}, now)
	for i := range n {
		if _, _, err := reg.Claim(now, names.Owner{}, names.Name(fmt.Sprintf("org.example.plugin%05d", i)), names.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	_, entries := reg.Snapshot(now)
	var r roll
	for _, text := range []string{"**", "org.**"} {
		p, err := names.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		l := listing{match: match{names: p}}
		if _, more := l.page(r.at(entries)); !more {
			t.Errorf("%s: one page of %d names", text, n)
		}
		got := listed(t, r.at(entries), l)
		for i, e := range got {
			if e.Name != fmt.Sprintf("org.example.plugin%05d", i) {
				t.Fatalf("%s: name %d is %s", text, i, e.Name)
			}
		}
		if len(got) != n {
			t.Errorf("%s: %d names, want %d", text, len(got), n)
		}
	}
}

func checkLeaves(t *rapid.T, leaves []*leaf, n int) {
	if most := 1 + 4*n/leafSize; len(leaves) > most && n > 0 {
		t.Fatalf("%d leaves of %d names, want at most %d", len(leaves), n, most)
	}
	sum := 0
	for _, lf := range leaves {
		if len(lf.entries) == 0 || len(lf.entries) > leafSize || len(lf.whole.ends) != len(lf.entries) || len(lf.brief.ends) != len(lf.entries) {
			t.Fatalf("a leaf of %d entries, %d and %d ends", len(lf.entries), len(lf.whole.ends), len(lf.brief.ends))
		}
		sum += len(lf.entries)
	}
	if sum != n {
		t.Fatalf("%d entries, want %d", sum, n)
	}
}

// BenchmarkRoll is what a list of 10,000 names costs before it is sent, after so many claims since the last one.
func BenchmarkRoll(b *testing.B) {
	for _, changes := range []int{0, 1, 1000} {
		b.Run(fmt.Sprint(changes), func(b *testing.B) {
			now := time.UnixMilli(1_700_000_000_000)
			reg := names.New(names.Limits{NamesPerKey: 20_000}, now)
			owner := names.Owner{Session: 7, Transport: "unix"}
			claim := func(i int) {
				if _, _, err := reg.Claim(now, owner, names.Name(fmt.Sprintf("org.example.plugin%d", i)), names.Options{Info: fmt.Append(nil, b.N, i)}); err != nil {
					b.Fatal(err)
				}
			}
			for i := range 10_000 {
				claim(i)
			}
			var r roll
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				b.StopTimer()
				for range changes {
					n += 7919
					reg.Release(now, 7, names.Name(fmt.Sprintf("org.example.plugin%d", n%10_000)))
					claim(n % 10_000)
				}
				b.StartTimer()
				_, entries := reg.Snapshot(now)
				(&listing{}).page(r.at(entries))
			}
		})
	}
}
