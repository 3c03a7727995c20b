package mux

import (
	"fmt"
	"slices"
)

// maxRuns bounds the memory of an idSet and of an idQueue: 8 KiB each.
const maxRuns = 1024

// run is the ids first, first+2, … last.
type run struct {
	first, last uint32
}

// idSet is the set of all stream ids that a peer has used, in a few bytes:
// ids come nearly in order (hashicorp/yamux may send the SYNs of opens that
// run side by side out of order), so that it keeps the gaps.
type idSet struct {
	next uint64 // the lowest id above all used; more than 2³² when there is none
	gaps []run  // unused below next, ascending
}

// add uses id. Twice is ErrProtocol; too many gaps is ErrFlood.
func (s *idSet) add(id uint32) error {
	if uint64(id) >= s.next {
		if uint64(id) > s.next {
			if len(s.gaps) == maxRuns {
				return fmt.Errorf("%w: stream ids with too many gaps", ErrFlood)
			}
			s.gaps = append(s.gaps, run{uint32(s.next), id - 2})
		}
		s.next = uint64(id) + 2
		return nil
	}
	i, found := s.gap(id)
	if !found {
		return fmt.Errorf("%w: stream %d opened twice", ErrProtocol, id)
	}
	g := s.gaps[i]
	switch {
	case g.first == g.last:
		s.gaps = slices.Delete(s.gaps, i, i+1)
	case id == g.first:
		s.gaps[i].first += 2
	case id == g.last:
		s.gaps[i].last -= 2
	case len(s.gaps) == maxRuns:
		return fmt.Errorf("%w: stream ids with too many gaps", ErrFlood)
	default:
		s.gaps[i].last = id - 2
		s.gaps = slices.Insert(s.gaps, i+1, run{id + 2, g.last})
	}
	return nil
}

// has says whether id was used.
func (s *idSet) has(id uint32) bool {
	if uint64(id) >= s.next {
		return false
	}
	_, gap := s.gap(id)
	return !gap
}

func (s *idSet) gap(id uint32) (int, bool) {
	return slices.BinarySearchFunc(s.gaps, id, func(g run, id uint32) int {
		switch {
		case g.last < id:
			return -1
		case g.first > id:
			return 1
		}
		return 0
	})
}

// idQueue is the ids that await a reset frame. Opens that are refused come in
// a row, and a row costs the same as one.
type idQueue struct {
	runs []run
}

// push appends id, or is ErrFlood.
func (q *idQueue) push(id uint32) error {
	if n := len(q.runs); n > 0 && uint64(q.runs[n-1].last)+2 == uint64(id) {
		q.runs[n-1].last = id
		return nil
	}
	if len(q.runs) == maxRuns {
		return fmt.Errorf("%w: too many resets wait", ErrFlood)
	}
	q.runs = append(q.runs, run{id, id})
	return nil
}

// pop removes the first id; false when there is none.
func (q *idQueue) pop() (uint32, bool) {
	if len(q.runs) == 0 {
		return 0, false
	}
	r := &q.runs[0]
	id := r.first
	if r.first == r.last {
		q.runs = q.runs[1:]
		if len(q.runs) == 0 {
			q.runs = nil
		}
	} else {
		r.first += 2
	}
	return id, true
}
