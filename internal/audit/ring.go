package audit

import "sort"

// ring holds the newest records. It grows up to its size.
type ring struct {
	size    int
	records []Record
	total   uint64 // ever added
}

func (g *ring) add(r Record) {
	if len(g.records) < g.size {
		g.records = append(g.records, r)
	} else {
		g.records[g.total%uint64(g.size)] = r
	}
	g.total++
}

// at is the record that was added as number n, counted from 0. It must be held.
func (g *ring) at(n uint64) *Record { return &g.records[n%uint64(g.size)] }

// oldest is the number of the oldest that is held.
func (g *ring) oldest() uint64 { return g.total - uint64(len(g.records)) }

// after is the number of the first record held with a higher seq.
func (g *ring) after(seq uint64) uint64 {
	oldest := g.oldest()
	return oldest + uint64(sort.Search(len(g.records), func(i int) bool { return g.at(oldest+uint64(i)).Seq > seq }))
}

// pick returns the newest records that f picks, the oldest of them first.
func (g *ring) pick(f Filter) (picked []Record) {
	for n := g.total; n > g.oldest(); n-- {
		if r := g.at(n - 1); f.Match(r) {
			if picked = append(picked, *r); len(picked) == f.Limit {
				break
			}
		}
	}
	for i, j := 0, len(picked)-1; i < j; i, j = i+1, j-1 {
		picked[i], picked[j] = picked[j], picked[i]
	}
	return picked
}
