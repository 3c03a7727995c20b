package client

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
)

// reasonGrace is how long a broken channel waits for the server's
// channel.close: it was sent before the reset, but on another lane.
const reasonGrace = 50 * time.Millisecond

// end is the lane of one channel end, and on yamux the path that may leave it.
// It remembers why the server ended the channel, and tells its session when the
// channel is over.
type end struct {
	channel.Lane // path, if there is one

	// set at construction
	s      *session
	id     channel.ID
	peer   shs.PublicKey
	name   string // what was called
	caller bool
	began  time.Time
	path   *channel.Path // nil for a lane that is a connection: it cannot move
	mover  *mover        // nil if this end does not begin a move

	wait sync.Once // for the reason, after the first error
	told sync.Once // the server, of the end of a moved channel

	next *end // of the same id; guarded by s.c.mu

	// guarded by mu
	mu        sync.Mutex
	reason    *Error
	known     chan struct{} // closed when reason is known; nil while nobody asks
	readOver  bool
	writeOver bool
	forgotten bool
	closing   bool            // closed, and to be forgotten when all has come
	ending    bool            // over, of which the server is told when all has come
	released  bool            // the session is not held any more
	kind      channel.Kind    // of the link that it has moved to
	survive   bool            // it may do without a control session
	under     *session        // that has moved or adopted it last
	announced <-chan struct{} // closed when the server was told of the move; nil at the callee
	window    int64           // agreed on for net links; 0: they die with the channel
	required  bool            // nothing of the channel goes over the server
	ln        *awaited        // the link of an attempt, at the callee
}

// adopt makes lane an end of a channel, known to the server's channel.close.
func (s *session) adopt(lane channel.Lane, info *channel.Info) *end {
	e := &end{Lane: lane, s: s, id: info.ID, peer: info.Key, name: info.Name, caller: info.Caller, began: time.Now()}
	if s.mux != nil {
		e.path = channel.NewPath(lane, info.Caller, func(f func()) { s.c.linger(e.path, f) })
		e.Lane = e.path
	}
	id := info.ID
	s.live.add(1)
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	e.next = s.c.ends[id]
	s.c.ends[id] = e
	return e
}

// Read reads from the lane.
func (e *end) Read(p []byte) (int, error) {
	n, err := e.Lane.Read(p)
	if err != nil {
		err = e.look(err, &e.readOver)
	}
	return n, err
}

// Write writes to the lane.
func (e *end) Write(p []byte) (int, error) {
	n, err := e.Lane.Write(p)
	if err != nil {
		err = e.look(err, &e.writeOver)
	}
	return n, err
}

// CloseWrite ends our direction.
func (e *end) CloseWrite() error {
	err := e.Lane.CloseWrite()
	e.mark(&e.writeOver)
	return err
}

// Close ends the channel in order. One that has moved resumably stays in the books
// until the other end has what was written: it may need another link for that.
func (e *end) Close() error {
	if e.path == nil || !e.path.Resumable() {
		e.forget()
		return e.Lane.Close()
	}
	e.mu.Lock()
	e.closing = true
	e.mu.Unlock()
	err := e.Lane.Close()
	if !e.path.Delivering() {
		e.forget()
	}
	return err
}

// delivered is told that a channel which has moved resumably needs no link any more.
func (e *end) delivered() {
	e.mu.Lock()
	ending, closing := e.ending, e.closing
	e.mu.Unlock()
	if ending {
		e.closed()
	}
	if closing {
		e.forget()
	}
}

// Abort resets the channel.
func (e *end) Abort() error {
	e.forget()
	return e.Lane.Abort()
}

// look decides what an error of one direction means.
func (e *end) look(err error, over *bool) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case err == io.EOF, errors.Is(err, net.ErrClosed):
		e.mark(over)
		return err
	}
	e.mark(&e.readOver)
	e.mark(&e.writeOver)
	e.wait.Do(func() {
		over := e.s.ctx.Done()
		if e.Link() != "" { // it is told over whichever session there is
			over = e.s.c.ctx.Done()
		}
		t := time.NewTimer(reasonGrace)
		defer t.Stop()
		select {
		case <-e.reasonKnown():
		case <-t.C:
		case <-over:
		}
	})
	e.mu.Lock()
	reason, moved := e.reason, e.kind != ""
	e.mu.Unlock()
	switch {
	case reason != nil:
		return &ended{id: e.id, by: "by the server", reason: reason, err: err}
	case resetReason(err) != nil:
		return &ended{id: e.id, by: "by the server", reason: resetReason(err), err: err}
	case moveReason(err) != nil:
		return &ended{id: e.id, by: "here", reason: moveReason(err), err: err}
	case !moved && e.path != nil && e.s.ctx.Err() != nil:
		return fmt.Errorf("%w: the session that carried the channel has ended: %w", ErrNotConnected, err)
	}
	return err
}

