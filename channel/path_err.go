package channel

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// Why a move has broken a channel, or could not be made.
var (
	// ErrHole: what came is not what the other end says it has sent.
	ErrHole = errors.New("channel: bytes are missing between relay and link")
	// ErrLinkLost: the link died while bytes were on it.
	ErrLinkLost = errors.New("channel: the direct link was lost")
	// ErrRelayLost: the lane died while its bytes were still needed.
	ErrRelayLost = errors.New("channel: the relay was lost during the move")
	// ErrUnmoved is what Move returns when it has not touched the channel.
	ErrUnmoved = errors.New("channel: not moved")
)

// laneErr is laneErrLocked.
func (p *Path) laneErr(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.laneErrLocked(err)
}

// laneErrLocked gives an error of the lane its meaning. Before anything has
// moved it is the channel's own, and each direction has its own end.
func (p *Path) laneErrLocked(err error) error {
	switch {
	case p.err != nil:
		return p.err
	case p.shut.Load():
		return net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case p.m.committed || p.m.marked:
		return p.breakLocked(ErrRelayLost, err)
	}
	p.fixed = true
	if p.link != nil {
		p.link.Abort()
	}
	return err
}

// linkErr gives an error of the link its meaning.
func (p *Path) linkErr(err error) error {
	if p.shut.Load() {
		return net.ErrClosed
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.breakLocked(ErrLinkLost, err)
}

// linkWriteErr is linkErr for a Write, which may come behind our CloseWrite.
func (p *Path) linkWriteErr(err error) error {
	p.mu.Lock()
	late := p.err == nil && p.m.out == outOver && errors.Is(err, net.ErrClosed)
	p.mu.Unlock()
	if late {
		return net.ErrClosed
	}
	return p.linkErr(err)
}

// breakLocked resets the channel on both ways; the first cause stays.
func (p *Path) breakLocked(why, err error) error {
	if p.err != nil {
		return p.err
	}
	if err != nil {
		why = fmt.Errorf("%w: %w", why, err)
	}
	p.endLocked(why)
	return why
}

// endLocked aborts lane and link.
func (p *Path) endLocked(err error) {
	p.err = err
	p.home.Store(false)
	close(p.over)
	p.abortLaneLocked()
	if p.link != nil {
		p.link.Abort()
	}
}
