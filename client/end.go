package client

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
)

// reasonGrace is how long a broken channel waits for the server's
// channel.close: it was sent before the reset, but on another lane.
const reasonGrace = 50 * time.Millisecond

// end is the lane of one channel end. It remembers why the server ended the
// channel, and tells its session when the channel is over.
type end struct {
	channel.Lane

	// set at construction
	s    *session
	id   channel.ID
	wait sync.Once // for the reason, after the first error

	next *end // of the same id; guarded by s.c.mu

	// guarded by mu
	mu        sync.Mutex
	reason    *Error
	told      chan struct{} // closed when reason is known; nil while nobody asks
	readOver  bool
	writeOver bool
	forgotten bool
}

// adopt makes lane an end of a channel, known to the server's channel.close.
func (s *session) adopt(lane channel.Lane, id channel.ID) *end {
	e := &end{Lane: lane, s: s, id: id}
	s.hold(1)
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

// Close ends the channel in order.
func (e *end) Close() error {
	e.forget()
	return e.Lane.Close()
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
		t := time.NewTimer(reasonGrace)
		defer t.Stop()
		select {
		case <-e.reasonKnown():
		case <-t.C:
		case <-e.s.ctx.Done():
		}
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reason == nil {
		return err
	}
	return &ended{id: e.id, reason: e.reason, err: err}
}

// mark notes that a direction is over; the session can do without a channel
// whose both are.
func (e *end) mark(over *bool) {
	e.mu.Lock()
	before := e.readOver && e.writeOver
	*over = true
	after := e.readOver && e.writeOver
	e.mu.Unlock()
	if after && !before {
		e.s.hold(-1)
	}
}

// forget takes the channel out of the books.
func (e *end) forget() {
	e.mu.Lock()
	over, before := e.readOver && e.writeOver, e.forgotten
	e.readOver, e.writeOver, e.forgotten = true, true, true
	e.mu.Unlock()
	if !over {
		e.s.hold(-1)
	}
	if before {
		return
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
	if e.told == nil {
		e.told = make(chan struct{})
		if e.reason != nil {
			close(e.told)
		}
	}
	return e.told
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
		if e.told != nil {
			close(e.told)
		}
	}
}

// abortAll resets all channels: those on connections of their own would
// outlive the session.
func (c *Client) abortAll() {
	c.mu.Lock()
	var all []*end
	for _, e := range c.ends {
		for ; e != nil; e = e.next {
			all = append(all, e)
		}
	}
	c.mu.Unlock()
	for _, e := range all {
		e.Abort()
	}
}
