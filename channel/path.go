package channel

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Times and sizes of a move.
const (
	movePiece   = 256 << 10       // a Write on the lane looks for a link between pieces of this size
	markTimeout = 5 * time.Second // of writing a mark
	lingerTime  = 5 * time.Second // for the other end to end, or to move, after our Close
)

// Path is a Lane that begins on a lane of the relay and moves to a direct link
// while it is in use: nobody who reads or writes it notices. All of it is safe
// for concurrent use as a net.Conn is.
//
// A Path without a link is its lane, and costs next to nothing. With one, Read
// and Write go straight to the link once their direction has moved.
type Path struct {
	lane  Lane
	spawn func(func())

	inLink, outLink atomic.Pointer[Lane] // set when that direction is on the link
	received, sent  atomic.Int64         // over the link
	shut            atomic.Bool          // by Close or Abort

	// home is set while the lane is all there is: nobody has to be asked before
	// its use, and what is counted behind it need not be told at once.
	home           atomic.Bool
	unsaid, unread atomic.Int64 // bytes over the lane that m was not told of

	reading turn         // of the one reader of the lane
	writing turn         // of the one writer of the lane, or of the commit
	using   sync.RWMutex // held for reading by who uses the link

	// guarded by mu
	mu            sync.Mutex
	m             move
	link          Lane // nil without one, or when it came to nothing
	head          Lane // where marks go: the link, or what is below the resumer
	resumes       resuming
	crossed       *Lane         // the link, once our mark is on it; set in the turn of writing
	fixed         bool          // the lane has died before any move: there will be none
	err           error         // why the channel is broken
	over          chan struct{} // closed when err is set
	drained       chan struct{} // closed when the lane has nothing more for us and we know it
	moved         chan struct{} // closed when a move is over, whichever way; nil before one
	said          bool          // behind a Close that lingers: the end of our direction was written, or cannot be
	readDeadline  time.Time     // as set last
	writeDeadline time.Time
}

var _ Lane = (*Path)(nil)

// NewPath makes a Path of a channel's lane, which it owns: a stream of yamux, or
// another lane whose Write keeps nothing back at a deadline of what it returns
// as written. spawn runs what is left to do after a Close, for at most 5 s; it
// ends at once after an Abort.
func NewPath(lane Lane, caller bool, spawn func(func())) *Path {
	p := &Path{
		lane:    lane,
		spawn:   spawn,
		m:       move{caller: caller},
		reading: newTurn(),
		writing: newTurn(),
		over:    make(chan struct{}),
		drained: make(chan struct{}),
	}
	p.home.Store(true)
	return p
}

// Stage is how far a Path has come.
type Stage uint8

// The stages.
const (
	Relayed Stage = iota
	Moving
	Direct // both directions; the lane has nothing more
)

// Stage returns how far the Path has come, and how many bytes it has sent and
// received so far, over lane and link.
func (p *Path) Stage() (stage Stage, sent, received int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.m.done():
		stage = Direct
	case p.m.linked:
		stage = Moving
	}
	return stage, p.sent.Load() + p.unsaid.Load() + int64(p.m.sent), p.received.Load() + p.unread.Load() + int64(p.m.got)
}

// homeLocked sets home after something has changed.
func (p *Path) homeLocked() {
	p.home.Store(p.err == nil && !p.shut.Load() && !p.m.linked && !p.m.committed && !p.m.marked && p.m.out == outLane)
}

// tellLocked tells the core what has gone over the lane. It reports false for a
// hole. While home is not set, it misses nothing that a reader or writer has
// counted before it looked at home.
func (p *Path) tellLocked() bool {
	p.m.wrote(int(p.unsaid.Swap(0)))
	return p.m.read(int(p.unread.Swap(0)))
}

// Read reads from wherever the other end's direction is.
func (p *Path) Read(b []byte) (int, error) {
	if l := p.inLink.Load(); l != nil {
		return p.readLink(*l, b)
	}
	return p.readLane(b, false)
}

func (p *Path) readLink(l Lane, b []byte) (int, error) {
	p.using.RLock()
	defer p.using.RUnlock()
	if p.shut.Load() {
		return 0, net.ErrClosed
	}
	n, err := l.Read(b)
	p.received.Add(int64(n))
	if err != nil && err != io.EOF {
		err = p.linkErr(err)
	}
	return n, err
}

// readLane reads from the lane, until the link takes over. With linger it goes
// on behind our Close.
func (p *Path) readLane(b []byte, linger bool) (int, error) {
	p.reading.take()
	defer p.reading.give()
	for {
		if l := p.inLink.Load(); l != nil {
			return p.readLink(*l, b)
		}
		if !p.home.Load() {
			if err := p.usable(linger); err != nil {
				return 0, err
			}
		}
		n, err := p.fromLane(b)
		p.unread.Add(int64(n))
		if err == nil && p.home.Load() {
			return n, nil
		}
		if n, err = p.hasRead(n, err); err != errAgain {
			return n, err
		}
	}
}