// resetReason is the code that a reset of the lane has brought, which stands in
// for a channel.close that has not come; nil if it has brought none.
func resetReason(err error) *Error {
	reset, ok := errors.AsType[*mux.ResetError](err)
	if !ok || reset.Reason == mux.ReasonNone {
		return nil
	}
	return &Error{Code: control.Code(reset.Reason.String())}
}

// moveReason is the code of what a move has broken; nil if it has not.
func moveReason(err error) *Error {
	switch {
	case errors.Is(err, channel.ErrHole):
		return Hole.With("bytes are missing between relay and link")
	case errors.Is(err, channel.ErrLinkLost):
		return LinkLost.With("the direct link was lost")
	case errors.Is(err, channel.ErrRelayLost):
		return RelayLost.With("the relay was lost during the move")
	}
	return nil
}

// mark notes that a direction is over; the session can do without a channel
// whose both are.
func (e *end) mark(over *bool) {
	e.mu.Lock()
	before := e.readOver && e.writeOver
	*over = true
	after := e.readOver && e.writeOver
	moved := e.kind != ""
	e.mu.Unlock()
	if after && !before {
		e.release()
		if moved {
			e.closed()
		}
	}
}

// release lets the session go, once.
func (e *end) release() {
	e.mu.Lock()
	before := e.released
	e.released = true
	e.mu.Unlock()
	if !before {
		e.s.live.add(-1)
	}
}

// forget takes the channel out of the books.
func (e *end) forget() {
	e.mu.Lock()
	before, moved, ln := e.forgotten, e.kind != "", e.ln
	e.readOver, e.writeOver, e.forgotten = true, true, true
	e.mu.Unlock()
	if before {
		return
	}
	e.release()
	if e.mover != nil {
		e.mover.stop()
	}
	if ln != nil {
		ln.Close()
	}
	if moved {
		e.closed()
	}
	c := e.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.ends[e.id]
	if first == e {
		if e.next == nil {
			delete(c.ends, e.id)
		} else {
			c.ends[e.id] = e.next
		}
		return
	}
	for o := first; o != nil; o = o.next {
		if o.next == e {
			o.next = e.next
			return
		}
	}
}

// reasonKnown returns a channel that is closed when the reason is known.
func (e *end) reasonKnown() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known == nil {
		e.known = make(chan struct{})
		if e.reason != nil {
			close(e.known)
		}
	}
	return e.known
}

// setReason remembers why the server ends the channel; the first reason stays.
func (e *end) setReason(reason string) {
	if reason == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reason == nil {
		e.reason = &Error{Code: control.Code(reason)}
		if e.known != nil {
			close(e.known)
		}
	}
}

// abortAll resets all channels: those on connections of their own, and those
// that have moved, would outlive the session.
func (c *Client) abortAll() {
	c.mu.Lock()
	var all []*end
	for _, e := range c.ends {
		for ; e != nil; e = e.next {
			all = append(all, e)
		}
	}
	lingers := slices.Collect(maps.Keys(c.lingers))
	c.mu.Unlock()
	for _, e := range all {
		e.Abort()
	}
	for _, p := range lingers {
		p.Abort()
	}
}

// spawn runs f on a goroutine of the Client, and reports false if that is
// over.
func (c *Client) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	c.wg.Go(f)
	return true
}

// linger runs what a closed channel has left to do; a Client that ends cuts it
// short.
func (c *Client) linger(p *channel.Path, f func()) {
	c.mu.Lock()
	over := c.over
	if !over {
		c.lingers[p]++
		c.wg.Go(func() {
			f()
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.lingers[p]--; c.lingers[p] == 0 {
				delete(c.lingers, p)
			}
		})
	}
	c.mu.Unlock()
	if over {
		p.Abort()
	}
}
