package scripttest

import "syscall"

// dup2 is dup2(2), which not every Linux has under this name.
func dup2(from, to int) error { return syscall.Dup3(from, to, 0) }
