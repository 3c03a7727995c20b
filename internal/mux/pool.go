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

// Pool lends sessions the memory for bytes under way. One Pool may serve any
// number of sessions; an idle session has nothing of it. What nobody has
// borrowed is the garbage collector's to take.
type Pool struct {
	chunks [classes]sync.Pool // of *chunk
	raws   sync.Pool          // of *[maxRaw]byte
}

// chunk is a piece of a buffer: its bytes, and its memory as their capacity.
type chunk struct {
	p []byte
}

// NewPool makes a Pool.
func NewPool() *Pool { return new(Pool) }

// get returns an empty chunk for at least n bytes, n at most maxChunk.
func (p *Pool) get(n int) *chunk {
	k := class(n)
	if c, ok := p.chunks[k].Get().(*chunk); ok {
		return c
	}
	return &chunk{make([]byte, 0, minChunk<<k)}
}

// put takes a chunk back.
func (p *Pool) put(c *chunk) {
	c.p = c.p[:0]
	p.chunks[class(cap(c.p))].Put(c)
}

// getRaw returns the memory of one write, empty; putRaw takes it back.
func (p *Pool) getRaw() []byte {
	if raw, ok := p.raws.Get().(*[maxRaw]byte); ok {
		return raw[:0]
	}
	return make([]byte, 0, maxRaw)
}

func (p *Pool) putRaw(raw []byte) { p.raws.Put((*[maxRaw]byte)(raw[:maxRaw])) }

func class(n int) int { return bits.Len(uint(max(n, minChunk)-1) / minChunk) }
