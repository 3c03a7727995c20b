//go:build !linux

package switchboard

import "net"

// limitUnacked leaves it to the keep-alive.
func limitUnacked(*net.TCPConn) {}
