//go:build linux && (amd64 || arm64 || loong64 || riscv64)

package sock

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read is read(2).
func (quiet Calls) Read(fd uintptr, p []byte) (int, error) {
	if !quiet {
		return syscall.Read(int(fd), p)
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return result(n, errno)
}

// Write is write(2).
func (quiet Calls) Write(fd uintptr, p []byte) (int, error) {
	if !quiet {
		return syscall.Write(int(fd), p)
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return result(n, errno)
}

// Readv is readv(2) into a and then b.
func (quiet Calls) Readv(fd uintptr, a, b []byte) (int, error) {
	if !quiet {
		return unix.Readv(int(fd), [][]byte{a, b})
	}
	v := vector(a, b)
	n, _, errno := syscall.RawSyscall(syscall.SYS_READV, fd, uintptr(unsafe.Pointer(&v)), uintptr(len(v)))
	return result(n, errno)
}

// Writev is writev(2) of a and then b.
func (quiet Calls) Writev(fd uintptr, a, b []byte) (int, error) {
	if !quiet {
		return unix.Writev(int(fd), [][]byte{a, b})
	}
	v := vector(a, b)
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&v)), uintptr(len(v)))
	return result(n, errno)
}

// Recvmsg is recvmsg(2) into p, of one control message into control, whose
// descriptors are closed on exec. It returns how much of both was filled.
func (quiet Calls) Recvmsg(fd uintptr, p, control []byte) (n, filled, flags int, err error) {
	if !quiet {
		n, filled, flags, _, err = unix.Recvmsg(int(fd), p, control, unix.MSG_CMSG_CLOEXEC)
		return n, filled, flags, err
	}
	v := syscall.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
	m := syscall.Msghdr{Iov: &v, Iovlen: 1, Control: unsafe.SliceData(control), Controllen: uint64(len(control))}
	r, _, errno := syscall.RawSyscall(syscall.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&m)), unix.MSG_CMSG_CLOEXEC)
	n, err = result(r, errno)
	return n, int(m.Controllen), int(m.Flags), err
}

func vector(a, b []byte) [2]syscall.Iovec {
	return [2]syscall.Iovec{
		{Base: unsafe.SliceData(a), Len: uint64(len(a))},
		{Base: unsafe.SliceData(b), Len: uint64(len(b))},
	}
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
