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
	alone := s.lead.right == free
	s.mu.Unlock()
	s.call(after)
	if over {
		s.cfg.Budget.relieve()
	}
	if mine {
		if !alone { // else nobody is expected, and it costs the wake of a processor
			runtime.Gosched() // whoever is ready to run may add a frame first
		}
		s.flush()
	}
}

// waitLocked waits on c, of st, until d at most, or does what is due instead.
func (s *Session) waitLocked(st *Stream, c *sync.Cond, d *deadline) {
	if s.dueLocked() {
		s.unlock()
		s.mu.Lock()
		return
	}
	d.armLocked(st, c)
	c.Wait()
}

// dueLocked reports whether something is due that unlock would do.
func (s *Session) dueLocked() bool {
	return len(s.after) > 0 || s.due && !s.writing && !s.promised
}
