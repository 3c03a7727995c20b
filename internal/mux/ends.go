package mux

import (
	"net"
	"slices"
)

// answeredLocked notes that the peer knows of our open.
func (st *Stream) answeredLocked() {
	if st.unacked {
		st.unacked = false
		st.s.unacked--
		notify(st.s.mayOpen)
	}
}

// finLocked takes the peer's FIN, from the reader. A second one means nothing.
func (st *Stream) finLocked() {
	if st.recvDone {
		return
	}
	st.gotFIN, st.recvDone = true, true
	st.grant = 0
	st.settleLocked()
	st.rcond.Broadcast()
	st.s.overLocked(st)
	st.happenedLocked(true)
}

// resetLocked takes the peer's RST. If its FIN came first, what it sent is
// complete and stays.
func (st *Stream) resetLocked(reason Reason) {
	err := &ResetError{Reason: reason}
	if !st.gotFIN {
		st.dropInLocked()
		if st.rerr == nil {
			st.rerr = err
		}
	}
	if st.werr == nil {
		st.werr = err
	}
	st.dropOutLocked()
	st.opening, st.acking, st.grant, st.finDue, st.resetDue = false, false, 0, false, false
	st.recvDone, st.sendDone = true, true
	st.s.ready.remove(st)
	st.leaveBacklogLocked()
	st.breakLocked(err)
	st.settleLocked()
	st.wakeLocked()
	st.happenedLocked(false)
}

// dieLocked takes the end of the session. What has arrived can still be read.
func (st *Stream) dieLocked(err error) {
	if st.rerr == nil && !st.gotFIN {
		st.rerr = err
	}
	if st.werr == nil {
		st.werr = err
	}
	st.rd.stopLocked()
	st.wr.stopLocked()
	switch {
	case st.pair != nil: // nobody reads or writes it but its session
		st.dropInLocked()
		st.dropOutLocked()
		st.breakLocked(err)
	case st.waiting: // nobody will ever have it
		st.dropInLocked()
	}
	st.wakeLocked()
	st.happenedLocked(false)
}

// lingerLocked resets a closed stream whose peer has not ended its side
// between two ticks: nobody will read what it may still send.
func (st *Stream) lingerLocked() {
	switch {
	case !st.closed || !st.sendDone || st.recvDone:
	case st.lingers:
		st.abortLocked(net.ErrClosed, ReasonNone)
	default:
		st.lingers = true
	}
}

// happenedLocked is what Notify waits for. It is said by the reader, or not.
func (st *Stream) happenedLocked(reader bool) {
	f := st.event
	if f == nil || st.in.n <= st.eventAt && !st.recvDone && st.rerr == nil && !st.closed {
		return
	}
	st.event = nil
	if reader {
		st.s.in.events = append(st.s.in.events, f)
		return
	}
	st.s.after = append(st.s.after, func() { f(nil) })
}

// settleLocked forgets the stream when both directions have ended and nothing
// is left to read.
func (st *Stream) settleLocked() {
	if st.ended || !st.recvDone || !st.sendDone || st.in.n > 0 {
		return
	}
	st.ended = true
	st.dropInLocked() // what an empty buffer keeps
	st.dropOutLocked()
	st.answeredLocked()
	st.s.ready.remove(st)
	if st.s.tail == st {
		st.s.tail = nil
	}
	st.s.widened -= int(st.window - initialWindow)
	delete(st.s.streams, st.id)
}

func (st *Stream) dropInLocked() int {
	n := st.in.drop()
	st.chargeLocked()
	return n
}

func (st *Stream) dropOutLocked() {
	n := st.out.drop()
	if st.pair == nil {
		st.s.queued -= n
	}
	st.chargeLocked()
}

// leaveBacklogLocked takes a stream out that was given up before Accept, so
// that opens and resets in turn do not pile up in front of the application.
func (st *Stream) leaveBacklogLocked() {
	if !st.waiting {
		return
	}
	st.waiting = false
	b := &st.s.backlog
	if i := slices.Index(*b, st); i >= 0 {
		*b = slices.Delete(*b, i, i+1)
	}
}
