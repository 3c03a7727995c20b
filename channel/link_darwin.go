package channel

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attend ends a connection whose bytes are not acknowledged for that long.
func attend(rc syscall.RawConn, timeout time.Duration) {
	_ = rc.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RXT_CONNDROPTIME, int(timeout.Seconds()))
	})
}
