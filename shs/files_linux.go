package shs

import "github.com/cad2f06c/switchboard/internal/sock"

// recvRights is recvmsg(2). The descriptors are the caller's, whatever the error.
func recvRights(calls sock.Calls, fd uintptr, p, control []byte) (n int, fds []int, flags int, err error) {
	n, size, flags, err := calls.Recvmsg(fd, p, control)
	if err != nil {
		return 0, nil, 0, err
	}
	return n, rights(control[:size]), flags, nil
}
