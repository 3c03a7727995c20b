//go:build linux || darwin

package peercred

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// onSocket runs read with the descriptor of a Unix socket.
//
// TCP sockets must be told apart first: asked for the peer's credentials, Linux
// answers uid 2³²−1 without an error.
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
		local, err := unix.Getsockname(int(fd))
		if err != nil {
			inner = fmt.Errorf("peercred: reading the socket's address: %w", err)
			return
		}
		if _, ok := local.(*unix.SockaddrUnix); !ok {
			inner = ErrNotUnix
			return
		}
		inner = read(int(fd))
	})
	if err != nil {
		return fmt.Errorf("peercred: %w", err)
	}
	return inner
}
