package channel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Register notes, at the callee, that the caller has proven itself on a link.
// It is to be called before the caller learns so; from then on a Close waits
// for what the caller may have sent over the link. It reports false if the
// channel has no use for one. Move or Unregister follows.
func (p *Path) Register() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil || p.fixed || p.shut.Load() || !p.m.link() {
		return false
	}
	p.homeLocked()
	p.moved = make(chan struct{})
	return true
}

// Unregister takes a Register back whose link came to nothing.
func (p *Path) Unregister() { p.detach() }

func (p *Path) detach() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.m.linked = false
	p.link = nil
	p.homeLocked()
	close(p.moved)
}

// Move takes the channel over to a link, which it owns, and returns when that
// is done: at the caller all bytes of the lane have been read, at both ends,
// and the lane is of no more use. The applications have to read what is on the
// lane, so it may take as long as the channel lives.
//
// ErrUnmoved says that the channel goes on over the lane as if nothing had
// been; another Move may follow. After any other error the channel is broken.
// ctx ends what comes before the caller's mark, not what follows. It is to be
// called once at a time; at the callee after Register.
func (p *Path) Move(ctx context.Context, link Lane) error { return p.move(ctx, link, Resume{}) }

func (p *Path) move(ctx context.Context, link Lane, with Resume) error {
	if p.m.caller && !p.Register() {
		link.Abort()
		return ErrUnmoved
	}
	p.mu.Lock()
	p.head, p.link = link, p.resumableLocked(link, with)
	if p.err != nil || p.fixed {
		link.Abort()
	}
	p.mu.Unlock()
	var err error
	if p.m.caller {
		err = p.lead(ctx, link)
	} else {
		err = p.follow(ctx, link)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(p.moved)
	switch {
	case err == nil, p.err != nil:
		return p.err
	case errors.Is(err, errMark):
		return p.breakLocked(ErrHole, err)
	case !p.m.unlink():
		return p.breakLocked(ErrLinkLost, err)
	}
	p.link = nil
	p.homeLocked()
	link.Abort()
	return fmt.Errorf("%w: %w", ErrUnmoved, err)
}

// lead is Move at the caller.
func (p *Path) lead(ctx context.Context, link Lane) error {
	if err := p.commit(ctx); err != nil {
		return err
	}
	k, err := readMark(link)
	if err != nil {
		return err
	}
	p.take(k)
	p.hear()
	p.drain()
	p.park()
	return nil
}

// follow is Move at the callee.
func (p *Path) follow(ctx context.Context, link Lane) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = link.SetReadDeadline(past) // a dead link says so when it is read
	})
	k, err := readMark(link)
	if !stop() {
		<-stopped
	}
	if err != nil {
		return err
	}
	if err := link.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	p.take(k)
	p.drain()
	if err := p.commit(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	p.hear()
	p.park()
	return nil
}

// readMark reads the head of a link's direction.
func readMark(link Lane) (mark, error) {
	var b [markSize]byte
	if _, err := io.ReadFull(link, b[:]); err != nil {
		return mark{}, fmt.Errorf("reading the mark: %w", err)
	}
	k, ok := parseMark(b[:])
	if !ok {
		return mark{}, fmt.Errorf("%w: it begins with %x", errMark, b)
	}
	return k, nil
}

// take takes the peer's mark.
func (p *Path) take(k mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
	case p.fixed:
		p.breakLocked(ErrRelayLost, nil)
	case !p.tellLocked() || !p.m.peerMark(k):
		p.breakLocked(ErrHole, nil)
	default:
		p.progressLocked()
	}
}

// drain waits until the lane has nothing more for us.
func (p *Path) drain() {
	select {
	case <-p.drained:
	case <-p.over:
	}
}

// commit takes our direction over, if no Write does it before.
func (p *Path) commit(ctx context.Context) error {
	if !p.writing.takeUnless(p.over, ctx.Done()) {
		// A Write that waits for its reader cannot be interrupted for this.
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.err != nil || p.m.committed { // by a Write
			return nil
		}
		p.link = nil
		return ctx.Err()
	}
	defer p.doneWriting()
	return p.commitIfDue()
}

// commitIfDue writes our mark when it is time, and takes our direction over to
// the link. The caller of it has the turn of writing.
func (p *Path) commitIfDue() error {
	p.mu.Lock()
	if p.err != nil || p.fixed || p.link == nil || !p.m.due() {
		defer p.mu.Unlock()
		return p.err
	}
	link, head := p.link, p.head
	p.tellLocked() // no hole can be seen at our own mark
	k := p.m.commit()
	p.mu.Unlock()
	_ = head.SetWriteDeadline(time.Now().Add(markTimeout)) // a dead link says so when it is written
	_, err := head.Write(k.bytes())
	switch {
	case err == nil && p.resumes.r != nil:
		_ = head.SetWriteDeadline(time.Time{})
		p.resumes.speak(k)
	case err == nil && !k.more:
		err = head.CloseWrite()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return p.err
	case err != nil && k.more:
		return p.breakLocked(ErrLinkLost, err)
	case err != nil:
		link.Abort() // Move sees it
	case k.more:
		_ = link.SetWriteDeadline(p.writeDeadline) // as above
		p.crossed = &link
	}
	return nil
}
