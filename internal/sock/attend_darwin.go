package sock

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Attend ends a TCP connection whose bytes are not acknowledged for timeout. One
// whose other end answers and does not read may take its time.
func Attend(conn *net.TCPConn, timeout time.Duration, _ func(time.Duration, func())) {
	if rc, err := conn.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) { // an option that is refused changes nothing
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RXT_CONNDROPTIME, int(timeout.Seconds()))
		})
	}
}
