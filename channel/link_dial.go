package channel

import (
	"context"
	"net"
	"time"

	"github.com/cad2f06c/switchboard/internal/peercred"
	"github.com/cad2f06c/switchboard/shs"
)

// Dial makes the link to a callee that listens: addr is the path of its socket
// for Unix, "IP:PORT" for Net. The link is authenticated both ways when Dial
// returns, and belongs to whoever called. It takes at most 300 ms to connect to
// a Unix socket and 2 s to a port, then 3 s, and no longer than ctx.
//
// It does not connect to a path that is not absolute and clean, has more than
// 107 bytes, is no socket, or lies in a directory that is not UID's with mode
// 0700; nor to a port below 1024 or an IP that is not one machine's. No byte is
// sent over a socket whose other end is not UID. Errors of the handshake are
// those of package shs; after any error nothing is left open.
func (a *Attempt) Dial(ctx context.Context, kind Kind, addr string) (*shs.Conn, error) {
	link, err := a.dial(ctx, kind, addr)
	if err != nil {
		return nil, failed("dialling a link: "+string(kind), err)
	}
	return link, nil
}

func (a *Attempt) dial(ctx context.Context, kind Kind, addr string) (*shs.Conn, error) {
	if err := a.check(true); err != nil {
		return nil, err
	}
	var (
		conn net.Conn
		err  error
	)
	switch kind {
	case Unix:
		conn, err = a.dialUnix(ctx, addr)
	case Net:
		conn, err = a.dialNet(ctx, addr)
	default:
		err = errKind
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialShake)
	defer cancel()
	link := shs.Client(conn, a.config(kind))
	if err := link.Handshake(ctx); err != nil {
		return nil, err
	}
	return link, nil
}

// dialUnix connects to a socket and makes sure of who listens there.
func (a *Attempt) dialUnix(ctx context.Context, path string) (net.Conn, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := checkSocket(path, a.UID); err != nil {
		return nil, err
	}
	conn, err := connect(ctx, "unix", path, unixDialTime)
	if err != nil {
		return nil, err
	}
	if err := a.checkUID(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (a *Attempt) dialNet(ctx context.Context, addr string) (net.Conn, error) {
	ap, err := parseHostPort(addr)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, "tcp", ap.String(), netDialTime)
	if err != nil {
		return nil, err
	}
	a.tune(conn)
	return conn, nil
}

func connect(ctx context.Context, network, addr string, limit time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: limit, KeepAlive: -1} // tune sets it
	return d.DialContext(ctx, network, addr)
}

// checkUID asks the kernel who is at the other end of a Unix socket: a path
// names a place, not a peer.
func (a *Attempt) checkUID(conn net.Conn) error {
	uid, _, err := peercred.UID(conn)
	if err != nil {
		return err
	}
	if uid != a.UID {
		return errUID
	}
	return nil
}
