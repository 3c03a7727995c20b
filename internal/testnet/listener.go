package testnet

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// backlog is how many dialled connections wait for Accept.
const backlog = 128

// Listener is a net.Listener in memory. Make one with Listen.
type Listener struct {
	conns  chan net.Conn // never closed
	closed chan struct{} // closed by Close
	once   sync.Once
}

// Listen returns a Listener that nobody has dialled yet.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn, backlog), closed: make(chan struct{})}
}

// Accept implements net.Listener. After Close it returns net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	if isClosed(l.closed) {
		return nil, net.ErrClosed
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that nobody accepted are closed.
// Idempotent.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	for {
		select {
		case c := <-l.conns:
			c.Close()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (*Listener) Addr() net.Addr { return Addr{} }

// Dial connects to the listener. As with TCP it does not wait for Accept while
// fewer than 128 connections wait; a closed listener is ECONNREFUSED.
func (l *Listener) Dial(ctx context.Context) (*Conn, error) {
	if isClosed(l.closed) {
		return nil, syscall.ECONNREFUSED
	}
	near, far := Pipe()
	select {
	case l.conns <- far:
		if isClosed(l.closed) { // Close may have emptied the queue before
			far.Close()
		}
		return near, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// DialContext is Dial with the signature of net.Dialer's; network and address
// are ignored.
func (l *Listener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	c, err := l.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return c, nil
}
