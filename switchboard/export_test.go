package switchboard

import "fmt"

// Leftovers says what a server that has stopped still has in its books, or "".
// Moved channels outlive it.
func (s *Server) Leftovers() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sessions := 0
	for _, k := range s.keys {
		sessions += k.sessions
	}
	_, entries := s.registry.Snapshot(s.started)
	if len(s.sessions)+len(s.watches)+len(s.offers)+len(s.links)+len(s.moved.of)+s.total+sessions+len(entries) == 0 && s.matcher.Empty() {
		return ""
	}
	return fmt.Sprintf("%d sessions, %d watches, %d offers, %d links, %d sessions with moved channels, %d logins, %d sessions of keys, %d names",
		len(s.sessions), len(s.watches), len(s.offers), len(s.links), len(s.moved.of), s.total, sessions, len(entries))
}

// Moved is how many moved channels the books have.
func (s *Server) Moved() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.moved.channels)
}
