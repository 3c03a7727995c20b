//go:build unix && !linux

package paths

import "golang.org/x/sys/unix"

// openDir opens a directory; it must be readable.
const openDir = unix.O_RDONLY
