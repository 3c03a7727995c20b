package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
)

// Listener accepts the channels that peers open to a name. It is a
// net.Listener, and safe for concurrent use.
//
// At most 64 channels wait for Accept; the callers of further ones are told
// busy. A Listener lives over reconnects. It ends, with an error from Accept
// that is ErrNameLost, when its name goes to another owner, and with
// net.ErrClosed by Close of it or of the Client.
//
// The Client looks after the names of its Listeners. For one of them it has a
// watch, so 15 of a session's 16 are left for Watch; for the others, and for all
// if the server grants no watch, it asks every 2 s. So it may take that long
// until Accept returns ErrNameLost, or Claim tells of a new state; channels come
// from the first moment.
type Listener struct {
	// set at construction
	c      *Client
	name   string
	ctx    context.Context // ends, with the cause, when the listener does
	cancel context.CancelCauseFunc
	admit  func(context.Context, Offer) error // or nil

	waiting atomic.Int32 // reserved places and those in queue
	queue   chan *channel.Conn
}

// Listen claims name and accepts the channels that are opened to it. It is
// ready to accept before anybody hears of the name. The empty name claims
// nothing: it accepts the channels that are opened to this session's id, by
// those whom it called or shares a channel with. It fails with NameTaken, and
// with ErrListening if this Client listens on the name already.
//
// The connections are *channel.Conn.
func (c *Client) Listen(ctx context.Context, name string) (net.Listener, error) {
	l, err := c.ListenWith(ctx, name, ClaimOptions{})
	if err != nil {
		return nil, err // a nil *Listener in a net.Listener would not be nil
	}
	return l, nil
}

// Offer is what a callee knows of a channel that it is offered.
type Offer = channel.Info

// ListenOptions say how a Listener is made. The zero value is that of Listen.
type ListenOptions struct {
	ClaimOptions

	// Admit decides about each channel before it is accepted: an error refuses it,
	// and its text, at most 256 bytes, is what the caller is told with Refused. ctx
	// lasts for the 10 s that there are for an answer, and no longer than Listener
	// and session; the caller may wait for less. It may be called concurrently. What
	// it admits may still come to nothing and not reach Accept. Nil: all are
	// accepted.
	Admit func(ctx context.Context, o Offer) error
}

// ListenWith is Listen with options. With Queue it does not wait for the name:
// the Listener accepts as soon as it owns it, and Claim tells whether it does.
func (c *Client) ListenWith(ctx context.Context, name string, opts ClaimOptions) (*Listener, error) {
	return c.ListenOffers(ctx, name, ListenOptions{ClaimOptions: opts})
}

// ListenOffers is ListenWith for who looks at a channel before it is accepted.
func (c *Client) ListenOffers(ctx context.Context, name string, opts ListenOptions) (*Listener, error) {
	args, err := opts.args(name)
	if err != nil {
		return nil, err
	}
	l := &Listener{c: c, name: name, admit: opts.Admit, queue: make(chan *channel.Conn, backlog)}
	l.ctx, l.cancel = context.WithCancelCause(c.ctx)
	c.mu.Lock()
	if c.listeners[name] != nil {
		c.mu.Unlock()
		return nil, ErrListening
	}
	c.listeners[name] = l // before the claim: the first offer may overtake its answer
	c.mu.Unlock()

	if name == "" {
		_, err = c.await(ctx)
	} else {
		_, err = c.claim(ctx, args, l)
	}
	if err == nil && l.ctx.Err() != nil {
		err = context.Cause(l.ctx) // lost or closed meanwhile
	}
	if err != nil {
		l.end(err)
		l.refuseAll()
		return nil, err
	}
	return l, nil
}

// Accept returns the next channel, a *channel.Conn. To turn a caller away, Close
// it: Abort so soon may overtake the news that we have accepted, and then the
// caller is told Busy.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.queue: // what was accepted in time is delivered, even after the end
		l.waiting.Add(-1)
		return conn, nil
	default:
	}
	select {
	case conn := <-l.queue:
		l.waiting.Add(-1)
		return conn, nil
	case <-l.ctx.Done():
		return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: context.Cause(l.ctx)}
	}
}

// Close releases the name, resets the channels that wait for Accept, and ends
// the Listener. Channels that were accepted live on. When it returns the name
// is free, unless the server did not answer within a second.
func (l *Listener) Close() error {
	c := l.c
	c.mu.Lock()
	cl := c.claims[l.name]
	owned := cl != nil && cl.l == l
	if owned {
		delete(c.claims, l.name)
	}
	c.mu.Unlock()
	l.end(fmt.Errorf("client: listener: %w", net.ErrClosed))
	l.refuseAll()
	if owned {
		c.giveUp(l.name)
	}
	return nil
}

// Addr returns the name, or for a listener without one the session id.
func (l *Listener) Addr() net.Addr {
	if l.name != "" {
		return channel.Addr{Name: l.name}
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if l.c.session == nil {
		return channel.Addr{}
	}
	return channel.Addr{Name: l.c.session.me.Session}
}

// Claim returns what the listener's claim has made of it: "owner", or
// "waiting" with Queue. It is zero for a listener without a name, and after
// the end.
func (l *Listener) Claim() Claim {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if cl := l.c.claims[l.name]; cl != nil && cl.l == l {
		return cl.result
	}
	return Claim{}
}

// end ends the listener; the first cause stays.
func (l *Listener) end(cause error) {
	l.cancel(cause)
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if l.c.listeners[l.name] == l {
		delete(l.c.listeners, l.name)
	}
}

// refuseAll resets what waits for Accept.
func (l *Listener) refuseAll() {
	for {
		select {
		case conn := <-l.queue:
			l.waiting.Add(-1)
			conn.Abort()
		default:
			return
		}
	}
}

// reserve takes a place in the backlog of whoever listens on what a caller has
// called. The place is used by deliver or given back by unreserve.
func (c *Client) reserve(called string) (*Listener, error) {
	if strings.HasPrefix(called, ":") {
		called = ""
	}
	c.mu.Lock()
	l := c.listeners[called]
	c.mu.Unlock()
	if l == nil || l.ctx.Err() != nil {
		return nil, control.NotFound.With("nobody listens here")
	}
	if l.waiting.Add(1) > backlog {
		l.waiting.Add(-1)
		return nil, control.Busy.With("too many channels wait to be accepted")
	}
	return l, nil
}

// admits asks Admit. Its error is what the caller is told.
func (l *Listener) admits(s *session, o Offer) error {
	if l.admit == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, answerTimeout)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	err := l.admit(ctx, o)
	if err == nil || errors.Is(err, Busy) {
		return err
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Message != "" {
		return control.Refused.With(e.Message)
	}
	return control.Refused.With(err.Error())
}

func (l *Listener) unreserve() { l.waiting.Add(-1) }

// deliver hands a channel to Accept. The reserved place has room for it.
func (l *Listener) deliver(conn *channel.Conn) {
	l.queue <- conn
	if errors.Is(context.Cause(l.ctx), net.ErrClosed) {
		l.refuseAll() // Close may have looked before conn was there
	}
}

// endAll ends all listeners and channels.
func (c *Client) endAll(cause error) {
	c.mu.Lock()
	var ls []*Listener
	for _, l := range c.listeners {
		ls = append(ls, l)
	}
	clear(c.claims)
	c.mu.Unlock()
	for _, l := range ls {
		l.end(cause)
		l.refuseAll()
	}
	c.abortAll()
}
