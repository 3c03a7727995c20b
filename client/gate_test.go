package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

var errShut = errors.New("the gate is shut")

// gate is a Config.Dial that a test can shut, and whose connections it can cut
// at our end alone.
type gate struct {
	mu       sync.Mutex
	isShut   bool
	isCut    bool
	conns    []net.Conn
	stranded []net.Conn
}

func newGate() *gate { return &gate{} }

func (g *gate) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isShut {
		return nil, errShut
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	// Two pumps and a pipe, so that our end can break without the other.
	ours, theirs := net.Pipe()
	go g.pump(conn, theirs)
	go g.pump(theirs, conn)
	g.conns = append(g.conns, ours)
	g.stranded = append(g.stranded, conn, theirs)
	return ours, nil
}

// pump copies. It passes the end on, unless that is the cut.
func (g *gate) pump(dst, src net.Conn) {
	io.Copy(dst, src)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isCut {
		dst.Close()
	}
}

func (g *gate) shut() { g.set(true) }
func (g *gate) open() { g.set(false) }

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isShut = shut
}

// strand breaks our ends; the server's stay as they are.
func (g *gate) strand() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isCut = true
	for _, c := range g.conns {
		c.Close()
	}
}

// release closes everything.
func (g *gate) release() {
	g.strand()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.stranded {
		c.Close()
	}
}
