package channel_test

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
)

// BenchmarkSealed moves 1 MiB in pieces of 32 KiB through a pipe, sealed and as
// it is, in turn, and reports the fastest round of each: bytes a second, and how
// many times the time it takes sealed.
func BenchmarkSealed(b *testing.B) {
	a1, b1 := sealPipes()
	bare := [2]channel.Lane{a1, b1}
	a2, b2 := sealPipes()
	x, y := sealed(b, a2, b2)
	inside := [2]channel.Lane{x, y}
	var fastest [2]time.Duration
	for b.Loop() {
		for i, ends := range [][2]channel.Lane{bare, inside} {
			begin := time.Now()
			sealRound(b, ends[0], ends[1])
			if took := time.Since(begin); fastest[i] == 0 || took < fastest[i] {
				fastest[i] = took
			}
		}
	}
	b.ReportMetric(sealRoundSize/1e6/fastest[1].Seconds(), "MB/s")
	b.ReportMetric(float64(fastest[1])/float64(fastest[0]), "sealed/bare")
	b.ReportMetric(0, "ns/op")
}

const sealRoundSize = 1 << 20 // bytes

func sealRound(b *testing.B, from, to channel.Lane) {
	var wg sync.WaitGroup
	wg.Go(func() {
		piece := make([]byte, 32<<10)
		for range sealRoundSize / len(piece) {
			if _, err := from.Write(piece); err != nil {
				b.Error(err)
				return
			}
		}
	})
	if _, err := io.CopyN(io.Discard, to, sealRoundSize); err != nil {
		b.Error(err)
	}
	wg.Wait()
}

// BenchmarkSeal seals a channel over a pipe, both ends: what a sealed channel
// costs before its first byte.
func BenchmarkSeal(b *testing.B) {
	for b.Loop() {
		p, q := sealPipes()
		x, y := sealed(b, p, q)
		x.Abort()
		y.Abort()
	}
}
