package channel

import "slices"

// resumeCore is what one end of a resumable channel knows (PROTOCOL.md §10). It
// is pure: the resumer tells it what happens, and sends what it says. Frames of
// one path come in order; any path may carry any frame.
//
// Each path:
//
//	mute ──a frame comes──▸ spare ◂──better or worse──▸ active ──it dies, our goodbye──▸ gone
//
// DATA and FIN go over the active path, the best that is not mute; ACK over
// the path of the last DATA, FIN or PING. When a path dies what was sent over
// it, and not acknowledged, is sent again.
type resumeCore struct {
	window uint64
	out    sendHalf
	in     recvHalf
	paths  []*resumePath // the best first
	reply  *resumePath   // where DATA, FIN or PING came from last
	both   bool          // both directions were over
	parted bool          // a goodbye was said
}

// resumePath is one path as the core knows it.
type resumePath struct {
	link       bool // a direct link: better than the lane
	mute       bool // nothing may be sent yet
	bye        bool // nothing may be sent any more
	hello      bool // an ACK is to open it
	ping, pong bool // to be sent
	sent       uint64
}

func newResumeCore(window int) resumeCore {
	c := resumeCore{window: uint64(window)}
	c.out.limit, c.in.told = c.window, c.window
	return c
}

// outOver notes that our direction had ended before.
func (c *resumeCore) outOver() { c.out.ended, c.out.una, c.out.nxt, c.out.max = true, 1, 1, 1 }

// inOver notes that the other direction had ended before.
func (c *resumeCore) inOver() { c.in.fin = true }

func (c *resumeCore) write(b []byte) int { return c.out.write(b, c.window) }

// end ends our direction.
func (c *resumeCore) end() { c.out.ended = true }

func (c *resumeCore) read(b []byte) int { return c.in.take(b, c.window) }

// eof reports whether all of the other direction was read.
func (c *resumeCore) eof() bool { return c.in.over() && c.in.read == c.in.last }

// waits reports whether there is something that the other end has not
// acknowledged.
func (c *resumeCore) waits() bool { return c.out.una < c.out.last() }

// over reports whether each direction has ended and the other end of it knows.
func (c *resumeCore) over() bool { return c.out.over() && c.in.over() }

// add takes a path, behind those that are as good or better; among links the
// newest is the best.
func (c *resumeCore) add(p *resumePath) {
	i := 0
	for i < len(c.paths) && c.paths[i].link && !p.link {
		i++
	}
	c.paths = slices.Insert(c.paths, i, p)
}

// dead forgets a path.
func (c *resumeCore) dead(p *resumePath) {
	c.paths = slices.DeleteFunc(c.paths, func(q *resumePath) bool { return q == p })
	if p.sent > c.out.una {
		c.out.nxt = c.out.una
	}
	if c.reply == p {
		c.reply = nil
	}
	c.in.owe = oweNow // what was acknowledged there may not have come
	if a := c.active(); a != nil && c.waits() {
		a.ping = true
	}
}

// active is the path for what is ours; nil if there is none.
func (c *resumeCore) active() *resumePath {
	for _, p := range c.paths {
		if !p.mute && !p.bye {
			return p
		}
	}
	return nil
}

// replies reports whether ACKs go over p.
func (c *resumeCore) replies(p *resumePath) bool {
	if r := c.reply; r != nil && !r.bye {
		return p == r
	}
	return p == c.active()
}

// take takes a frame that came over a path. reset says that the other end has
// reset the channel. An error says that it never may have sent this frame.
func (c *resumeCore) take(p *resumePath, f frame, body []byte) (reset bool, err error) {
	p.mute = false
	switch f.kind {
	case frameData:
		c.reply = p
		err = c.in.data(f.off, body, c.window)
	case frameFin:
		c.reply = p
		err = c.in.end(f.off)
	case frameAck:
		err = c.out.ack(f.off, uint64(f.n), c.window)
	case framePing:
		c.reply = p
		p.pong = true
		c.in.owe = oweNow
	case frameReset:
		return true, nil
	}
	if !c.both && c.over() {
		c.both = true
		c.in.owe = oweNow // in front of the goodbye
	}
	return false, err
}

// comes notes that DATA is on its way over a path, slowly: the other end, which
// waits for an ACK, is told where we are.
func (c *resumeCore) comes(p *resumePath) {
	if !p.mute {
		c.reply, c.in.owe = p, oweNow
	}
}

// due reports whether next would return something.
func (c *resumeCore) due(p *resumePath) bool {
	if p.mute || p.bye {
		return false
	}
	n, fin := c.out.ready()
	return p.pong || p.ping || p.hello || c.in.owe == oweNow && c.replies(p) || (n > 0 || fin) && p == c.active()
}

// next appends what is to be sent over a path now: frames, at most one of them
// DATA.
func (c *resumeCore) next(p *resumePath, b []byte) []byte {
	if p.mute || p.bye {
		return b
	}
	if p.pong {
		b = frame{kind: framePong}.append(b)
	}
	if p.ping {
		b = frame{kind: framePing}.append(b)
	}
	if p.hello || c.in.owe != oweNothing && c.replies(p) {
		b = c.in.ack(c.window).append(b)
	}
	p.pong, p.ping, p.hello = false, false, false
	if p != c.active() {
		return b
	}
	h := &c.out
	n, fin := h.ready()
	if n = min(n, frameBody); n > 0 {
		b = frame{frameData, h.nxt, uint32(n)}.append(b)
		at := len(b)
		b = slices.Grow(b, int(n))[:at+int(n)]
		h.held.get(b[at:], h.nxt)
		h.nxt += n
		fin = h.ended && h.nxt == h.end
	}
	if fin {
		b = frame{kind: frameFin, off: h.end}.append(b)
		h.nxt++
	}
	h.max = max(h.max, h.nxt)
	p.sent = max(p.sent, h.nxt)
	return b
}

// part reports whether it is time for our goodbye on a path, and notes it: all
// is over, and the other end hears so there.
func (c *resumeCore) part(p *resumePath) bool {
	if !c.over() || p.mute || p.bye || c.in.owe != oweNothing || c.parted && c.reply != p || !c.replies(p) {
		return false
	}
	p.bye, c.parted = true, true
	return true
}
