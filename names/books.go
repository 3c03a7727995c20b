package names

import (
	"maps"
	"slices"
)

// books says what each session, or each key, holds. Who holds nothing is not in
// the map.
type books[K comparable] map[K]*holding

// holding is what one session or key has.
type holding struct {
	owned map[Name]struct{}
	waits map[Name]int // how many times it waits: 1 for a session, one per session for a key
	total int          // owned plus all waits: what NamesPerKey limits
}

func (b books[K]) own(k K, n Name) {
	h := b.of(k)
	if h.owned == nil {
		h.owned = make(map[Name]struct{})
	}
	h.owned[n] = struct{}{}
	h.total++
}

func (b books[K]) disown(k K, n Name) {
	delete(b[k].owned, n)
	b.less(k)
}

func (b books[K]) wait(k K, n Name) {
	h := b.of(k)
	if h.waits == nil {
		h.waits = make(map[Name]int)
	}
	h.waits[n]++
	h.total++
}

func (b books[K]) unwait(k K, n Name) {
	h := b[k]
	if h.waits[n]--; h.waits[n] == 0 {
		delete(h.waits, n)
	}
	b.less(k)
}

func (b books[K]) total(k K) int {
	if h, ok := b[k]; ok {
		return h.total
	}
	return 0
}

func (b books[K]) owned(k K) []Name {
	if h, ok := b[k]; ok {
		return slices.Sorted(maps.Keys(h.owned))
	}
	return nil
}

func (b books[K]) waiting(k K) []Name {
	if h, ok := b[k]; ok {
		return slices.Sorted(maps.Keys(h.waits))
	}
	return nil
}

func (b books[K]) of(k K) *holding {
	h, ok := b[k]
	if !ok {
		h = &holding{}
		b[k] = h
	}
	return h
}

// less counts one holding down and forgets who has none.
func (b books[K]) less(k K) {
	if b[k].total--; b[k].total == 0 {
		delete(b, k)
	}
}
