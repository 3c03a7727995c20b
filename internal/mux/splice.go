package mux

import "sync/atomic"

// Splice joins two streams, of one session or of two, so that what arrives for
// one goes on to the other: data in frames of the other session, FIN as FIN. A
// reader passes on what it has read, and writes it, as far as that needs no
// wait, before it reads more: there is no goroutine and no buffer of its own.
//
// Windows are granted end to end: what the peer behind one stream grants is
// granted to the peer behind the other, so that each may send what the other
// has room for. What is held between them is on the Budget of the session that
// it goes to: at most the window, and more than a write only if that session's
// connection takes no bytes.
type Splice struct {
	// Over is called once, when both ends have been sent on: with nil; or
	// when either stream has broken: with that stream and its error. It then
	// has to reset the other one. It runs on any goroutine, with no lock held,
	// and must not wait.
	Over func(broken *Stream, err error)

	// AB and BA count the bytes passed on, while it runs and after.
	AB, BA atomic.Int64

	a     *Stream
	both  atomic.Pointer[[2]*Stream] // set when they are joined
	ended atomic.Int32               // directions
	told  atomic.Bool                // Over was called: what it does may break the other stream
}

// Join begins. From then on nobody else may use a or b but to reset them, and
// j is theirs. What had arrived goes first.
func (j *Splice) Join(a, b *Stream) {
	j.a = a
	toA, fromA := a.enter(j, b)
	toB, fromB := b.enter(j, a)
	// Nothing moves before both sides are counted: what a's peer may still send
	// and what b's peer may still take shrink together from here on.
	a.addCredit(toB - fromA)
	b.addCredit(toA - fromB)
	a.move()
	b.move()
	j.both.Store(&[2]*Stream{a, b})
}

// Waiting reports whether there are bytes that cannot go on: what has come, or what a
// peer could send if the other end left it any window.
func (j *Splice) Waiting() bool {
	both := j.both.Load()
	return both != nil && (both[0].waits() || both[1].waits())
}

func (st *Stream) waits() bool {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	return st.out.n > 0 || st.recvWin == 0 && st.grant == 0 && !st.paced && !st.recvDone && !st.gotFIN
}

// enter makes st part of j. It returns how much may be sent to its peer, and
// how much its peer has sent that is here or may still send. What the peer
// grants from now on is the other's credit.
func (st *Stream) enter(j *Splice, other *Stream) (to, from int64) {
	st.s.mu.Lock()
	defer st.s.unlock()
	st.rd.stopLocked()
	st.wr.stopLocked()
	st.event = nil
	st.s.queued -= st.out.n // charged from now on
	st.pair, st.other = j, other
	st.chargeLocked()
	if st.closed || st.rerr != nil || st.werr != nil {
		err := st.rerr
		if err == nil {
			err = st.werr
		}
		st.breakLocked(err)
	}
	return st.sendWin, int64(st.recvWin) + int64(st.grant) + int64(st.in.n)
}

// addCredit settles what the two windows differ by, and what was granted since.
func (st *Stream) addCredit(n int64) {
	st.s.mu.Lock()
	defer st.s.unlock()
	st.credit += n
	st.ready = true
	st.grantCreditLocked()
}

// passCredit hands on what other's peer has granted; by is the reader at work.
func (st *Stream) passCredit(by *Session, n int64) {
	s := st.s
	s.mu.Lock()
	st.credit += n
	st.grantCreditLocked()
	s.unlockFor(by)
}

// grantCreditLocked grants what there is. What a new channel may have beyond
// the first window is left until its peer has used some of that: most never do.
func (st *Stream) grantCreditLocked() {
	if !st.ready || st.credit <= 0 || st.recvDone || st.rerr != nil || !st.used && st.recvWin >= initialWindow*3/4 {
		return
	}
	n := st.s.cfg.Pace.piece(st.credit, int64(st.recvWin)+int64(st.grant))
	if n <= 0 || st.grantLaterLocked() {
		return
	}
	st.used = true
	st.grant += uint32(n)
	st.credit -= n
	st.s.scheduleLocked(st)
}

// move passes on what st has received, until nothing is left; then the reader
// passes on what comes.
func (st *Stream) move() {
	s, to := st.s, st.other
	c := getChunk(maxChunk)
	defer c.put()
	buf := c.p[:cap(c.p)]
	for {
		s.mu.Lock()
		n := st.in.read(buf)
		st.chargeLocked()
		if n == 0 {
			st.direct = true
			fin := st.gotFIN
			s.unlock()
			if fin {
				to.s.mu.Lock()
				to.endLocked()
				to.s.unlock()
			}
			return
		}
		s.mu.Unlock()
		st.count(n)
		to.s.mu.Lock()
		to.queueLocked(buf[:n])
		to.s.unlock()
	}
}

func (st *Stream) count(n int) {
	st.s.cfg.Pace.Spend(n)
	if st == st.pair.a {
		st.pair.AB.Add(int64(n))
	} else {
		st.pair.BA.Add(int64(n))
	}
}

// forward passes on what has arrived for st. It runs on the reader of its
// session.
func (st *Stream) forward(p []byte) {
	to := st.other
	st.count(len(p))
	to.s.mu.Lock()
	to.queueLocked(p)
	to.s.unlockFor(st.s)
}

// forwardEnd passes the other's FIN on; by is the reader at work.
func (st *Stream) forwardEnd(by *Session) {
	st.s.mu.Lock()
	st.endLocked()
	st.s.unlockFor(by)
}

// unlockFor unlocks; if there is something to flush, by will do it at the end
// of its batch.
func (s *Session) unlockFor(by *Session) {
	mine := s.claimFlushLocked()
	over := s.cfg.Budget.over()
	s.unlockQuiet()
	if mine {
		by.in.batch.dirty = append(by.in.batch.dirty, s)
	}
	if over {
		s.cfg.Budget.relieve()
	}
}

// queueLocked queues bytes that the other has received. What the peer's window
// does not allow yet waits in out.
func (st *Stream) queueLocked(p []byte) {
	if st.noMore || st.sendDone || st.werr != nil {
		return // broken: nobody will take them
	}
	s := st.s
	n := s.placeLocked(st, p[:min(int64(len(p)), max(0, st.sendWin))])
	st.sendWin -= int64(len(p))
	if n == len(p) {
		return
	}
	st.out.append(p[n:])
	st.chargeLocked()
	if st.sendableLocked() > 0 {
		s.scheduleLocked(st)
	}
}

// endLocked queues FIN behind all that is queued.
func (st *Stream) endLocked() {
	if !st.noMore && !st.sendDone && st.werr == nil {
		st.noMore, st.finDue = true, true
		st.s.scheduleLocked(st)
	}
}

// endDirection counts a FIN that was written.
func (j *Splice) endDirection() {
	if j.ended.Add(1) == 2 {
		j.over(nil, nil)
	}
}

// breakLocked ends the splice of a stream that is over before its time.
func (st *Stream) breakLocked(err error) {
	if j := st.pair; j != nil {
		st.s.after = append(st.s.after, func() { j.over(st, err) })
	}
}

func (j *Splice) over(broken *Stream, err error) {
	if j.told.CompareAndSwap(false, true) {
		j.Over(broken, err)
	}
}
