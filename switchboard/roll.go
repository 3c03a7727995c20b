package switchboard

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
)

// roll is the list of all names as it goes over the wire, kept in leaves of
// neighbouring names. A leaf is never changed: readers send it while the next
// roll is made, which shares every leaf in which nothing has changed. So a list
// costs a look at each entry's address and what it takes to write the entries
// that are new, whoever asks and however much has happened since.
type roll struct {
	mu      sync.Mutex
	entries []*names.Entry // the snapshot that leaves show
	leaves  []*leaf
}

// leafSize is the most entries of a leaf; a list of any length has at least a
// quarter of it in each, on average.
const leafSize = 128

// usualEntry is the size of most entries' texts, nearly.
const usualEntry = 160

// leaf is some entries in a row.
type leaf struct {
	entries []*names.Entry
	whole   row  // ,{…},{…}: without info and waiters
	brief   row  // ,"…","…": the names alone
	waits   bool // somebody waits for one of them
}

// row is what is listed of the entries of a leaf, each behind a comma.
type row struct {
	text []byte
	ends []uint32 // of each entry's part in text
}

// span is the text of the entries i up to j.
func (w *row) span(i, j int) []byte {
	begin, end := uint32(0), uint32(0)
	if i > 0 {
		begin = w.ends[i-1]
	}
	if j > 0 {
		end = w.ends[j-1]
	}
	return w.text[begin:end]
}

// ended notes that all of an entry is in text.
func (w *row) ended() { w.ends = append(w.ends, uint32(len(w.text))) }

// joined is w and behind it v.
func (w *row) joined(v *row) row {
	both := row{text: slices.Concat(w.text, v.text), ends: slices.Concat(w.ends, v.ends)}
	for i := range v.ends {
		both.ends[len(w.ends)+i] += uint32(len(w.text))
	}
	return both
}

// at returns the leaves that show a snapshot of the registry.
func (r *roll) at(entries []*names.Entry) []*leaf {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !same(entries, r.entries) {
		r.leaves = renew(r.leaves, entries)
		r.entries = entries
	}
	return r.leaves
}

// same reports whether two snapshots are one.
func same(a, b []*names.Entry) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// renew makes the leaves of entries from older ones.
func renew(old []*leaf, entries []*names.Entry) []*leaf {
	leaves := make([]*leaf, 0, len(old)+1)
	for k, lf := range old {
		n := len(lf.entries)
		if n > len(entries) || !slices.Equal(entries[:n], lf.entries) {
			n = len(entries)
			if k+1 < len(old) {
				next := old[k+1].entries[0].Name
				n = sort.Search(n, func(i int) bool { return entries[i].Name >= next })
			}
			leaves = appendLeaves(leaves, lf, entries[:n])
		} else {
			leaves = appendLeaf(leaves, lf)
		}
		entries = entries[n:]
	}
	return appendLeaves(leaves, &leaf{}, entries)
}

// appendLeaves writes entries, of which some may stand in old.
func appendLeaves(leaves []*leaf, old *leaf, entries []*names.Entry) []*leaf {
	i := 0
	for part := range slices.Chunk(entries, leafSize) {
		lf := &leaf{entries: slices.Clone(part)}
		lf.whole.text = make([]byte, 0, max(len(old.whole.text), usualEntry*len(part))+usualEntry)
		lf.whole.ends = make([]uint32, 0, len(part))
		lf.brief.ends = make([]uint32, 0, len(part))
		for _, e := range part {
			for i < len(old.entries) && old.entries[i].Name < e.Name {
				i++
			}
			if i < len(old.entries) && old.entries[i] == e {
				lf.whole.text = append(lf.whole.text, old.whole.span(i, i+1)...)
			} else {
				w := wireEntry(e)
				w.Info, w.Waiters = nil, 0
				lf.whole.text = control.AppendEntry(append(lf.whole.text, ','), &w)
			}
			lf.whole.ended()
			lf.waits = lf.waits || e.Waiters > 0
			lf.brief.text = append(append(append(lf.brief.text, `,"`...), e.Name...), '"') // names have no escapes
			lf.brief.ended()
		}
		leaves = appendLeaf(leaves, lf)
	}
	return leaves
}

