package shs

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cad2f06c/switchboard/internal/sock"
)

// recvRights is recvmsg(2). The descriptors are the caller's, whatever the error.
// No fork comes between their arrival and their mark.
func recvRights(_ sock.Calls, fd uintptr, p, control []byte) (n int, fds []int, flags int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, size, flags, _, err := unix.Recvmsg(int(fd), p, control, 0)
	if err != nil {
		return 0, nil, 0, err
	}
	fds = rights(control[:size])
	for _, f := range fds {
		unix.CloseOnExec(f)
	}
	return n, fds, flags, nil
}
