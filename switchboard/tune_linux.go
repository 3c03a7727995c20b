package switchboard

import (
	"net"

	"golang.org/x/sys/unix"
)

// limitUnacked makes the kernel end a connection whose bytes are not acknowledged
// for unackedTime.
func limitUnacked(conn *net.TCPConn) {
	rc, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedTime.Milliseconds()))
	})
}
