package mux

import (
	"sync"
	"sync/atomic"
)

// Budget bounds the memory that received bytes hold in several sessions
// together: data that was not yet read, and in spliced streams what could not
// yet be sent on. The capacity of the buffers is what counts, so that small
// pieces are no way around it. Over the bound the fullest stream of the fullest
// session is reset, for ErrHeld, until it is kept.
//
// A Budget may be a part of another: what it holds counts against both. Over the
// bound of the whole it is the fullest part that loses a stream, in the same way.
//
// To stop reading instead could never end: two sessions would wait for each
// other's window updates.
type Budget struct {
	whole *Budget // nil: it is no part
	limit atomic.Int64
	held  atomic.Int64
	busy  atomic.Bool // relieve runs

	mu      sync.Mutex
	holders map[holder]struct{} // sessions that live, or parts that have any
}

// holder is what a Budget is charged for: a Session, or a Budget that is a part.
type holder interface {
	holds() int64
	// relieveFor resets the fullest stream, and reports whether there was one.
	relieveFor(*Budget) bool
}

// NewBudget makes a Budget of so many bytes.
func NewBudget(limit int) *Budget {
	b := &Budget{holders: make(map[holder]struct{})}
	b.SetLimit(limit)
	return b
}

// Part makes a Budget of so many bytes that is a part of b.
func (b *Budget) Part(limit int) *Budget {
	part := NewBudget(limit)
	part.whole = b
	return part
}

// SetLimit changes the bound. If more is held now, streams are reset when the next
// bytes are.
func (b *Budget) SetLimit(limit int) { b.limit.Store(int64(limit)) }

// Limit returns the bound of now.
func (b *Budget) Limit() int { return int(b.limit.Load()) }

// Held returns how many bytes are charged now: 0 when all sessions are idle.
func (b *Budget) Held() int64 { return b.held.Load() }

func (b *Budget) enter(h holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.whole != nil && len(b.holders) == 0 {
		b.whole.enter(b)
	}
	b.holders[h] = struct{}{}
}

func (b *Budget) leave(h holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.holders, h)
	if b.whole != nil && len(b.holders) == 0 {
		b.whole.leave(b)
	}
}

// charge adds n bytes, or takes them off.
func (b *Budget) charge(n int64) {
	for ; b != nil; b = b.whole {
		b.held.Add(n)
	}
}

// over reports whether a bound is passed, its own or that of the whole.
func (b *Budget) over() bool {
	for ; b != nil; b = b.whole {
		if b.passed() {
			return true
		}
	}
	return false
}

func (b *Budget) passed() bool { return b.held.Load() > b.limit.Load() }

// relieve resets streams until the bounds are kept. The caller holds no lock.
func (b *Budget) relieve() {
	for ; b != nil; b = b.whole {
		for b.passed() && b.busy.CompareAndSwap(false, true) {
			freed := b.relieveFor(b)
			b.busy.Store(false)
			if !freed {
				break // what is held belongs to sessions that have ended
			}
		}
	}
}

func (b *Budget) holds() int64 { return b.held.Load() }

func (b *Budget) relieveFor(passed *Budget) bool {
	h := b.fullest()
	return h != nil && h.relieveFor(passed)
}

func (b *Budget) fullest() (fullest holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for h := range b.holders {
		if fullest == nil || h.holds() > fullest.holds() {
			fullest = h
		}
	}
	return fullest
}

func (s *Session) holds() int64 { return s.held.Load() }

func (s *Session) relieveFor(passed *Budget) bool {
	s.mu.Lock()
	defer s.unlock()
	var fullest *Stream
	for _, st := range s.streams {
		if fullest == nil || st.charged > fullest.charged {
			fullest = st
		}
	}
	if fullest == nil || fullest.charged == 0 {
		return false
	}
	met := &s.cfg.Excess.Held
	if passed != s.cfg.Budget {
		met = &s.cfg.Excess.Whole
	}
	met.Add(1)
	s.cfg.Log.Warn("stream reset for its memory", "in", fullest.charged)
	fullest.abortLocked(ErrHeld, ReasonQuota)
	return true
}

// chargeLocked brings what the stream is charged up to date.
func (st *Stream) chargeLocked() {
	now := st.in.held
	if st.pair != nil {
		now += st.out.held
	}
	delta := now - st.charged
	if delta == 0 {
		return
	}
	st.charged = now
	st.s.held.Add(int64(delta))
	st.s.cfg.Budget.charge(int64(delta))
}
