package client

import (
	"context"
	"slices"

	"github.com/cad2f06c/switchboard/internal/control"
)

// closed tells the server, once, that an end of a moved channel is over: without a
// session, over the next one. While something of it may need another link it is not
// over; then delivered comes.
func (e *end) closed() {
	e.mu.Lock()
	e.ending = true
	e.mu.Unlock()
	if e.path.Delivering() {
		return
	}
	e.told.Do(func() {
		c := e.s.c
		c.mu.Lock()
		s := c.session
		if s == nil {
			s = c.coming // it may have adopted the channel already
		}
		if s == nil {
			c.untold = append(c.untold, e)
		}
		c.mu.Unlock()
		if s != nil {
			e.tellClosed(s)
		}
	})
}

// tellClosed tells the server over a session that an end is over.
func (e *end) tellClosed(s *session) {
	_, sent, received := e.path.Stage()
	e.mu.Lock()
	args := control.ChannelClosedArgs{Channel: e.id.String(), Sent: sent, Received: received}
	if e.reason != nil {
		args.Reason = string(e.reason.Code)
	}
	announced := e.announced
	e.mu.Unlock()
	c := s.c
	c.errands.add(1)
	if !s.spawn(func() {
		defer c.errands.add(-1)
		if announced != nil { // else the server may not know that the channel has moved
			<-announced
		}
		ctx, cancel := context.WithTimeout(s.ctx, answerTimeout)
		defer cancel()
		if err := s.call(ctx, control.MethodChannelClosed, args, nil); err != nil {
			s.log.Debug("the server was not told of a channel's end", "channel", e.id, "err", err)
		}
	}) {
		c.errands.add(-1)
	}
}

// untoldEnds returns the ends that were over while there was no session. The next
// one adopts them, too, so that a server which has restarted knows who is over; when it
// has, they are told.
func (c *Client) untoldEnds() []*end {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.untold)
}

// forgetUntold takes an end that is being told out of them.
func (c *Client) forgetUntold(e *end) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.untold = slices.DeleteFunc(c.untold, func(o *end) bool { return o == e })
}
