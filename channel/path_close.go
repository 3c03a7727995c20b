package channel

import (
	"io"
	"net"
	"os"
	"time"
)

// Close ends the channel in order: what was written before is delivered. While
// the channel moves, and after that, this goes on in the background, for at
// most 5 s.
func (p *Path) Close() error {
	p.mu.Lock()
	if p.shut.Swap(true) {
		p.mu.Unlock()
		return nil
	}
	if p.err == nil && p.resumes.joined {
		p.mu.Unlock()
		return p.resumes.r.Close()
	}
	p.home.Store(false)
	alone := p.err != nil || !p.m.linked && !p.m.committed
	if !alone {
		p.interruptLocked()
	}
	p.mu.Unlock()
	if alone {
		return p.lane.Close()
	}
	p.spawn(p.linger)
	return nil
}

// Owes reports whether a closed channel has still to send what was written
// before, or the end behind it: an Abort now would cut that off.
func (p *Path) Owes() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil || !p.shut.Load():
		return false
	case p.resumes.joined, p.said && p.resumes.r != nil && p.crossed != nil: // said to the resumer
		return p.resumes.r.owes()
	}
	return !p.said
}

// interruptLocked wakes whoever reads or writes.
func (p *Path) interruptLocked() {
	if p.m.in == inLink {
		_ = p.link.SetReadDeadline(past) // what it fails for ends the read as well
	} else {
		_ = p.lane.SetReadDeadline(past)
	}
	if p.crossed != nil {
		_ = p.link.SetWriteDeadline(past)
	} else {
		_ = p.lane.SetWriteDeadline(past)
	}
}

// linger ends a closed channel in order: it ends our direction, takes what
// still comes, and waits for the end of a move that is under way.
func (p *Path) linger() {
	p.using.Lock() // nobody is at the link any more
	until := time.Now().Add(lingerTime)
	p.using.Unlock()
	p.extend(&p.reading, func() { p.setRead(until) })
	p.extend(&p.writing, func() { p.setWrite(until) })
	ended := p.closeWrite(true) == nil
	p.mu.Lock()
	p.said = true
	p.mu.Unlock()
	p.discard()
	p.mu.Lock()
	// When both directions have ended on the lane, a caller need not wait. A
	// callee has to: without its mark the caller, which may not have read that
	// far, could not know that nothing is to come over the link.
	moved, alone := p.moved, p.m.finished() && p.m.caller
	p.mu.Unlock()
	if !alone {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		select {
		case <-moved:
		case <-p.over:
		case <-t.C:
		}
	}
	p.takeGoodbye(until)
	p.finish(ended)
}

// takeGoodbye reads the goodbye behind a mark 00. A socket that is closed over
// unread bytes resets its connection, and what we have sent could be lost.
func (p *Path) takeGoodbye(until time.Time) {
	p.mu.Lock()
	link := p.link
	wanted := p.err == nil && link != nil && p.m.marked && !p.m.mark.more
	p.mu.Unlock()
	if !wanted || link.SetReadDeadline(until) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, link)
}

// finish closes what a closed channel has left. No move goes on behind it. The
// time of a link that has not taken the end of our direction is over.
func (p *Path) finish(ended bool) {
	p.mu.Lock()
	over := []Lane{}
	switch {
	case p.err != nil:
	case p.m.done() && !ended:
		p.link.Abort()
	case p.m.done():
		over = append(over, p.link) // the lane is the server's to reset: the other end may still read it
	case p.m.finished(), !p.m.committed && !p.m.marked:
		if p.link != nil {
			p.link.Abort()
		}
		over = append(over, p.lane)
	default:
		p.breakLocked(ErrLinkLost, os.ErrDeadlineExceeded)
	}
	if p.err == nil && !p.m.done() {
		p.err = net.ErrClosed
		close(p.over)
	}
	p.mu.Unlock()
	for _, l := range over {
		l.Close()
	}
}

// extend sets a deadline when nobody who was interrupted is left.
func (p *Path) extend(t *turn, set func()) {
	t.take()
	defer t.give()
	p.mu.Lock()
	defer p.mu.Unlock()
	set()
}

// discard reads behind our Close, until the other end has ended its direction
// or the deadline has passed.
func (p *Path) discard() {
	buf := make([]byte, 4<<10)
	for {
		if l := p.inLink.Load(); l != nil {
			if _, err := (*l).Read(buf); err != nil {
				return
			}
			continue
		}
		if _, err := p.readLane(buf, true); err != nil && p.inLink.Load() == nil {
			return
		}
	}
}

// Abort resets the channel.
func (p *Path) Abort() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut.Store(true)
	if p.err == nil {
		p.endLocked(net.ErrClosed)
	}
	return nil
}

// Break resets the channel for a reason, which is what Read and Write then
// return. It does nothing to one that is broken or aborted already.
func (p *Path) Break(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.breakLocked(cause, nil)
}
