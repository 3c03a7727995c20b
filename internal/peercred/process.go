package peercred

import "net"

// Process is a process of this machine, not the number alone: that is another's when
// the process has ended. The zero Process is unknown. Values are immutable.
//
// It is told by its start. A pidfd would tell it as well, and take a descriptor for as
// long as it is to be known.
type Process struct {
	PID     int32  // 0: unknown
	Started uint64 // clock ticks from the start of the machine; 0: unknown
	ended   bool   // it had when it was looked at first
}

// ProcessOf returns the process that has connected a Unix connection, if pid, which
// UID has said, still is that one; a pidfd of the kernel's sees to that, where there is
// SO_PEERPIDFD (Linux 6.5). Without /proc, and on other systems, only the number is known.
func ProcessOf(conn net.Conn, pid int32) Process {
	if pid <= 0 {
		return Process{}
	}
	return processOf(conn, pid)
}

// Gone reports whether the process is known to have ended, whoever has its number now.
func (p Process) Gone() bool {
	if p.ended || p.Started == 0 {
		return p.ended
	}
	now, ok := startOf(p.PID)
	return !ok || now != p.Started
}
