package channel

import (
	"context"
	"os"
	"sync"
	"time"
)

// Resume says how a channel that moves may outlive its link (PROTOCOL.md §10).
// Both ends must have agreed on it, and on the window.
type Resume struct {
	Window int    // bytes held for each direction, at most: MinWindow to MaxWindow
	Lost   func() // told, on any goroutine, each time that no link is left; must not wait. Nil: nobody is told
	Over   func() // told once, likewise, when AddLink is of no use any more
	NoLane bool   // the channel never goes back to the lane
}

// resuming is what a Path has of that.
type resuming struct {
	atLane sync.Mutex // held by who reads the lane's own bytes

	// guarded by the Path's mu
	r      *resumer
	path   *resumeLane // the link that the move goes to
	noLane bool
	joined bool // all is the resumer's
	parked bool // the lane, too
}

// MoveResumable is Move for a channel that outlives its link from then on: it
// goes back to the lane, which stays parked unless NoLane is set, or on to a link
// of AddLink. It dies when it has been without either for 30 s.
func (p *Path) MoveResumable(ctx context.Context, link Lane, with Resume) error {
	if with.Window < MinWindow || with.Window > MaxWindow {
		with.Window = min(max(with.Window, MinWindow), MaxWindow)
	}
	return p.move(ctx, link, with)
}

// resumableLocked returns what takes the channel over at a link: itself, or a
// resumer over it.
func (p *Path) resumableLocked(link Lane, with Resume) Lane {
	s := &p.resumes
	s.r, s.path, s.noLane = nil, nil, with.NoLane
	if with.Window == 0 {
		return link
	}
	s.r = newResumer(with.Window, p.spawn, with.Lost)
	s.r.told = with.Over
	s.path = s.r.path(link, true)
	s.r.early = s.path
	return s.r
}

// speak begins to write frames behind our mark.
func (s *resuming) speak(k mark) {
	if !k.more {
		s.r.ended(true)
	}
	s.r.speak(s.path)
}

// hear begins to read frames behind the other end's mark.
func (p *Path) hear() {
	s := &p.resumes
	p.mu.Lock()
	over := p.err != nil
	ended := p.m.marked && !p.m.mark.more
	p.mu.Unlock()
	if s.r == nil || over {
		return
	}
	if ended {
		s.r.ended(false)
	}
	s.r.hear(s.path)
}

// park makes the lane a path of its own, when it has nothing more of the
// channel's, and if it is open both ways and wanted. The other end may still be reading the
// channel's bytes there, and must not find frames among them: so the caller,
// which is through last, says something first.
func (p *Path) park() {
	s := &p.resumes
	if s.r == nil {
		return
	}
	s.atLane.Lock() // nobody reads the lane any more
	defer s.atLane.Unlock()
	p.mu.Lock()
	if p.err != nil {
		p.mu.Unlock()
		return
	}
	s.joined = true
	s.parked = !s.noLane && p.m.out != outEnded && p.m.in == inLink && p.lane.SetDeadline(time.Time{}) == nil
	parked := s.parked
	p.mu.Unlock()
	if parked {
		lane := s.r.path(p.lane, false)
		lane.mute, lane.hello = !p.m.caller, p.m.caller
		s.r.add(lane)
	}
	s.r.settle()
}

// fromLane reads the lane's own bytes.
func (p *Path) fromLane(b []byte) (int, error) {
	p.resumes.atLane.Lock()
	defer p.resumes.atLane.Unlock()
	if p.inLink.Load() != nil {
		return 0, os.ErrDeadlineExceeded // as if it had been interrupted a little later
	}
	return p.lane.Read(b)
}

// abortLaneLocked aborts the lane, unless the resumer does.
func (p *Path) abortLaneLocked() {
	if !p.resumes.parked {
		p.lane.Abort()
	}
}

// AddLink gives a channel that has moved resumably another link, which it owns
// from then on. It reports false, and aborts the link, if the channel has no use
// for it. Nothing tells the other end but what follows.
func (p *Path) AddLink(link Lane) bool {
	if !p.Resumable() {
		link.Abort()
		return false
	}
	r := p.resumes.r
	r.add(r.path(link, true))
	return true
}

// Resumable reports whether AddLink has any use: also behind a Close, until the
// other end has all that was written before it.
func (p *Path) Resumable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err == nil && p.resumes.joined && p.resumes.r.open()
}

// Delivering reports whether a channel that has moved resumably has something, be it
// its end, that the other end has not acknowledged.
func (p *Path) Delivering() bool { return p.Resumable() && p.resumes.r.owes() }

// Parked reports whether the channel keeps its lane.
func (p *Path) Parked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resumes.parked
}

// Linked reports whether the channel is on a link; after a move one that is
// resumable may be on its lane again, or nowhere.
func (p *Path) Linked() bool {
	p.mu.Lock()
	done, r := p.m.done(), p.resumes.r
	p.mu.Unlock()
	return done && (r == nil || r.linked())
}

// Stranded reports whether a channel that has moved resumably has no path now.
func (p *Path) Stranded() bool { return p.Resumable() && p.resumes.r.stranded() }
