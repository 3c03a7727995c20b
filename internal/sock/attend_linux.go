package sock

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Attend ends a TCP connection whose other end is silent for timeout though it
// should answer: bytes are not acknowledged, or questions after a closed window. It
// takes up to half as long again. One that answers and does not read may take its
// time, for which TCP_USER_TIMEOUT has no patience: it counts from when the window
// was first closed, also after one that opened again a little. Readers see the end
// of the stream, writers EPIPE. Before Linux 6.15 the questions of a window that has been
// closed for long are up to two minutes apart, and three of them have to be without
// an answer. It costs a system call each fifth of timeout, until conn is closed: later
// calls a function, which does not wait, when a time has passed.
func Attend(conn *net.TCPConn, timeout time.Duration, later func(time.Duration, func())) {
	rc, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) { // an option that is refused changes nothing
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 0)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(max(timeout/4, time.Second).Milliseconds()))
	})
	w := &watch{rc: rc, timeout: timeout, later: later}
	w.look()
}

// maxProbes are the questions after a closed window that may be without an answer.
const maxProbes = 2

// watch is one connection that is attended.
type watch struct {
	rc      syscall.RawConn
	timeout time.Duration
	later   func(time.Duration, func())
	silent  time.Time // since then we wait for an answer; zero: we do not
}

func (w *watch) look() {
	over := false
	err := w.rc.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if over = err == nil && w.dead(time.Now(), info); over {
			_ = unix.Shutdown(int(fd), unix.SHUT_RDWR)
		}
	})
	if err == nil && !over { // else it was closed
		w.later(w.timeout/5, w.look)
	}
}

// dead notes how a connection is now, and reports whether that has been so for too
// long.
func (w *watch) dead(now time.Time, info *unix.TCPInfo) bool {
	if info.Unacked == 0 && info.Probes == 0 {
		w.silent = time.Time{}
		return false
	}
	heard := now.Add(-time.Duration(info.Last_ack_recv) * time.Millisecond)
	if w.silent.IsZero() {
		w.silent = now
	} else if heard.After(w.silent) {
		w.silent = heard
	}
	return now.Sub(w.silent) >= w.timeout && (info.Unacked > 0 || info.Probes > maxProbes)
}
