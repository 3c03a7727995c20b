package channel

import (
	"errors"
	"net"
	"time"
)

// SetDeadline sets both deadlines.
func (p *Path) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline of Read, one in progress included.
func (p *Path) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut.Load() {
		return net.ErrClosed
	}
	return p.setRead(t)
}

// SetWriteDeadline sets the deadline of Write and CloseWrite, likewise.
func (p *Path) SetWriteDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut.Load() {
		return net.ErrClosed
	}
	return p.setWrite(t)
}

func (p *Path) setRead(t time.Time) error {
	p.readDeadline = t
	if l := p.inLink.Load(); l != nil {
		return (*l).SetReadDeadline(t)
	}
	return p.lane.SetReadDeadline(t)
}

func (p *Path) setWrite(t time.Time) error {
	p.writeDeadline = t
	if p.crossed != nil {
		return p.link.SetWriteDeadline(t)
	}
	return p.lane.SetWriteDeadline(t)
}
