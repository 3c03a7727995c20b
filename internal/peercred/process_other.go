//go:build !linux

package peercred

import "net"

func processOf(_ net.Conn, pid int32) Process { return Process{PID: pid} }

func startOf(int32) (ticks uint64, ok bool) { return 0, true }
