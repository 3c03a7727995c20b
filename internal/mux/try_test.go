package mux_test

import (
	"sync"

	"github.com/cad2f06c/switchboard/internal/testnet"
)

// tryConn is a connection that can write without waiting, and lends what it
// reads, as shs.Conn does. What it takes at once is up to room bytes.
type tryConn struct {
	*testnet.Conn
	room int
	view [700]byte

	mu   sync.Mutex // one writer at a time is the session's promise: held to show it
	left []byte
}

func (c *tryConn) TryWrite(p []byte) (bool, error) {
	if !c.mu.TryLock() {
		panic("two writers at once")
	}
	defer c.mu.Unlock()
	c.left = append(c.left, p...)
	n, err := c.Conn.TryWrite(c.left[:min(len(c.left), c.room)])
	c.left = c.left[n:]
	return len(c.left) > 0, err
}

func (c *tryConn) Flush() error {
	_, err := c.Write(nil)
	return err
}

func (c *tryConn) Write(p []byte) (int, error) {
	if !c.mu.TryLock() {
		panic("two writers at once")
	}
	defer c.mu.Unlock()
	n, err := c.Conn.Write(c.left)
	c.left = c.left[n:]
	if err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *tryConn) Next() ([]byte, bool, error) {
	n, err := c.Read(c.view[:])
	return c.view[:n], false, err
}
