package mux

import (
	"errors"
	"time"
)

// ErrPanic ends a session on whose behalf something has panicked: see
// Config.Panicked.
var ErrPanic = errors.New("mux: a panic on behalf of the session")

// lockPatience is how long the session may be locked after a panic by others, who
// lock it for moments.
const lockPatience = 5 * time.Second

// guard, when deferred by what runs on a goroutine of the session, or on whoever's
// there is, makes a panic the end of this session and of nothing else, if the Config
// asks for that.
func (s *Session) guard() {
	if s.cfg.Panicked == nil {
		return
	}
	v := recover()
	if v == nil {
		return
	}
	s.cfg.Panicked(v)
	for end := time.Now().Add(lockPatience); !s.mu.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			panic(v) // it has left the session locked: nothing can go on
		}
	}
	s.writing, s.promised = false, false
	s.endLocked(dead, ErrPanic)
	s.quiet.Broadcast()
	s.unlockQuiet()
	s.wire.hangUp()
}

// call calls what was to be called when mu is unlocked: one that panics does not
// keep the others from it.
func (s *Session) call(after []func()) {
	for _, f := range after {
		s.callOne(f)
	}
}

func (s *Session) callOne(f func()) {
	defer s.guard()
	f()
}