// errMark: a link that begins with something else than a mark.
var errMark = errors.New("channel: no mark")

// errAgain says that the lane was interrupted because the link takes over.
var errAgain = errors.New("channel: read again")

// usable returns why the Path cannot be used any more.
func (p *Path) usable(linger bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	if p.shut.Load() && !linger {
		return net.ErrClosed
	}
	return nil
}

// hasRead takes what a read of the lane has brought. Nothing of a read that
// goes beyond the mark is given out.
func (p *Path) hasRead(n int, err error) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.tellLocked() || err == io.EOF && p.m.in == inLane && !p.m.laneEnd() || errors.Is(p.err, ErrHole) {
		return 0, p.breakLocked(ErrHole, nil)
	}
	p.progressLocked()
	if err == nil || err == io.EOF && p.m.in == inEnded {
		return n, err
	}
	if p.m.in == inLink { // interrupted, or the lane has died behind its last byte
		if n > 0 {
			return n, nil
		}
		return 0, errAgain
	}
	return n, p.laneErrLocked(err)
}

// progressLocked acts on what the core has come to: the link takes the reader
// over, the commit becomes due.
func (p *Path) progressLocked() {
	if !p.m.drained() {
		return
	}
	select {
	case <-p.drained:
		return
	default:
		close(p.drained)
	}
	if p.m.in != inLink {
		return
	}
	link := p.link
	_ = link.SetReadDeadline(p.readDeadline) // a dead link says so when it is read
	p.inLink.Store(&link)
	_ = p.lane.SetReadDeadline(past) // wakes who waits at the lane for nothing
}

// past is a deadline that ends what is under way.
var past = time.Unix(1, 0)

// Write writes to wherever our direction is. On the lane it does so in pieces,
// and goes over to the link between two of them. Writes of several goroutines
// do not mix.
func (p *Path) Write(b []byte) (int, error) {
	if l := p.outLink.Load(); l != nil {
		return p.writeLink(*l, b)
	}
	p.writing.take()
	defer p.doneWriting()
	for done := 0; ; {
		if !p.home.Load() {
			if err := p.mayWrite(); err != nil {
				return done, err
			}
			if p.crossed != nil {
				n, err := p.writeLink(*p.crossed, b[done:])
				return done + n, err
			}
		}
		n, err := p.lane.Write(b[done:min(done+movePiece, len(b))])
		done += n
		p.unsaid.Add(int64(n))
		if err != nil {
			return done, p.laneErr(err)
		}
		if done == len(b) {
			return done, nil
		}
	}
}

// mayWrite goes over to the link if that is due, and returns why nothing can be
// written.
func (p *Path) mayWrite() error {
	if err := p.commitIfDue(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.crossed != nil: // says so itself
		return nil
	case p.err != nil:
		return p.err
	case p.shut.Load(), p.m.out == outEnded:
		return net.ErrClosed
	}
	return nil
}

// doneWriting gives the turn of writing back. Only from here on a Write goes
// straight to the link: not into the middle of one that began on the lane.
func (p *Path) doneWriting() {
	if p.crossed != nil {
		p.outLink.Store(p.crossed)
	}
	p.writing.give()
}

// hasEnded reports whether our direction has ended on the lane, which may be
// dead since: it is not to be touched.
func (p *Path) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m.out == outEnded
}

func (p *Path) writeLink(l Lane, b []byte) (int, error) {
	p.using.RLock()
	defer p.using.RUnlock()
	if p.shut.Load() {
		return 0, net.ErrClosed
	}
	n, err := l.Write(b)
	p.sent.Add(int64(n))
	if err != nil {
		err = p.linkWriteErr(err)
	}
	return n, err
}

// CloseWrite ends our direction, wherever it is.
func (p *Path) CloseWrite() error { return p.closeWrite(false) }

func (p *Path) closeWrite(linger bool) error {
	p.writing.take()
	defer p.doneWriting()
	if err := p.commitIfDue(); err != nil {
		return err
	}
	if err := p.usable(linger); err != nil || p.hasEnded() {
		return err
	}
	if p.crossed != nil {
		p.mu.Lock()
		p.m.end() // before: a Write that meets the goodbye is not to blame the link
		p.mu.Unlock()
		if err := (*p.crossed).CloseWrite(); err != nil {
			return p.linkErr(err)
		}
		return nil
	}
	err := p.lane.CloseWrite()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		return p.laneErrLocked(err)
	}
	p.m.end()
	p.homeLocked()
	return nil
}

// LocalAddr returns the lane's.
func (p *Path) LocalAddr() net.Addr { return p.lane.LocalAddr() }

// RemoteAddr returns the lane's.
func (p *Path) RemoteAddr() net.Addr { return p.lane.RemoteAddr() }
