package switchboard

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// tune makes the kernel notice a peer that is gone without a word: probes
// after 15 s of silence, and at most 30 s for bytes that are not acknowledged
// (PROTOCOL.md §8).
func tune(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	// A connection that refuses an option still works; yamux has its own pings.
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3})
	rc, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 30_000)
	})
}
