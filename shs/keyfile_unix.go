//go:build unix

package shs

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openKeyFile opens a file for reading, neither through a symbolic link nor
// waiting for the writer of a pipe.
func openKeyFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// checkKeyFileOwner refuses a file that another user owns or that has a second
// name, through which it may be known or changed.
func checkKeyFileOwner(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: %s: its owner cannot be known", ErrKeyFile, path)
	}
	if euid := os.Geteuid(); int(st.Uid) != euid {
		return fmt.Errorf("%w: %s belongs to user %d, not to user %d: run as its owner, or make a key of your own",
			ErrKeyFile, path, st.Uid, euid)
	}
	links := uint64(st.Nlink) //nolint:unconvert // 16 bits wide on darwin
	if links > 1 && !(links == 2 && (isNewKey(path, info) || isAlone(path, info))) {
		return fmt.Errorf("%w: %s has %d hard links: remove the other names (find -samefile), or make a new key",
			ErrKeyFile, path, links)
	}
	return nil
}

// isAlone says whether the file has lost its second name meanwhile: CreateKey was
// about to remove it.
func isAlone(path string, info fs.FileInfo) bool {
	now, err := os.Lstat(path)
	if err != nil || !os.SameFile(info, now) {
		return false
	}
	st, ok := now.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 1
}
