package shs

import "golang.org/x/sys/unix"

// recvRights is recvmsg(2). The descriptors are the caller's, whatever the error.
func recvRights(fd int, p, control []byte) (n int, fds []int, flags int, err error) {
	n, size, flags, _, err := unix.Recvmsg(fd, p, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, nil, 0, err
	}
	return n, rights(control[:size]), flags, nil
}
