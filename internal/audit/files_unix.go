//go:build unix

package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

const (
	noFollow = syscall.O_NOFOLLOW | nonBlock
	nonBlock = syscall.O_NONBLOCK // a fifo must not hold us up
)

// asUnsafe tells the error of a symbolic link.
func asUnsafe(path string, err error) error {
	if errors.Is(err, syscall.ELOOP) {
		return fmt.Errorf("%w: %s is a symbolic link", ErrUnsafe, path)
	}
	return err
}

// ours reports whether a file belongs to this process's user.
func ours(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == uint32(os.Geteuid())
}

// lockDir takes the directory until d is closed, also by the end of the process.
func lockDir(d *os.File) error {
	if err := checkDir(d); err != nil {
		return err
	}
	err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s", ErrInUse, d.Name())
	}
	return err
}
