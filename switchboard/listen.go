package switchboard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// defaultPort is the TCP port of an address that names none (PROTOCOL.md §1).
const defaultPort = 7483

var (
	// ErrListening is returned by Listen when somebody listens there already.
	ErrListening = errors.New("already in use")
	// ErrUnsafePath is returned for a file or socket at a place where somebody
	// else could replace it.
	ErrUnsafePath = errors.New("unsafe path")

	errAddress = errors.New("bad listen address")
)

// Listen makes a listener for Serve from an address:
//
//	unix:PATH        a Unix socket
//	net:HOST:PORT    TCP; "tcp:" means the same, the port is 7483 if not given.
//	                 0.0.0.0 is every IPv4 address of the machine, :: every IPv6
//	                 address, an empty HOST both
//
// A Unix socket has mode 0600 from its first instant. PATH is made absolute,
// must then fit in a socket address (107 bytes on Linux) and must not hold "..".
// Its directory is created with mode 0700 if missing, must belong to the caller
// or root, and must not be writable by anybody else. What lies at PATH and is
// not a socket is refused and left alone. A lock on PATH.lock is held while the
// listener lives: so a socket that a killed server left behind is taken over,
// and that of a live one is not (ErrListening).
//
// The listener of a Unix socket embeds *net.UnixListener. Its Close removes
// socket and lock file, unless another file has taken the socket's place.
// Errors are about the address, ErrListening, ErrUnsafePath or those of the
// system.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	network, rest, ok := strings.Cut(addr, ":")
	if !ok || rest == "" {
		return nil, fmt.Errorf("%w %q: want unix:PATH or net:HOST:PORT", errAddress, addr)
	}
	switch network {
	case "unix":
		return listenUnix(ctx, rest)
	case "net", "tcp":
		hostport, err := withPort(rest)
		if err != nil {
			return nil, err
		}
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, family(hostport), hostport)
		if err != nil {
			return nil, fmt.Errorf("listening on net:%s: %w", hostport, err)
		}
		return ln, nil
	}
	return nil, fmt.Errorf("%w %q: want unix:PATH or net:HOST:PORT", errAddress, addr)
}

// family is the network of hostport: who writes an IPv4 address means that, and
// not IPv6 as well, as package net does with 0.0.0.0.
func family(hostport string) string {
	ap, err := netip.ParseAddrPort(hostport)
	switch {
	case err != nil:
		return "tcp"
	case ap.Addr().Unmap().Is4():
		return "tcp4"
	}
	return "tcp6"
}

// CheckListenAddr reports whether Listen would take the form of addr, without
// touching the file system or the network.
func CheckListenAddr(addr string) error {
	network, rest, _ := strings.Cut(addr, ":")
	switch {
	case rest == "":
	case network == "unix":
		_, err := socketPath(rest)
		return err
	case network == "net" || network == "tcp":
		_, err := withPort(rest)
		return err
	}
	return fmt.Errorf("%w %q: want unix:PATH or net:HOST:PORT", errAddress, addr)
}

// withPort completes HOST or HOST:PORT to what package net takes.
func withPort(s string) (string, error) {
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	if ip, err := netip.ParseAddr(bare); err == nil {
		return net.JoinHostPort(ip.String(), strconv.Itoa(defaultPort)), nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil && !strings.ContainsAny(s, "[]") {
		host, port, err = net.SplitHostPort(s + ":" + strconv.Itoa(defaultPort))
	}
	if err != nil {
		return "", fmt.Errorf("%w %q: want net:HOST:PORT", errAddress, "net:"+s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%w %q: the port is a number from 0 to 65535", errAddress, "net:"+s)
	}
	return net.JoinHostPort(host, port), nil
}
