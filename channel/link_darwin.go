package channel

import "golang.org/x/sys/unix"

// setUserTimeout ends a connection whose bytes are not acknowledged.
func setUserTimeout(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RXT_CONNDROPTIME, int(userTimeout.Seconds()))
}
