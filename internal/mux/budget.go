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
// To stop reading instead could never end: two sessions would wait for each
// other's window updates.
type Budget struct {
	limit atomic.Int64
	held  atomic.Int64
	busy  atomic.Bool // relieve runs

	mu       sync.Mutex
	sessions map[*Session]struct{}
}

// NewBudget makes a Budget of so many bytes.
func NewBudget(limit int) *Budget {
	b := &Budget{sessions: make(map[*Session]struct{})}
	b.SetLimit(limit)
	return b
}

// SetLimit changes the bound. If more is held now, streams are reset when the next
// bytes are.
func (b *Budget) SetLimit(limit int) { b.limit.Store(int64(limit)) }

// Limit returns the bound of now.
func (b *Budget) Limit() int { return int(b.limit.Load()) }

// Held returns how many bytes are charged now: 0 when all sessions are idle.
func (b *Budget) Held() int64 { return b.held.Load() }

func (b *Budget) enter(s *Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions[s] = struct{}{}
}

func (b *Budget) leave(s *Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, s)
}

func (b *Budget) over() bool { return b.held.Load() > b.limit.Load() }

// relieve resets streams until the bound is kept. The caller holds no lock.
func (b *Budget) relieve() {
	for b.over() && b.busy.CompareAndSwap(false, true) {
		s := b.fullest()
		freed := s != nil && s.relieve()
		b.busy.Store(false)
		if !freed {
			return // what is held belongs to sessions that have ended
		}
	}
}

func (b *Budget) fullest() *Session {
	b.mu.Lock()
	defer b.mu.Unlock()
	var fullest *Session
	for s := range b.sessions {
		if fullest == nil || s.held.Load() > fullest.held.Load() {
			fullest = s
		}
	}
	return fullest
}

// relieve resets the stream that holds most, and reports whether there was one.
func (s *Session) relieve() bool {
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
	s.cfg.Log.Warn("stream reset for its memory", "in", fullest.charged)
	s.cfg.Excess.Held.Add(1)
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
	st.s.cfg.Budget.held.Add(int64(delta))
}
