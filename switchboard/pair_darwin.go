package switchboard

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketPair makes two sockets that are connected to each other. No fork comes
// between their birth and their mark.
func socketPair() (pair [2]*os.File, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return pair, os.NewSyscallError("socketpair", err)
	}
	for i, fd := range fds {
		unix.CloseOnExec(fd)
		pair[i] = os.NewFile(uintptr(fd), "link")
	}
	return pair, nil
}
