//go:build unix

package channel_test

import "syscall"

// umask sets the process's umask; the function returned sets the old one.
func umask(mask int) (restore func()) {
	old := syscall.Umask(mask)
	return func() { syscall.Umask(old) }
}
