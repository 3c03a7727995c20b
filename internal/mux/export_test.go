package mux

import "time"

const (
	MinTick = minTick
	MaxTick = maxTick
)

// Accounts returns what the session has on its books: bytes held for readers,
// bytes queued by writers, opens without an answer.
func Accounts(s *Session) (held, queued, unacked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.held.Load()), s.queued, s.unacked
}

// LeadAlways has a stream's Read lead wherever it may, without a streak.
func LeadAlways(s *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lead.always = true
}

// Leader returns whose Read reads the connection, or nil.
func Leader(s *Session) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lead.by
}

// ExpireAndArrive ends the time of a Read that waits, and has data come, before
// that Read can run.
func ExpireAndArrive(st *Stream, data []byte) {
	st.s.mu.Lock()
	defer st.s.unlock()
	st.rd.setLocked(time.Unix(1, 0), &st.rcond)
	st.arriveLocked(data)
}
