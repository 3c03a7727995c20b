package mux

// Accounts returns what the session has on its books: bytes held for readers,
// bytes queued by writers, opens without an answer.
func Accounts(s *Session) (held, queued, unacked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.held.Load()), s.queued, s.unacked
}
