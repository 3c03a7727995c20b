package client

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// strandedAfter is the pause between attempts at another link, behind the first
// ones, while a channel has no path at all: it has 30 s.
const strandedAfter = 5 * time.Second

// window is what this client offers to hold for each direction of a channel
// that outlives its link; 0: it does not take part.
func (c *Client) window() int64 {
	if c.cfg.Resume <= 0 {
		return 0
	}
	return int64(min(max(c.cfg.Resume, channel.MinWindow), channel.MaxWindow))
}

// agree returns the window of an attempt that the other end offers with one of
// its own, or 0.
func (c *Client) agree(theirs int64) int64 {
	w := min(c.window(), theirs)
	if w < channel.MinWindow {
		return 0
	}
	return w
}

// setWindow notes what this attempt at a link has agreed on.
func (e *end) setWindow(w int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.window = w
}

// move moves the channel to a link of a kind, which it owns: resumably, if both
// ends offer it. A channel that has moved resumably has one more link then.
func (e *end) move(ctx context.Context, link *shs.Conn, kind channel.Kind) error {
	e.mu.Lock()
	w, noLane := e.window, e.required
	e.mu.Unlock()
	e.s.c.cfg.tune(link)
	switch {
	case kind != channel.Net || w == 0:
		return e.path.Move(ctx, link)
	case e.path.Resumable():
		if !e.path.AddLink(link) {
			return errUnmoved
		}
		return nil
	}
	with := channel.Resume{Window: int(w), NoLane: noLane, Over: e.delivered}
	if e.caller {
		r := &relinker{e: e}
		with.Lost = r.lost
	}
	return e.path.MoveResumable(ctx, link, with)
}

// relinker gets a channel another link when its last one has died. It has no
// goroutine but while it tries.
type relinker struct {
	e *end

	mu    sync.Mutex
	timer *time.Timer // nil while it is idle or tries
	tries int
}

// lost is told that the last link has died.
func (r *relinker) lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil {
		r.tries = 0
		r.timer = time.AfterFunc(retryAfter(0), r.look)
	}
}

// look begins an attempt, unless the channel is over or has a link.
func (r *relinker) look() {
	r.mu.Lock()
	r.timer = nil
	r.tries++
	r.mu.Unlock()
	if r.e.path.Resumable() && !r.e.path.Linked() {
		r.e.s.c.spawn(r.attempt)
	}
}

// attempt asks for a link over the session that there is now.
func (r *relinker) attempt() {
	e, c := r.e, r.e.s.c
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		ctx, cancel := context.WithTimeout(s.ctx, attemptFor)
		defer cancel()
		args := control.ChannelDirectArgs{Channel: e.id.String(), Direct: []string{string(channel.Net)}, Resume: c.window()}
		var res control.ChannelDirectResult
		err := s.call(ctx, control.MethodChannelDirect, args, &res)
		if err == nil {
			err = e.dialMore(ctx, &res.Direct)
		}
		s.log.Debug("another link for a channel", "channel", e.id, "err", err)
	}
	if e.path.Linked() || !e.path.Resumable() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	after := retryAfter(r.tries)
	if e.path.Stranded() {
		after = min(after, strandedAfter)
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(after, r.look)
	}
}

// dialMore tries the links of an attempt at another one.
func (e *end) dialMore(ctx context.Context, links *control.Links) error {
	a := e.tries(links.Secret)
	a.Caller = true
	err := errNoLink
	for _, l := range links.Links {
		if l.Net == "" {
			continue
		}
		var conn *shs.Conn
		if conn, err = a.Dial(ctx, channel.Net, l.Net); err == nil {
			return e.move(ctx, conn, channel.Net)
		}
	}
	return err
}

// tries is an attempt at a net link of the channel.
func (e *end) tries(secret [32]byte) channel.Attempt {
	return channel.Attempt{Network: e.s.c.cfg.NetworkKey, Key: e.s.c.cfg.Key, Channel: e.id, Secret: secret, Peer: e.peer, Clock: &e.s.c.alarms}
}

// resumable returns the callee's end of a channel, of whichever session, that
// may have another link.
func (c *Client) resumable(text string) *end {
	id, err := channel.ParseID(text)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.ends[id]; e != nil; e = e.next {
		if !e.caller && e.path != nil && e.path.Resumable() {
			return e
		}
	}
	return nil
}

// linkMore serves channel.link for a channel that has moved resumably.
func (s *session) linkMore(e *end, ask *control.LinkAsk) (any, error) {
	w := s.c.agree(ask.Resume)
	if w == 0 || !slices.Contains(s.c.kinds(), channel.Net) {
		return nil, control.Unavailable.With("the channel has moved")
	}
	a := e.tries(ask.Secret)
	var host string
	if tcp, ok := s.conn.LocalAddr().(*net.TCPAddr); ok {
		host = tcp.IP.String()
		if tcp.Zone != "" {
			host += "%" + tcp.Zone
		}
	}
	ln, err := a.Listen([]channel.Kind{channel.Net}, channel.ListenOptions{Host: host})
	if err != nil {
		return nil, control.Unavailable.With("no direct link can be listened for")
	}
	if !s.c.spawn(func() {
		defer ln.Close()
		if conn, err := ln.Accept(s.c.ctx, e.path.Resumable); err == nil {
			s.c.cfg.tune(conn)
			e.path.AddLink(conn)
		}
	}) {
		ln.Close()
		return nil, errClosed
	}
	return control.ChannelLinkResult{Direct: control.LinkAnswer{Net: ln.Port(), Resume: w}}, nil
}
