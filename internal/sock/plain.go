//go:build darwin || openbsd || (linux && !(amd64 || arm64 || loong64 || riscv64))

package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Read is read(2).
func (Calls) Read(fd uintptr, p []byte) (int, error) { return syscall.Read(int(fd), p) }

// Write is write(2).
func (Calls) Write(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }

// Readv is readv(2) into a and then b.
func (Calls) Readv(fd uintptr, a, b []byte) (int, error) {
	return unix.Readv(int(fd), [][]byte{a, b})
}

// Writev is writev(2) of a and then b.
func (Calls) Writev(fd uintptr, a, b []byte) (int, error) {
	return unix.Writev(int(fd), [][]byte{a, b})
}
