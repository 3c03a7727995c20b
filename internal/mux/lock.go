package mux

import (
	"runtime"
	"sync"
)

// unlock ends a critical section in which something may have become due. It
// must not be called on the way to a wait: see waitLocked.
func (s *Session) unlock() {
	after := s.after
	s.after = nil
	mine := s.claimFlushLocked()
	over := s.cfg.Budget.over()
	s.mu.Unlock()
	for _, f := range after {
		f()
	}
	if over {
		s.cfg.Budget.relieve()
	}
	if mine {
		runtime.Gosched() // whoever is ready to run may add a frame first
		s.flush()
	}
}

// waitLocked waits on c, until d at most, or does what is due instead.
func (s *Session) waitLocked(c *sync.Cond, d *deadline) {
	if len(s.after) > 0 || s.due && !s.writing && !s.promised {
		s.unlock()
		s.mu.Lock()
		return
	}
	d.armLocked(c)
	c.Wait()
}