// appendLeaf appends lf; two leaves that are small become one.
func appendLeaf(leaves []*leaf, lf *leaf) []*leaf {
	last := len(leaves) - 1
	if last < 0 || len(leaves[last].entries)+len(lf.entries) > leafSize/2 {
		return append(leaves, lf)
	}
	a := leaves[last]
	leaves[last] = &leaf{
		entries: slices.Concat(a.entries, lf.entries),
		whole:   a.whole.joined(&lf.whole),
		waits:   a.waits || lf.waits,
		brief:   a.brief.joined(&lf.brief),
	}
	return leaves
}

// pageRoom is what a page leaves for the fields around its entries.
const pageRoom = 1 << 10

// listing says what a list shows.
type listing struct {
	rights *rights
	match  match
	after  string
	brief  bool
}

// row is what is listed of a leaf.
func (l *listing) row(lf *leaf) *row {
	switch {
	case l.brief:
		return &lf.brief
	case lf.waits:
		return l.waited(lf)
	}
	return &lf.whole
}

// waited is the row of a leaf with the number of waiters where the reader may
// know it.
func (l *listing) waited(lf *leaf) *row {
	var w row
	for i, e := range lf.entries {
		w.text = append(w.text, lf.whole.span(i, i+1)...)
		if e.Waiters > 0 && l.rights.may(policy.Own, object(e.Name)) {
			w.text = strconv.AppendInt(append(w.text[:len(w.text)-1], `,"waiters":`...), int64(e.Waiters), 10)
			w.text = append(w.text, '}')
		}
		w.ended()
	}
	return &w
}

// page returns what is listed, joined by commas, as far as a page has room, and
// whether there is more. The parts may be sent, not changed.
func (l *listing) page(leaves []*leaf) (parts [][]byte, more bool) {
	leaves, first := behind(leaves, l.after)
	if l.match.names == (names.Pattern{}) {
		parts, more = l.pageOfAll(leaves, first)
	} else {
		parts, more = l.pageOfMatches(leaves, first)
	}
	if len(parts) > 0 {
		parts[0] = parts[0][1:] // the first comma
	}
	return parts, more
}

// behind cuts off the leaves before the first name behind after, and says which
// entry of the first leaf left that name is.
func behind(leaves []*leaf, after string) ([]*leaf, int) {
	if after == "" {
		return leaves, 0
	}
	k := sort.Search(len(leaves), func(k int) bool {
		lf := leaves[k].entries
		return string(lf[len(lf)-1].Name) > after
	})
	if k == len(leaves) {
		return nil, 0
	}
	return leaves[k:], sort.Search(len(leaves[k].entries), func(i int) bool { return strings.Compare(string(leaves[k].entries[i].Name), after) > 0 })
}

func (l *listing) pageOfAll(leaves []*leaf, first int) (parts [][]byte, more bool) {
	room := control.MaxPeerBody - pageRoom
	for _, lf := range leaves {
		w := l.row(lf)
		text := w.span(first, len(w.ends))
		if len(text) > room {
			n := first + sort.Search(len(w.ends)-first, func(i int) bool { return len(w.span(first, first+i+1)) > room })
			if n > first {
				parts = append(parts, w.span(first, n))
			}
			return parts, true
		}
		parts = append(parts, text)
		room -= len(text)
		first = 0
	}
	return parts, false
}

// pageOfMatches copies: a part for each name would cost more on its way.
func (l *listing) pageOfMatches(leaves []*leaf, first int) (parts [][]byte, more bool) {
	room := control.MaxPeerBody - pageRoom
	var b []byte
	for _, lf := range leaves {
		w := l.row(lf)
		for i := first; i < len(w.ends); i++ {
			if !l.match.names.Match(lf.entries[i].Name) {
				continue
			}
			text := w.span(i, i+1)
			if len(b)+len(text) > room {
				return [][]byte{b}, true
			}
			b = append(b, text...)
		}
		first = 0
	}
	if len(b) == 0 {
		return nil, false
	}
	return [][]byte{b}, false
}
