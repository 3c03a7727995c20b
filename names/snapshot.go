package names

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Snapshot returns every owned name, sorted by name, with a fresh rev that no
// change shares: all changes below it are in, none above. The slice is shared
// between snapshots and must not be changed; it costs nothing when nothing has
// changed since the last one, and one pass over the names otherwise.
func (r *Registry) Snapshot(now time.Time) (uint64, []*Entry) {
	rev := r.draw(now)
	r.log.drawn.push(rev)
	return rev, r.index.entries(r.names)
}

// index is the sorted view of the registry, brought up to date when somebody asks.
type index struct {
	sorted []*Entry          // as handed out: never written again
	dirty  map[Name]struct{} // names whose entry in sorted may be wrong
	stale  bool              // sorted is given up: too much has changed
}

// touch notes that the entry of n changed. Nobody may ever ask for a snapshot, so
// the notes are bounded: with more than half of all names touched, sorting anew is
// as cheap.
func (x *index) touch(n Name, names int) {
	if x.stale {
		return
	}
	if x.dirty == nil {
		x.dirty = make(map[Name]struct{})
	}
	x.dirty[n] = struct{}{}
	if len(x.dirty) > names/2+64 {
		*x = index{stale: true}
	}
}

// entries returns the sorted entries of names.
func (x *index) entries(names map[Name]*record) []*Entry {
	switch {
	case x.stale:
		x.sorted = make([]*Entry, 0, len(names))
		for _, rec := range names {
			x.sorted = append(x.sorted, rec.entry)
		}
		slices.SortFunc(x.sorted, func(a, b *Entry) int { return compareNames(a.Name, b.Name) })
	case len(x.dirty) > 0:
		x.sorted = x.merge(names)
	}
	x.dirty, x.stale = nil, false
	return x.sorted
}

// merge writes a new slice: the old one without the dirty names, and these in
// their places as they are now.
func (x *index) merge(names map[Name]*record) []*Entry {
	merged := make([]*Entry, 0, len(names))
	rest := x.sorted
	for _, n := range slices.Sorted(maps.Keys(x.dirty)) {
		i, found := slices.BinarySearchFunc(rest, n, func(e *Entry, n Name) int { return compareNames(e.Name, n) })
		merged = append(merged, rest[:i]...)
		if found {
			i++
		}
		rest = rest[i:]
		if rec, ok := names[n]; ok {
			merged = append(merged, rec.entry)
		}
	}
	return append(merged, rest...)
}

// compareNames orders names by their bytes.
func compareNames(a, b Name) int { return strings.Compare(string(a), string(b)) }
