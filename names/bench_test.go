package names_test

import (
	"fmt"
	"testing"

	"github.com/cad2f06c/switchboard/names"
)

// full is a registry of n names; each key has ten.
func full(b *testing.B, n int) *names.Registry {
	b.Helper()
	r := names.New(names.Limits{}, start)
	for i := range n {
		if _, _, err := r.Claim(start, who(uint64(1+i/10)), names.Name(fmt.Sprintf("org.example.plugin%d", i)), names.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

func BenchmarkClaimRelease(b *testing.B) {
	r := full(b, 10_000)
	o := who(60_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Claim(start, o, "org.example.x", names.Options{}); err != nil {
			b.Fatal(err)
		}
		if _, _, err := r.Release(start, o.Session, "org.example.x"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHandOver(b *testing.B) {
	r := full(b, 10_000)
	flags := names.Options{Queue: true}
	if _, _, err := r.Claim(start, who(60_000), "org.example.x", flags); err != nil {
		b.Fatal(err)
	}
	owner, next := uint64(60_000), uint64(60_001)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Claim(start, who(next), "org.example.x", flags); err != nil {
			b.Fatal(err)
		}
		r.Drop(start, owner)
		owner, next = next, owner
	}
}

// One change between two snapshots of 10,000 names: what a list costs on a busy
// server.
func BenchmarkSnapshot(b *testing.B) {
	r := full(b, 10_000)
	info := []byte{0}
	b.ReportAllocs()
	for b.Loop() {
		info[0]++
		if _, _, err := r.Update(start, 1, "org.example.plugin5", info); err != nil {
			b.Fatal(err)
		}
		if _, entries := r.Snapshot(start); len(entries) != 10_000 {
			b.Fatal(len(entries))
		}
	}
}

func BenchmarkSnapshotUnchanged(b *testing.B) {
	r := full(b, 10_000)
	for b.Loop() {
		r.Snapshot(start)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, text := range []string{"**", "org.example.**", "org.*.log.kernel", "org.example.log.kernel"} {
		p, err := names.ParsePattern(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !p.Match("org.example.log.kernel") {
					b.Fatal("no match")
				}
			}
		})
	}
}

func BenchmarkParseName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := names.ParseName("org.example.log.kernel"); err != nil {
			b.Fatal(err)
		}
	}
}
