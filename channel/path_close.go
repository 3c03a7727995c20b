package channel

import (
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

// interruptLocked wakes whoever reads or writes.
func (p *Path) interruptLocked() {
	if p.m.in == inLink {
		_ = p.link.SetReadDeadline(past) // what it fails for ends the read as well
	} else {
		_ = p.lane.SetReadDeadline(past)
	}
	if p.outLink.Load() != nil {
		_ = p.link.SetWriteDeadline(past)
	} else {
		_ = p.lane.SetWriteDeadline(past)
	}
}

// linger ends a closed channel in order: it ends our direction, takes what
// still comes, and waits for the end of a move that is under way.
func (p *Path) linger() {
	until := time.Now().Add(lingerTime)
	p.using.Lock() // nobody is at the link any more
	p.using.Unlock()
	p.extend(p.reading, func() { p.setRead(until) })
	p.extend(p.writing, func() { p.setWrite(until) })
	_ = p.closeWrite(true) // what it fails for is seen below
	p.discard()
	p.mu.Lock()
	moved, alone := p.moved, p.m.finished()
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
	p.finish()
}

// finish closes what a closed channel has left.
func (p *Path) finish() {
	p.mu.Lock()
	over := []Lane{}
	switch {
	case p.err != nil:
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
	p.mu.Unlock()
	for _, l := range over {
		l.Close()
	}
}

// extend sets a deadline when nobody who was interrupted is left.
func (p *Path) extend(token chan struct{}, set func()) {
	token <- struct{}{}
	p.mu.Lock()
	set()
	p.mu.Unlock()
	<-token
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
