package names

import "sort"

// history is what Since answers from: the last changes, and the revs that
// snapshots drew, so that a rev of another registry is told from one of its own
// even after the clock stepped back between two starts.
type history struct {
	changes ring[Change]
	drawn   ring[uint64]
	floor   uint64 // rev of the last change that left the log; 0: none has
	fallen  Name   // whose that was
}

func newHistory(size int) history {
	return history{changes: ring[Change]{size: size}, drawn: ring[uint64]{size: size}}
}

func (h *history) add(c Change) {
	if old, full := h.changes.push(c); full {
		h.floor, h.fallen = old.Rev, old.Name
	}
}

// Since returns the changes after rev, in order; the slice is the caller's. It is
// false if the log does not reach back to rev, or if rev is neither a change nor a
// snapshot of this registry that is still known: the caller then needs a Snapshot.
// It knows the last Limits.Log changes and the last Limits.Log snapshots. What
// the log holds stays in memory, so its infos cost up to 4 KiB a change.
func (r *Registry) Since(rev uint64) ([]Change, bool) {
	h := &r.log
	if rev < h.floor {
		return nil, false
	}
	n := h.changes.len()
	first := sort.Search(n, func(i int) bool { return h.changes.at(i).Rev > rev })
	if !h.own(rev, first) {
		return nil, false
	}
	changes := make([]Change, 0, n-first)
	for i := first; i < n; i++ {
		changes = append(changes, h.changes.at(i))
	}
	return changes, true
}

// Changed returns the name that a change was about, of those that Since knows.
func (r *Registry) Changed(rev uint64) (Name, bool) {
	h := &r.log
	if rev == h.floor && rev != 0 {
		return h.fallen, true
	}
	n := h.changes.len()
	i := sort.Search(n, func(i int) bool { return h.changes.at(i).Rev >= rev })
	if i == n || h.changes.at(i).Rev != rev {
		return "", false
	}
	return h.changes.at(i).Name, true
}

// own reports whether rev was drawn here; first is the number of changes up to it.
func (h *history) own(rev uint64, first int) bool {
	if first > 0 && h.changes.at(first-1).Rev == rev {
		return true
	}
	if rev == h.floor && rev != 0 {
		return true
	}
	n := h.drawn.len()
	i := sort.Search(n, func(i int) bool { return h.drawn.at(i) >= rev })
	return i < n && h.drawn.at(i) == rev
}

// ring keeps the last size items; 0 is the oldest. It grows to its size as it is
// filled.
type ring[T any] struct {
	items []T
	start int
	size  int
}

// push adds v and returns the item that had to go, if one had.
func (q *ring[T]) push(v T) (old T, full bool) {
	if len(q.items) < q.size {
		q.items = append(q.items, v)
		return old, false
	}
	old = q.items[q.start]
	q.items[q.start] = v
	q.start = (q.start + 1) % q.size
	return old, true
}

func (q *ring[T]) len() int { return len(q.items) }

func (q *ring[T]) at(i int) T { return q.items[(q.start+i)%len(q.items)] }
