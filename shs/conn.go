package shs

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a net.Conn that knows who is at the other end. One goroutine may
// read, one may write, and any may call the other methods, all at once; further
// readers and writers wait, and a Write is never mixed with another.
type Conn struct {
	// Set at construction.
	raw    net.Conn
	client bool

	// shaking is a 1-slot lock: whoever holds it runs the handshake, or waits
	// for it, and owns the fields up to shaken.
	shaking chan struct{}
	cfg     *Config // a copy, nil after the handshake
	failed  error   // of the handshake, sticky

	// Written under shaking, read by anybody once shaken is true.
	remote PublicKey
	mode   Mode
	other  bool // under Config.PurposeKey
	in     *reader
	out    *writer
	shaken atomic.Bool

	closed atomic.Bool // by Close or Abort, under mu: readers and writers get net.ErrClosed

	mu            sync.Mutex
	cause         error    // why we cut the connection under the handshake
	readDeadline  deadline // as the caller set them last
	writeDeadline deadline

	broken atomic.Pointer[string] // a panic at a timer, and its stack
}

var _ net.Conn = (*Conn)(nil)

func newConn(raw net.Conn, cfg *Config, client bool) *Conn {
	own := *cfg
	return &Conn{raw: raw, cfg: &own, client: client, shaking: make(chan struct{}, 1)}
}

// Vouched wraps a connection whose other end somebody whom we trust has made
// sure of, such as the server that made a pair of sockets and passed one to each
// of two peers. There is no handshake: the Conn is in plain mode at once, and
// RemoteKey is remote. The Conn owns conn.
func Vouched(conn net.Conn, remote PublicKey) *Conn {
	c := &Conn{
		raw:     conn,
		shaking: make(chan struct{}, 1),
		remote:  remote,
		mode:    Plain,
		in:      newReader(conn, new(plainReader)),
		out:     newWriter(conn, plainWriter{}),
	}
	c.shaken.Store(true)
	return c
}

// NetConn returns the connection below. Reading from it, or writing to it,
// breaks the Conn.
func (c *Conn) NetConn() net.Conn { return c.raw }

// LocalAddr returns the local address of the connection below.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr returns the remote address of the connection below.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// RemoteKey returns the peer's proven key. It is zero before the handshake is
// done.
func (c *Conn) RemoteKey() PublicKey {
	if !c.shaken.Load() {
		return PublicKey{}
	}
	return c.remote
}

// Mode returns how the bytes travel. It is Box before the handshake is done.
func (c *Conn) Mode() Mode {
	if !c.shaken.Load() {
		return Box
	}
	return c.mode
}

// Purpose reports, at a server, whether the handshake was under Config.PurposeKey.
// It is false before the handshake is done.
func (c *Conn) Purpose() bool { return c.shaken.Load() && c.other }

// Read returns the next bytes from the peer. io.EOF is the peer's goodbye,
// io.ErrUnexpectedEOF a connection that ended without one, ErrProtocol a stream
// that was tampered with, net.ErrClosed our own Close. A Read that meets its
// deadline has lost nothing: a later one goes on. Read runs the handshake if it
// is not done.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.ready(); err != nil {
		return 0, err
	}
	c.in.lock()
	defer c.unlockRead()
	if err := c.expired(&c.readDeadline); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.in.read(p)
	return n, c.ended(err)
}

// Next returns the next bytes as a view into the Conn's buffer, which is valid
// until the next call of Next, Read or Peek, and whether there is more at hand
// that needs no read from the connection below: bytes, or the end. Otherwise it
// is as Read.
func (c *Conn) Next() (p []byte, more bool, err error) {
	if err := c.ready(); err != nil {
		return nil, false, err
	}
	c.in.lock()
	defer c.unlockRead()
	if err := c.expired(&c.readDeadline); err != nil {
		return nil, false, err
	}
	p, more, err = c.in.next()
	return p, more, c.ended(err)
}

// Peek returns the next n bytes, at most 64, without consuming them. If the
// stream ends or the deadline passes before, it returns fewer and the error
// that Read would return after them. The slice is valid until the next Read or
// Peek.
func (c *Conn) Peek(n int) ([]byte, error) {
	if err := c.ready(); err != nil {
		return nil, err
	}
	c.in.lock()
	defer c.unlockRead()
	if err := c.expired(&c.readDeadline); err != nil {
		return nil, err
	}
	p, err := c.in.peek(n)
	return p, c.ended(err)
}

// Write sends p. See WriteBuffers.
func (c *Conn) Write(p []byte) (int, error) { return c.WriteBuffers(p) }

// WriteBuffers sends bufs in order and in as few writes to the connection below
// as possible; each of them begins a box, or a chunk, of its own. No other Write
// comes between. Empty buffers send nothing.
//
// If the deadline passed before anything was sealed, it returns 0 and an error
// with Timeout() true. If it passes in the middle, what is sealed counts as
// written, is kept, and goes out in front of the next Write, CloseWrite or
// Close. Any other error is final. WriteBuffers runs the handshake if it is not
// done.
func (c *Conn) WriteBuffers(bufs ...[]byte) (int, error) {
	if err := c.ready(); err != nil {
		return 0, err
	}
	c.out.lock()
	defer c.out.unlock()
	if err := c.expired(&c.writeDeadline); err != nil {
		return 0, err
	}
	n, err := c.out.write(bufs)
	return n, c.ended(err)
}

