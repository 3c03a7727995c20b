package switchboard

import (
	"context"
	"net"
	"sync"
)

// Local is a listener for peers in the server's own process. They dial with
// DialContext, speak box like any other peer, and are admitted as the server's
// own user is. Safe for concurrent use.
type Local struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewLocal makes a Local, to be given to Serve.
func NewLocal() *Local {
	return &Local{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// DialContext connects to the server that serves l. Network and address are
// not looked at, so that it fits where a dial function is asked for. It
// returns net.ErrClosed after Close.
func (l *Local) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- localConn{theirs}:
		return ours, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: transportLocal, Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: transportLocal, Err: ctx.Err()}
	}
}

// Accept waits for the next dialler.
func (l *Local) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener; connections live on.
func (l *Local) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns an address of network "local".
func (l *Local) Addr() net.Addr { return localAddr{} }

// localConn marks a connection as one from this process.
type localConn struct{ net.Conn }

func (localConn) RemoteAddr() net.Addr { return localAddr{} }

type localAddr struct{}

func (localAddr) Network() string { return transportLocal }
func (localAddr) String() string  { return transportLocal }
