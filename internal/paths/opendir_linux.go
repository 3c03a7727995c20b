package paths

import "golang.org/x/sys/unix"

// openDir opens a directory that one may enter but not list.
const openDir = unix.O_PATH