// TryWrite frames all of p and sends what the kernel takes without waiting, and
// what was left before in front of it. left says that framed bytes wait: they go
// by Flush, or before anything else that is written. It waits for another write
// in progress, and for a handshake that is not done, but not for the peer. If
// the connection below cannot write without waiting, all is left: sockets of
// package net can, and what has a method TryWrite(p []byte) (n int, err error).
// An error is final; a deadline is none.
func (c *Conn) TryWrite(p []byte) (left bool, err error) {
	if err := c.ready(); err != nil {
		return false, err
	}
	c.out.lock()
	defer c.out.unlock()
	if c.closed.Load() {
		return false, net.ErrClosed
	}
	err = c.out.try(p)
	return c.out.left(), c.ended(err)
}

// Flush sends what TryWrite, or a write that met its deadline, has left. A Flush
// that meets its deadline may be called again.
func (c *Conn) Flush() error {
	if err := c.ready(); err != nil {
		return err
	}
	c.out.lock()
	defer c.out.unlock()
	if err := c.expired(&c.writeDeadline); err != nil {
		return err
	}
	return c.ended(c.out.flushed())
}

// CloseWrite sends the goodbye: the peer reads io.EOF after what was written
// before. Reading goes on. A CloseWrite that meets its deadline may be called
// again; a later Write fails with net.ErrClosed.
func (c *Conn) CloseWrite() error {
	if err := c.ready(); err != nil {
		return err
	}
	c.out.lock()
	defer c.out.unlock()
	if err := c.expired(&c.writeDeadline); err != nil {
		return err
	}
	return c.ended(c.out.end())
}

// Close sends the goodbye unless CloseWrite has, for at most 1 s, and closes
// the connection below. Reads, Writes and a handshake in progress end with
// net.ErrClosed. A second Close does nothing.
//
// What the peer has sent and nobody has read is lost, and over TCP the kernel
// then resets the connection: the peer may read an error in place of our last
// bytes. To end in order, CloseWrite, read to io.EOF, then Close.
func (c *Conn) Close() error {
	if !c.shaken.Load() {
		return c.Abort()
	}
	timer := time.AfterFunc(closeTimeout, func() { c.late(func() { c.raw.Close() }) })
	defer timer.Stop()
	c.mu.Lock()
	if c.closed.Swap(true) {
		c.mu.Unlock()
		return nil
	}
	now := time.Now()
	c.raw.SetReadDeadline(now) // wakes readers at once
	c.raw.SetWriteDeadline(now.Add(closeTimeout))
	c.mu.Unlock()

	c.out.lock() // a Write in progress ends by the deadline
	c.out.end()  // whether the peer still listens is its business
	c.out.fail(net.ErrClosed)
	c.out.unlock()
	err := c.raw.Close()
	c.forgetRead()
	c.rethrow()
	if errors.Is(err, net.ErrClosed) { // by the timer
		err = nil
	}
	return err
}

// Abort closes the connection below without a goodbye: the peer reads
// io.ErrUnexpectedEOF. Otherwise it is as Close.
func (c *Conn) Abort() error {
	c.mu.Lock()
	closed := c.closed.Swap(true)
	if c.cause == nil {
		c.cause = net.ErrClosed
	}
	c.mu.Unlock()
	err := c.raw.Close()
	if closed { // a Close may be at its goodbye still: that is cut off
		return nil
	}
	if c.shaken.Load() {
		c.forgetRead()
		if c.out.tryLock() { // else the Write in progress fails by itself
			c.out.fail(net.ErrClosed)
			c.out.unlock()
		}
	}
	return err
}

// forgetRead wipes the reading half; a Read in progress does it on its way out.
func (c *Conn) forgetRead() {
	if c.in.tryLock() {
		c.in.close()
		c.in.unlock()
	}
}

// unlockRead gives the reading half back, wiped if the Conn was closed under it.
func (c *Conn) unlockRead() {
	c.in.unlock()
	if c.closed.Load() {
		c.forgetRead()
	}
}

// SetDeadline sets the deadlines of Read and Write. The zero time is none.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.readDeadline, &c.writeDeadline)
}

// SetReadDeadline sets the deadline of Read and Peek, of those in progress too.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.readDeadline) }

// SetWriteDeadline sets the deadline of writes, of those in progress too.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writeDeadline) }

// setDeadlines remembers and sets them in one step, so that Close, which sets
// its own, is not overtaken. Setting a deadline does not block.
func (c *Conn) setDeadlines(t time.Time, which ...*deadline) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return net.ErrClosed
	}
	for _, d := range which {
		d.at = t
		d.set.Store(!t.IsZero())
		set := c.raw.SetReadDeadline
		if d == &c.writeDeadline {
			set = c.raw.SetWriteDeadline
		}
		if err := set(t); err != nil {
			return err
		}
	}
	return nil
}

// deadline is that of one direction. Who finds it not set need not lock for it.
type deadline struct {
	set atomic.Bool
	at  time.Time // guarded by mu
}

// expired returns what a call that begins now must return: net.ErrClosed after
// our own close, a timeout if its deadline has passed.
func (c *Conn) expired(d *deadline) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	if !d.set.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !d.at.IsZero() && !time.Now().Before(d.at) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// ended is err, or net.ErrClosed if our own close is what caused it.
func (c *Conn) ended(err error) error {
	if err != nil && c.closed.Load() {
		return net.ErrClosed
	}
	return err
}
