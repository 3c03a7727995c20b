//go:build linux || darwin

package peercred

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// onSocket runs read with the descriptor of a Unix socket.
//
// TCP sockets must be told apart first: asked for the peer's credentials, Linux
// answers uid 2³²−1 without an error. Package net's own types tell; what wraps
// them is asked for its address.
func onSocket(socket any, read func(fd int) error) error {
	sc, ok := socket.(syscall.Conn)
	if !ok {
		return ErrNotUnix
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("peercred: %w", err)
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		if inner = checkUnix(socket, int(fd)); inner == nil {
			inner = read(int(fd))
		}
	})
	if err != nil {
		return fmt.Errorf("peercred: %w", err)
	}
	return inner
}

// checkUnix says whether a socket is a Unix socket.
func checkUnix(socket any, fd int) error {
	switch socket.(type) {
	case *net.UnixConn, *net.UnixListener:
		return nil
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("peercred: reading the socket's address: %w", err)
	}
	if _, ok := local.(*unix.SockaddrUnix); !ok {
		return ErrNotUnix
	}
	return nil
}
