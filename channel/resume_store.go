package channel

import (
	"slices"
	"sync"
)

// blockSize is the unit in which a store takes memory.
const blockSize = 16 << 10

type block [blockSize]byte

var blocks = sync.Pool{New: func() any { return new(block) }}

// store holds bytes by their number. It has memory only for blocks that hold
// some, so at most one block more than what is in it, if that is in one piece.
type store struct {
	first uint64 // number of the block held[0]
	held  []*block
}

// put copies b to off and behind. Nothing below a drop may be put.
func (s *store) put(off uint64, b []byte) {
	if len(s.held) == 0 {
		s.first = off / blockSize
	}
	if at := off / blockSize; at < s.first { // the first to come was out of order
		s.held = slices.Insert(s.held, 0, make([]*block, s.first-at)...)
		s.first = at
	}
	for len(b) > 0 {
		i := int(off/blockSize - s.first)
		for len(s.held) <= i {
			s.held = append(s.held, nil)
		}
		if s.held[i] == nil {
			s.held[i] = blocks.Get().(*block)
		}
		n := copy(s.held[i][off%blockSize:], b)
		off, b = off+uint64(n), b[n:]
	}
}

// get copies what was put at off into b.
func (s *store) get(b []byte, off uint64) {
	for len(b) > 0 {
		n := copy(b, s.held[off/blockSize-s.first][off%blockSize:])
		off, b = off+uint64(n), b[n:]
	}
}

// drop forgets all below off; empty says that there is nothing else.
func (s *store) drop(off uint64, empty bool) {
	n := len(s.held)
	if !empty {
		n = min(n, int(off/blockSize-min(s.first, off/blockSize)))
	}
	for _, b := range s.held[:n] {
		if b != nil {
			blocks.Put(b)
		}
	}
	rest := copy(s.held, s.held[n:])
	clear(s.held[rest:])
	s.held = s.held[:rest]
	s.first += uint64(n)
}

// size is the memory of the store in bytes.
func (s *store) size() int {
	n := 0
	for _, b := range s.held {
		if b != nil {
			n += blockSize
		}
	}
	return n
}
