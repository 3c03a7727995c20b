package mux

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Chunks have a power of two of bytes as their capacity, from minChunk (what an
// empty buffer may keep) to maxChunk.
const (
	minChunk = 512
	maxChunk = 16 << 10
	classes  = 6 // 512, 1 Ki, … 16 Ki
)

// Pool lends sessions the memory for bytes under way. One Pool may serve any
// number of sessions; an idle session has nothing of it. What nobody has
// borrowed is the garbage collector's to take.
type Pool struct {
	free [classes]sync.Pool // of *byte, the first of a chunk's capacity: a pointer goes in without an allocation
	raws sync.Pool          // of *[maxRaw]byte
}

// NewPool makes a Pool.
func NewPool() *Pool { return new(Pool) }

// get returns an empty chunk for at least n bytes, n at most maxChunk.
func (p *Pool) get(n int) []byte {
	k := class(n)
	if first, ok := p.free[k].Get().(*byte); ok {
		return unsafe.Slice(first, minChunk<<k)[:0]
	}
	return make([]byte, 0, minChunk<<k)
}

// put takes a chunk back whose capacity is as get made it.
func (p *Pool) put(c []byte) { p.free[class(cap(c))].Put(unsafe.SliceData(c)) }

// getRaw returns the memory of one write, empty; putRaw takes it back.
func (p *Pool) getRaw() []byte {
	if raw, ok := p.raws.Get().(*[maxRaw]byte); ok {
		return raw[:0]
	}
	return make([]byte, 0, maxRaw)
}

func (p *Pool) putRaw(raw []byte) { p.raws.Put((*[maxRaw]byte)(raw[:maxRaw])) }

func class(n int) int { return bits.Len(uint(max(n, minChunk)-1) / minChunk) }
