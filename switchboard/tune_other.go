//go:build !linux

package switchboard

import (
	"net"
	"time"
)

// tune makes the kernel notice a peer that is gone without a word: probes
// after 15 s of silence (PROTOCOL.md §8).
func tune(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		// A connection that refuses the option still works; yamux has its own pings.
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3})
	}
}
