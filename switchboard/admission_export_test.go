package switchboard

// AdmissionCounts are the counters of what was let in and turned away.
func (s *Server) AdmissionCounts() map[string]int64 { return s.adm.snapshot().Counts }

// HalfOpen is how many connections are in handshake over TCP.
func (s *Server) HalfOpen() int { return s.adm.snapshot().HalfOpenNet }

// Barred is how many sources are refused now.
func (s *Server) Barred() int { return s.adm.snapshot().Barred }

// Sabotage makes the next login of any key panic, until mend is called.
func (s *Server) Sabotage() (mend func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.keys
	s.keys = nil
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.keys = keys
	}
}
