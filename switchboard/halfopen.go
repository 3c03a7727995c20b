package switchboard

import (
	"container/list"
	"time"
)

// stage is how far a handshake has come.
type stage uint8

const (
	stageOpened stage = iota // nothing, or nothing whole, has come
	stageHello               // message 1 of a network of ours
	stageProof               // message 3
	stages
)

// patience is how long a connection may wait for its peer's next message before
// it is the first to go: a login takes two round trips.
const patience = 500 * time.Millisecond

// maxLeaving is how many connections of a pool that have lost their place may not
// be closed yet.
const maxLeaving = 16

// halfOpen are the connections of one kind that have not yet logged in. When it
// is full one of them is closed for the newcomer:
//
//   - of those that have waited longer than patience at their stage, the ones
//     that have come the least far; of these the source that has the most; of its
//     connections the one that has waited longest;
//   - while none has, one of those whose handshake has not begun: see porch;
//   - while there is none either, the one that has waited longest.
//
// So those that stall pay, and newcomers that mean it win. It is pure: times are
// since any fixed moment, and arguments.
type halfOpen struct {
	max    int
	door   chan struct{} // has one of each connection until that is closed or logged in; its owner's
	n      int
	porch  porch
	lines  [stages]list.List // of *waiting, who waits longest first
	crowds map[source]*crowd
	round  int
}

// crowd are the connections of one source in a pool.
type crowd struct {
	n     int
	late  int // in this round
	round int
}

// waiting is a connection in a pool. drop, which its owner gives, closes it; start
// begins the handshake of one that had to wait for that.
type waiting struct {
	drop   func(why error)
	start  func()
	pool   *halfOpen // nil: it is out
	source source
	stage  stage
	since  time.Duration // it began to wait at its stage
	begun  bool          // its handshake; else it is on the porch
	place  *list.Element
}

func newHalfOpen(most int) *halfOpen {
	return &halfOpen{max: most, door: make(chan struct{}, most+maxLeaving), crowds: make(map[source]*crowd)}
}

// add takes a connection in; wait: its handshake begins when next returns it.
// victim, if not nil, is out instead, and is to be dropped.
func (h *halfOpen) add(now time.Duration, src source, drop func(error), wait bool) (w, victim *waiting) {
	if h.n >= h.max {
		victim = h.shed(now)
	}
	w = &waiting{drop: drop, pool: h, source: src, since: now, begun: !wait}
	if wait {
		h.porch.add(w)
	} else {
		w.place = h.lines[stageOpened].PushBack(w)
	}
	c := h.crowds[src]
	if c == nil {
		c = new(crowd)
		h.crowds[src] = c
	}
	c.n++
	h.n++
	return w, victim
}

// next is the connection whose handshake is to begin, or nil.
func (h *halfOpen) next(now time.Duration) *waiting {
	w := h.porch.next()
	if w != nil {
		w.begun, w.since = true, now
		w.place = h.lines[stageOpened].PushBack(w)
	}
	return w
}

// advance notes that a connection has come to a stage. It does nothing to one
// that is out.
func (w *waiting) advance(now time.Duration, to stage) {
	if h := w.pool; h != nil {
		h.lines[w.stage].Remove(w.place)
		w.stage, w.since = to, now
		w.place = h.lines[to].PushBack(w)
	}
}

// remove takes a connection out, if it is not: one whose handshake has begun, or that
// is off the porch.
func (w *waiting) remove() *waiting {
	if w == nil || w.pool == nil {
		return w
	}
	h := w.pool
	if w.begun {
		h.lines[w.stage].Remove(w.place)
	}
	c := h.crowds[w.source]
	if c.n--; c.n == 0 {
		delete(h.crowds, w.source)
	}
	h.n--
	w.pool = nil
	return w
}

// shed takes out the connection that is the first to go. It returns nil if there
// is none.
func (h *halfOpen) shed(now time.Duration) *waiting {
	var oldest *waiting
	for i := range h.lines {
		front := h.lines[i].Front()
		if front == nil {
			continue
		}
		w := front.Value.(*waiting)
		if now-w.since > patience {
			return h.heaviest(now, front).remove()
		}
		if oldest == nil || w.since < oldest.since {
			oldest = w
		}
	}
	if w := h.porch.heaviest(); w != nil {
		return w.remove()
	}
	return oldest.remove()
}

// heaviest is, of the connections from e on that have waited longer than
// patience, the first of the source that has the most of them, or of one of these.
func (h *halfOpen) heaviest(now time.Duration, e *list.Element) *waiting {
	h.round++
	most, first := 0, e
	for ; e != nil; e = e.Next() {
		w := e.Value.(*waiting)
		if now-w.since <= patience {
			break
		}
		c := h.crowds[w.source]
		if c.round != h.round {
			c.round, c.late = h.round, 0
		}
		c.late++
		most = max(most, c.late)
	}
	for e = first; h.crowds[e.Value.(*waiting).source].late < most; {
		e = e.Next()
	}
	return e.Value.(*waiting)
}
