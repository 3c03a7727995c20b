package mux

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestBufferModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			b     buffer
			model []byte
			seq   byte
		)
		for range rapid.IntRange(1, 100).Draw(t, "ops") {
			n := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 2000), rapid.IntRange(0, 70_000)).Draw(t, "n")
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0:
				if got := b.drop(); got != len(model) {
					t.Fatalf("drop: got %d, want %d", got, len(model))
				}
				model = nil
			case 1, 2, 3, 4:
				p := make([]byte, n)
				got := b.read(p)
				if want := min(n, len(model)); got != want || !bytes.Equal(p[:got], model[:want]) {
					t.Fatalf("read %d: got %d bytes, want %d, or they differ", n, got, want)
				}
				model = model[got:]
			default:
				p := make([]byte, n)
				for i := range p {
					seq++
					p[i] = seq
				}
				b.append(p)
				model = append(model, p...)
			}
			if b.n != len(model) {
				t.Fatalf("n: got %d, want %d", b.n, len(model))
			}
			held := 0
			for _, c := range b.chunks {
				held += cap(c.p)
			}
			if b.held != held {
				t.Fatalf("held: got %d, want %d", b.held, held)
			}
			if b.n == 0 && held > minChunk {
				t.Fatalf("an empty buffer holds %d", held)
			}
		}
	})
}

// The smallest pieces must not make the largest memory.
func TestBufferOneByteAtATime(t *testing.T) {
	var (
		b buffer
	)
	for i := range initialWindow {
		b.append([]byte{byte(i)})
		if b.held > 2*b.n+minChunk {
			t.Fatalf("%d bytes hold %d", b.n, b.held)
		}
	}
}
