package muxrpc

import "sync"

// Limit bounds the calls and streams in flight that a peer started. One Limit may be shared by several sessions: the lanes
// of one peer's session count together. Safe for concurrent use; use [NewLimit].
type Limit struct {
	most int // set at construction

	mu      sync.Mutex
	used    int
	refused uint64
}

// NewLimit returns a Limit of n calls and streams.
func NewLimit(n int) *Limit { return &Limit{most: n} }

// InUse is the number of calls and streams in flight now.
func (l *Limit) InUse() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used
}

// Refused is how many calls and streams there were over it.
func (l *Limit) Refused() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

func (l *Limit) acquire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used >= l.most {
		l.refused++
		return false
	}
	l.used++
	return true
}

func (l *Limit) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used == 0 {
		panic("muxrpc: limit released more often than acquired")
	}
	l.used--
}
