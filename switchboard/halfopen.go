package switchboard

import (
	"container/list"
	"net"
	"sync"
)

// halfOpen are the connections of one transport that have not yet logged in.
// When it is full the oldest is closed: a login takes two round trips, so
// newcomers that mean it win against those that stall.
type halfOpen struct {
	max int

	mu    sync.Mutex
	conns list.List // of net.Conn, oldest first
	done  bool
}

// add takes conn in and returns the function that takes it out.
func (h *halfOpen) add(conn net.Conn) (remove func()) {
	h.mu.Lock()
	e := h.conns.PushBack(conn)
	var oldest net.Conn
	if h.conns.Len() > h.max || h.done {
		oldest = h.conns.Remove(h.conns.Front()).(net.Conn)
	}
	h.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.conns.Remove(e) // does nothing if it was evicted
	}
}

// shed closes the oldest connection, to make room for a descriptor.
func (h *halfOpen) shed() {
	h.mu.Lock()
	e := h.conns.Front()
	if e != nil {
		h.conns.Remove(e)
	}
	h.mu.Unlock()
	if e != nil {
		e.Value.(net.Conn).Close()
	}
}

// close closes all connections, and from now on each that is added.
func (h *halfOpen) close() {
	h.mu.Lock()
	h.done = true
	n := h.conns.Len()
	h.mu.Unlock()
	for range n {
		h.shed()
	}
}
