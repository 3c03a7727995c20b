//go:build darwin || linux

package shs

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cad2f06c/switchboard/internal/sock"
)

// passesFiles says whether this system has recvFile and sendFile.
const passesFiles = true

// controlSize is room for the control message of one descriptor, or of two
// where that takes no more.
const controlSize = 24

// recvFile is one recvmsg(2) that does not wait, and the file that came with the
// bytes, if one did. control is where its control message goes. again: nothing
// is there.
func recvFile(calls sock.Calls, fd uintptr, p, control []byte) (n int, f *os.File, again bool, err error) {
	for {
		n, fds, flags, err := recvRights(calls, fd, p, control)
		if len(fds) == 1 && err == nil && flags&unix.MSG_CTRUNC == 0 {
			return n, os.NewFile(uintptr(fds[0]), "passed"), false, nil
		}
		for _, other := range fds {
			unix.Close(other)
		}
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, nil, true, nil
		case err != nil:
			return 0, nil, false, os.NewSyscallError("recvmsg", err)
		case flags&unix.MSG_CTRUNC != 0:
			return 0, nil, false, fmt.Errorf("%w: more files than there is room for", ErrProtocol)
		case len(fds) > 0:
			return 0, nil, false, fmt.Errorf("%w: %d files at once", ErrProtocol, len(fds))
		case n == 0 && len(p) > 0:
			return 0, nil, false, io.EOF
		default:
			return n, nil, false, nil
		}
	}
}

// rights are the descriptors of control messages.
func rights(control []byte) (fds []int) {
	if len(control) == 0 {
		return nil
	}
	msgs, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil // of the kernel: it is well formed
	}
	for i := range msgs {
		if some, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			fds = append(fds, some...)
		}
	}
	return fds
}

// sendFile is one sendmsg(2) of p and a descriptor that does not wait. again:
// the kernel takes nothing now.
func sendFile(fd, file uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err := unix.SendmsgN(int(fd), p, unix.UnixRights(int(file)), nil, 0)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, true, nil
		case err != nil:
			return 0, false, os.NewSyscallError("sendmsg", err)
		default:
			return n, false, nil
		}
	}
}
