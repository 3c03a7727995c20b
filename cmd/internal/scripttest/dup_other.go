//go:build unix && !linux

package scripttest

import "syscall"

// dup2 is dup2(2).
func dup2(from, to int) error { return syscall.Dup2(from, to) }
