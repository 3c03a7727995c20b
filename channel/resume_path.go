package channel

import (
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

// frames are buffers for what a path reads or writes at a time.
var frames = sync.Pool{New: func() any { return new(frameBuf) }}

// frameBuf has room for one frame of each type.
type frameBuf [6*frameHead + frameBody]byte

// resumeLane is a path of a resumer: a Lane, and a goroutine for each direction.
// The one that reads closes it.
type resumeLane struct {
	resumePath
	r    *resumer
	lane Lane
	work sync.Cond // there may be something to send

	// guarded by r.mu
	speaks  bool      // a goroutine writes
	hears   bool      // a goroutine reads
	gone    bool      // dead, or let go
	heard   bool      // a frame, or a piece of one, has come since the last look
	quiet   time.Time // when one had come, or the wait began
	waiting bool      // at the last look
	probed  bool      // since then
}

// path makes a path of a lane. It is not used yet.
func (r *resumer) path(lane Lane, link bool) *resumeLane {
	p := &resumeLane{r: r, lane: lane}
	p.link = link
	p.work.L = &r.mu
	return p
}

// add takes a path that is ready both ways.
func (r *resumer) add(p *resumeLane) {
	r.speak(p)
	r.hear(p)
}

// speak begins to write on a path.
func (r *resumer) speak(p *resumeLane) {
	r.mu.Lock()
	if r.err != nil || r.done {
		p.gone = true
		p.lane.Abort()
		r.mu.Unlock()
		return
	}
	p.speaks, p.quiet = true, time.Now()
	r.paths = append(r.paths, p)
	r.c.add(&p.resumePath)
	r.mu.Unlock()
	r.spawn(func() { r.send(p) })
}

// hear begins to read on a path that speaks.
func (r *resumer) hear(p *resumeLane) {
	r.mu.Lock()
	if p.gone {
		r.mu.Unlock()
		return
	}
	p.hears, p.quiet = true, time.Now()
	r.live = true
	r.wakeLocked()
	r.mu.Unlock()
	r.spawn(func() { r.receive(p) })
}

// wakeLocked wakes the paths that have something to send, and sees to it that
// somebody looks at the times.
func (r *resumer) wakeLocked() {
	for _, p := range r.paths {
		if r.c.due(&p.resumePath) {
			p.work.Signal()
		}
	}
	if r.c.in.owe == oweSoon {
		r.armLocked(&r.acker, ackDelay, r.ackSoon)
	}
	if r.err == nil && !r.done && (r.c.waits() || r.shut || r.c.over() || r.c.active() == nil) {
		r.armLocked(&r.ticker, tickTime, r.tick)
	}
}

// armLocked starts a timer that is not running.
func (r *resumer) armLocked(t **time.Timer, d time.Duration, f func()) {
	if *t == nil {
		*t = time.AfterFunc(d, f)
	}
}

// ackSoon sends an ACK that nothing has taken along.
func (r *resumer) ackSoon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acker = nil
	if r.c.in.owe == oweSoon && r.err == nil && !r.done {
		r.c.in.owe = oweNow
		r.wakeLocked()
	}
}

// send writes what the core has for a path, and at last the goodbye.
func (r *resumer) send(p *resumeLane) {
	for {
		buf, n, bye, ok := r.next(p)
		var err error
		if n > 0 {
			_, err = p.lane.Write(buf[:n])
		}
		if buf != nil {
			frames.Put(buf)
		}
		if err == nil && bye {
			err = p.lane.CloseWrite()
		}
		if err != nil {
			r.died(p, err)
			return
		}
		if !ok {
			return
		}
	}
}

// next waits for something to send, n bytes of buf, and perhaps the goodbye
// behind it. ok is false if nothing will follow.
func (r *resumer) next(p *resumeLane) (buf *frameBuf, n int, bye, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case p.gone:
			return nil, 0, false, false
		case r.err != nil:
			if p.mute || p.bye {
				return nil, 0, false, false
			}
			p.bye = true
			buf = frames.Get().(*frameBuf)
			return buf, len(frame{kind: frameReset}.append(buf[:0])), true, false
		case r.c.due(&p.resumePath):
			buf = frames.Get().(*frameBuf)
			n = len(r.c.next(&p.resumePath, buf[:0]))
			return buf, n, r.c.part(&p.resumePath), true
		case r.c.part(&p.resumePath):
			return nil, 0, true, true
		}
		p.work.Wait()
	}
}

