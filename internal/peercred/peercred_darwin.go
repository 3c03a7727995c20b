package peercred

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// peer reads LOCAL_PEERCRED, and LOCAL_PEERPID for the log.
func peer(conn net.Conn) (uid uint32, pid int32, err error) {
	err = onSocket(conn, func(fd int) error {
		cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if err != nil {
			return fmt.Errorf("peercred: reading LOCAL_PEERCRED: %w", err)
		}
		uid = cred.Uid
		if n, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID); err == nil {
			pid = int32(n)
		}
		return nil
	})
	return uid, pid, err
}

// listener has no record to read: the kernel keeps the credentials of a listening
// socket to itself. See ListenerUID for what follows.
func listener(ln net.Listener) (uint32, error) {
	if err := onSocket(ln, func(int) error { return nil }); err != nil {
		return 0, err
	}
	return uint32(os.Geteuid()), nil
}
