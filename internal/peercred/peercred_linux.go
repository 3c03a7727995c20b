package peercred

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

func peer(conn net.Conn) (uid uint32, pid int32, err error) {
	return recorded(conn)
}

// listener relies on unix(7): listen records the caller's credentials on the
// listening socket itself, for the clients to read.
func listener(ln net.Listener) (uint32, error) {
	uid, _, err := recorded(ln)
	return uid, err
}

// recorded reads SO_PEERCRED.
func recorded(socket any) (uid uint32, pid int32, err error) {
	err = onSocket(socket, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return fmt.Errorf("peercred: reading SO_PEERCRED: %w", err)
		}
		if cred.Uid == ^uint32(0) {
			return ErrNotUnix // nothing recorded: neither connected nor listening
		}
		uid, pid = cred.Uid, cred.Pid
		return nil
	})
	return uid, pid, err
}