// receive reads frames until the path ends, and lets it go.
func (r *resumer) receive(p *resumeLane) {
	err := r.readFrames(p)
	r.mu.Lock()
	if err == io.EOF && r.c.over() { // they say goodbye: all of ours has come
		r.finishLocked()
	}
	orderly := r.done
	r.mu.Unlock()
	if orderly {
		_ = p.lane.SetWriteDeadline(time.Now().Add(resetTime)) // a dead lane says so when it is closed
		p.lane.Close()
		return
	}
	r.died(p, err)
}

func (r *resumer) readFrames(p *resumeLane) error {
	var head [frameHead]byte
	for {
		if _, err := io.ReadFull(p.lane, head[:]); err != nil {
			return err
		}
		f, err := parseFrame(head[:])
		if err == nil && f.kind == frameData {
			err = r.readBody(p, f)
		} else if err == nil {
			err = r.take(p, f, nil)
		}
		if errors.Is(err, ErrFrame) {
			r.mu.Lock()
			r.breakLocked(ErrFrame, true)
			r.mu.Unlock()
		} else if err != nil {
			return err
		}
	}
}

func (r *resumer) readBody(p *resumeLane, f frame) error {
	buf := frames.Get().(*frameBuf)
	defer frames.Put(buf)
	told := time.Now()
	for rest := buf[:f.n]; len(rest) > 0; {
		n, err := p.lane.Read(rest)
		switch rest = rest[n:]; {
		case len(rest) == 0: // whatever the next Read will say
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case time.Since(told) >= probeAfter:
			told = time.Now()
			r.comes(p)
		}
	}
	return r.take(p, f, buf[:f.n])
}

// comes notes that a frame which takes its time is still coming.
func (r *resumer) comes(p *resumeLane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.done || p.gone {
		return
	}
	p.heard = true
	r.c.comes(&p.resumePath)
	r.wakeLocked()
}

// take gives the core a frame.
func (r *resumer) take(p *resumeLane, f frame, body []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.done || p.gone {
		return nil // behind our RESET, until the other end has read that
	}
	p.heard = true
	reset, err := r.c.take(&p.resumePath, f, body)
	switch {
	case reset:
		r.breakLocked(lostErr(errPeerReset), false)
		return nil
	case err != nil:
		return err
	}
	if f.kind == frameAck {
		r.writable.Broadcast()
	} else {
		r.readable.Broadcast()
	}
	r.wakeLocked()
	return nil
}

// died lets a path go that has died.
func (r *resumer) died(p *resumeLane, _ error) {
	r.mu.Lock()
	tell := r.dropLocked(p)
	r.mu.Unlock()
	if tell && r.lost != nil {
		r.lost()
	}
}

// dropLocked lets a path go. It reports whether it was the last link of a
// channel that goes on.
func (r *resumer) dropLocked(p *resumeLane) (lastLink bool) {
	p.lane.Abort()
	if p.gone {
		return false
	}
	p.gone = true
	p.work.Signal()
	r.paths = slices.DeleteFunc(r.paths, func(q *resumeLane) bool { return q == p })
	if r.err != nil || r.done {
		return false
	}
	r.c.dead(&p.resumePath)
	if a := r.activeLocked(); a != nil {
		a.quiet, a.probed = time.Now(), false
	}
	r.wakeLocked()
	return p.link && !r.c.over() && !slices.ContainsFunc(r.paths, func(q *resumeLane) bool { return q.link })
}

// activeLocked is the path for what is ours, or nil.
func (r *resumer) activeLocked() *resumeLane {
	a := r.c.active()
	for _, p := range r.paths {
		if &p.resumePath == a {
			return p
		}
	}
	return nil
}

// resetLocked ends a path of a channel that is reset.
func (p *resumeLane) resetLocked(tell bool) {
	if !tell || !p.speaks || !p.hears || p.mute || p.bye {
		p.gone = true
		p.work.Signal()
		p.lane.Abort()
		return
	}
	_ = p.lane.SetWriteDeadline(time.Now().Add(resetTime)) // a dead lane says so when it is written
	p.work.Signal()
	time.AfterFunc(resetTime, func() { p.lane.Abort() })
}

// finishLocked ends a path of a channel that is over: who reads it closes it.
func (p *resumeLane) finishLocked() {
	p.gone = true
	p.work.Signal()
	if !p.hears {
		p.lane.Abort()
		return
	}
	_ = p.lane.SetReadDeadline(past) // a dead lane says so when it is read
}
