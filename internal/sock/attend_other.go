//go:build !linux && !darwin

package sock

import (
	"net"
	"time"
)

// Attend leaves a dead peer to the keep-alive.
func Attend(*net.TCPConn, time.Duration, func(time.Duration, func())) {}
