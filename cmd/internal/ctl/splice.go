package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// duplex is an end of a splice: a connection whose directions end one by one.
// Abort ends it so that the other side does not take it for a clean end, where
// its kind has a way to say so.
type duplex interface {
	net.Conn
	CloseWrite() error
	Abort() error
}

// splice copies between a and b until both directions have ended, and closes
// both. The end of one direction is passed on as such; an error, or the end of
// ctx, aborts both and is returned as ended.
func splice(ctx context.Context, a, b duplex) error {
	abort := func() { a.Abort(); b.Abort() }
	defer context.AfterFunc(ctx, abort)()
	var wg sync.WaitGroup
	var there, back error
	wg.Go(func() {
		if there = pass(b, a); there != nil {
			abort()
		}
	})
	if back = pass(a, b); back != nil {
		abort()
	}
	wg.Wait()
	// Our own abort makes the other direction fail as well: that is no news.
	for _, err := range []error{there, back} {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return ended{err}
		}
	}
	if err := errors.Join(there, back, ctx.Err()); err != nil {
		return ended{err}
	}
	return errors.Join(a.Close(), b.Close())
}

// pass copies one direction and passes its end on.
func pass(dst interface {
	io.Writer
	CloseWrite() error
}, src io.Reader) error {
	if _, err := io.Copy(onlyWriter{dst}, onlyReader{src}); err != nil {
		return err
	}
	return dst.CloseWrite()
}

// onlyReader and onlyWriter hide ReadFrom and WriteTo: between our own kinds of
// connection they gain nothing.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// abortTCP is a TCP connection whose Abort is an RST.
type abortTCP struct{ *net.TCPConn }

// Abort resets the connection.
func (c abortTCP) Abort() error { return errors.Join(c.SetLinger(0), c.Close()) }

// abortUnix is a Unix connection. The kernel has no abort for it: it closes.
type abortUnix struct{ *net.UnixConn }

// Abort closes the connection.
func (c abortUnix) Abort() error { return c.Close() }

// asDuplex gives conn, of package net, what a splice needs.
func asDuplex(conn net.Conn) (duplex, error) {
	switch c := conn.(type) {
	case *net.TCPConn:
		return abortTCP{c}, nil
	case *net.UnixConn:
		return abortUnix{c}, nil
	case duplex:
		return c, nil
	}
	return nil, fmt.Errorf("a %T cannot end one direction alone", conn)
}
