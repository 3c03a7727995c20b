package mux

import (
	"math/bits"
	"sync"
)

// Chunks have a power of two of bytes as their capacity, from minChunk to
// maxChunk.
const (
	minChunk = 512
	maxChunk = 16 << 10
	classes  = 6 // 512, 1 Ki, … 16 Ki
)

// The memory for bytes under way. It is lent to sessions and no state of
// theirs; an idle session has none of it.
var (
	freeChunks = [classes]sync.Pool{} // of *chunk
	freeRaws   = sync.Pool{New: func() any { return new([maxRaw]byte) }}
)

// chunk is a piece of a buffer: its bytes, and its memory as their capacity.
type chunk struct {
	p []byte
}

// getChunk returns an empty chunk for at least n bytes, n at most maxChunk.
func getChunk(n int) *chunk {
	k := class(n)
	if c, ok := freeChunks[k].Get().(*chunk); ok {
		return c
	}
	return &chunk{make([]byte, 0, minChunk<<k)}
}

// put gives a chunk back.
func (c *chunk) put() {
	c.p = c.p[:0]
	freeChunks[class(cap(c.p))].Put(c)
}

// getRaw returns the memory of one write, empty; putRaw gives it back.
func getRaw() []byte { return freeRaws.Get().(*[maxRaw]byte)[:0] }

func putRaw(raw []byte) { freeRaws.Put((*[maxRaw]byte)(raw[:maxRaw])) }

func class(n int) int { return bits.Len(uint(max(n, minChunk)-1) / minChunk) }
