package channel

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attend ends a connection whose bytes are not acknowledged for that long. The
// kernel does so, but it counts the time of a closed window as well, whatever the
// other end answers: so it is told not to while the reader there takes its time.
func attend(rc syscall.RawConn, timeout time.Duration) {
	said := time.Duration(-1)
	var look func()
	look = func() {
		err := rc.Control(func(fd uintptr) {
			limit := timeout
			if windowClosed(int(fd)) {
				limit = 0
			}
			if limit != said {
				said = limit
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
			}
		})
		if err == nil { // else it was closed
			time.AfterFunc(timeout/3, look)
		}
	}
	look()
}

// maxProbes are the questions after a closed window that may be without an answer.
const maxProbes = 2

// windowClosed reports whether bytes wait for the window of the other end alone,
// which lives: all that was sent is acknowledged, and it answers.
func windowClosed(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.Unacked == 0 && info.Notsent_bytes > 0 && info.Probes <= maxProbes
}
