//go:build darwin || linux || openbsd

package shs

import (
	"io"
	"os"
	"syscall"

	"github.com/cad2f06c/switchboard/internal/sock"
)

// rawIO says whether this system has readRaw and writeRaw.
const rawIO = true

// readRaw is one read(2) that does not wait. again: nothing is there.
func readRaw(calls sock.Calls, fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err := calls.Read(fd, p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, true, nil
		case err != nil:
			return 0, false, os.NewSyscallError("read", err)
		case n == 0 && len(p) > 0:
			return 0, false, io.EOF
		default:
			return n, false, nil
		}
	}
}

// readvRaw is one read(2) into a and then b that does not wait. again: nothing is
// there.
func readvRaw(calls sock.Calls, fd uintptr, a, b []byte) (n int, again bool, err error) {
	if len(a) == 0 {
		return readRaw(calls, fd, b)
	}
	for {
		n, err := calls.Readv(fd, a, b)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, true, nil
		case err != nil:
			return 0, false, os.NewSyscallError("readv", err)
		case n == 0:
			return 0, false, io.EOF
		default:
			return n, false, nil
		}
	}
}

// writeRaw is one write(2) of a and then b that does not wait. again: the kernel
// takes nothing now.
func writeRaw(calls sock.Calls, fd uintptr, a, b []byte) (n int, again bool, err error) {
	for {
		if len(a) == 0 {
			a, b = b, nil
		}
		if len(b) == 0 {
			n, err = calls.Write(fd, a)
		} else {
			n, err = calls.Writev(fd, a, b)
		}
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, true, nil
		case err != nil:
			return 0, false, os.NewSyscallError("write", err)
		default:
			return n, false, nil
		}
	}
}
