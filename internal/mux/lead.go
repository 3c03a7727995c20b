package mux

import (
	"sync"
	"time"
)

const (
	// A free right is looked at once in a sixteenth of the time that the streak
	// has lasted, within these bounds. It is free for two such ticks at most, and
	// so much later may be seen what comes meanwhile.
	minTick = 500 * time.Microsecond
	maxTick = 4 * time.Millisecond

	quickly   = 200 * time.Microsecond // from the arrival of data to the next Read
	minStreak = 8                      // quick returns in a row that free the right
	worth     = 16                     // more of them pay for a miss; one that is not paid for doubles need
	maxStreak = 4096

	// maxAnswer is the largest piece of data that is taken for an answer: to
	// read many bytes takes two goroutines less time than one.
	maxAnswer = 4 << 10
)

// right says who reads the connection.
//
//	background ── data came for a stream in a streak ──▶ free ── it waits in Read ──▶ led
//	    ▲                                                │  ▲                          │
//	    ├─── not in time, or somebody else waits ────────┘  └──── its data has come ───┤
//	    └─── more is at hand; no streak; an error, a kick, the end of the session ─────┘
type right uint8

const (
	background right = iota // readLoop
	free                    // nobody, for a moment
	led                     // the Read of lead.by
)

// lead lets a goroutine that waits in Stream.Read read the connection in place
// of readLoop: whoever asks and is answered in turn need not be woken by
// another goroutine. What comes for other streams it handles as readLoop does.
// Guarded by Session.mu.
type lead struct {
	right  right
	turn   sync.Cond // L is mu; right has become background
	by     *Stream
	kicked bool  // by's Read was interrupted by the connection's read deadline
	err    error // that ended a leader's read

	last   uint32    // the stream that data came for
	fresh  bool      // and whose Read has not waited again since
	streak int       // how often it did so quickly, in a row
	began  time.Time // the streak
	need   int       // the streak that frees the right
	always bool      // any does: for tests

	gen, seen uint64 // how often the right was freed; and had been when ticking began
	timer     *time.Timer
	ticking   bool
}

// hot reports whether the stream that data came for should read on itself.
func (l *lead) hot() bool { return l.fresh && (l.always || l.streak >= l.need) }

// arrivedLocked counts n bytes that have come for st.
func (s *Session) arrivedLocked(st *Stream, n int) {
	l := &s.lead
	if l.last != st.id || st.dst == nil || n > maxAnswer {
		l.last, l.streak = st.id, 0
	}
	l.fresh = true
}

// returnedLocked counts a Read of st that has to wait.
func (s *Session) returnedLocked(st *Stream) {
	l := &s.lead
	if !l.fresh || l.last != st.id {
		return
	}
	l.fresh = false
	switch {
	case l.always || time.Since(s.heard) <= quickly:
		if l.streak++; l.streak == 1 {
			l.began = s.heard
		}
	case l.right == free:
		l.missLocked()
	default:
		l.streak = 0
	}
}

// missLocked ends a streak in which the right was freed.
func (l *lead) missLocked() {
	if l.streak < l.need+worth {
		l.need = min(2*l.need, maxStreak)
	} else {
		l.need = minStreak
	}
	l.streak = 0
}

// rest is called by readLoop between two batches. It gives the right away if
// that is promising, and waits until it is back. The error is a leader's.
func (s *Session) rest() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == live && s.lead.hot() {
		s.freeLocked()
	}
	for s.lead.right != background {
		s.lead.turn.Wait()
	}
	return s.lead.err
}

// leadLocked is called by a Read of st that has to wait. It reads the
// connection instead, if it may, until there is something for Read to look at;
// then it returns true. It gives up the lock meanwhile.
func (s *Session) leadLocked(st *Stream) bool {
	l := &s.lead
	if !s.cfg.Lead || s.dueLocked() {
		return false
	}
	s.returnedLocked(st)
	if l.right != free {
		return false
	}
	if l.last != st.id || !l.always && l.streak < l.need {
		s.backLocked()
		return false
	}
	l.right, l.by = led, st
	st.rd.armLocked(st, &st.rcond)
	for {
		s.mu.Unlock()
		more, err := s.step()
		s.mu.Lock()
		waits := st.got == 0 && !st.recvDone && st.rerr == nil && !st.closed
		switch {
		case err != nil:
			l.err = err
		case l.kicked:
			l.kicked = false
			s.setDeadAtLocked(s.heard) // an error comes again
		case more, waits && (l.last == st.id || !l.hot()):
			continue
		case l.hot() && s.state == live:
			l.by = nil
			s.freeLocked()
			return !waits // else another stream is in a streak
		}
		l.by = nil
		s.backLocked()
		return true
	}
}

// freeLocked leaves the right to whom data has come for, for two ticks at most.
func (s *Session) freeLocked() {
	l := &s.lead
	l.right = free
	l.gen++
	if !l.ticking {
		s.tickFreeLocked(s.heard)
	}
}

func (s *Session) tickFreeLocked(now time.Time) {
	l := &s.lead
	l.ticking, l.seen = true, l.gen
	tick := min(max(now.Sub(l.began)/16, minTick), maxTick)
	if l.timer == nil {
		l.timer = time.AfterFunc(tick, s.onFree)
		return
	}
	l.timer.Reset(tick)
}

// onFree runs on a timer's goroutine: see onTick. It is not armed again for
// each message: that costs more than to find that there was another one.
func (s *Session) onFree() {
	defer s.guard()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.lead
	l.ticking = false
	switch {
	case l.right != free:
	case l.seen == l.gen:
		l.missLocked()
		s.backLocked()
	default:
		s.tickFreeLocked(time.Now())
	}
}

// backLocked gives the right to readLoop.
func (s *Session) backLocked() {
	s.lead.right = background
	s.lead.turn.Signal()
}

// reclaimLocked has the connection read if nobody does.
func (s *Session) reclaimLocked() {
	if s.lead.right == free {
		s.backLocked()
	}
}

// kickLocked has a Read of st that reads the connection look at what has become
// of its stream. The read deadline loses nothing: readLoop goes on.
func (s *Session) kickLocked(st *Stream) {
	l := &s.lead
	if st != nil && l.by == st && !l.kicked {
		l.kicked = true
		s.wire.SetReadDeadline(time.Unix(1, 0)) // an error would end the read as well
	}
}

// othersLocked notes that st has something to say. If the right is free for
// another stream, an answer to st may come meanwhile.
func (s *Session) othersLocked(st *Stream) {
	if s.lead.right == free && s.lead.last != st.id {
		s.backLocked()
	}
}

// overLocked notes that no Read of st will wait again.
func (s *Session) overLocked(st *Stream) {
	if s.lead.last == st.id {
		s.lead.fresh = false
		s.reclaimLocked()
	}
}

// wakeLocked has whoever waits on st look at what has become of it: its end.
func (st *Stream) wakeLocked() {
	st.rcond.Broadcast()
	st.wcond.Broadcast()
	st.s.kickLocked(st)
	st.s.overLocked(st)
}
