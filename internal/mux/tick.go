package mux

import "time"

// startTick begins the keepalive.
func (s *Session) startTick() {
	if s.cfg.KeepAlive <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick = time.AfterFunc(s.cfg.KeepAlive, s.onTick)
}

// onTick runs on the timer's goroutine, which nobody has to wait for: what it
// sends does not block.
func (s *Session) onTick() {
	s.mu.Lock()
	defer s.unlock()
	if s.state != live {
		return
	}
	for _, st := range s.streams {
		st.lingerLocked()
	}
	next := s.cfg.KeepAlive
	if quiet := time.Since(s.heard); quiet < next {
		next -= quiet
	} else {
		s.pingDue, s.due = true, true
	}
	s.tick.Reset(next)
}
