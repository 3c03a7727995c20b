//go:build unix

package switchboard

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// pathLock is an exclusive lock on a file, for as long as the process lives or
// until release. The kernel drops it with the process, however that ends.
type pathLock struct {
	path string
	file *os.File
}

// lockPath takes the lock without waiting. If somebody else has it, the error
// is ErrListening and the result serves only to ask for the holder.
func lockPath(path string) (*pathLock, error) {
	for {
		// No link is followed: what lies there must be the lock file itself.
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
		if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENXIO) {
			return nil, fmt.Errorf("%w %s: the lock file must be a regular file", ErrUnsafePath, path)
		}
		if err != nil {
			return nil, fmt.Errorf("opening the lock file: %w", err)
		}
		l := &pathLock{path: path, file: f}
		current, err := l.take()
		if err == nil && current {
			return l, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return l, err
		}
		// The holder before removed the file between our open and our lock.
	}
}

// take locks the open file and says whether it is still the one at the path.
func (l *pathLock) take() (current bool, err error) {
	fi, err := l.file.Stat()
	if err != nil {
		return false, err
	}
	if !fi.Mode().IsRegular() {
		return false, fmt.Errorf("%w %s: the lock file is %s", ErrUnsafePath, l.path, kind(fi))
	}
	if err := l.flock(syscall.LOCK_EX | syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, ErrListening
		}
		return false, fmt.Errorf("locking %s: %w", l.path, err)
	}
	if now, err := os.Lstat(l.path); err != nil || !os.SameFile(now, fi) {
		return false, nil
	}
	// The process id is for the message of the one who comes second, no more.
	if err := l.file.Truncate(0); err != nil {
		return false, fmt.Errorf("writing the lock file: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return false, fmt.Errorf("writing the lock file: %w", err)
	}
	return true, nil
}

// flock is flock(2), again when a signal comes between.
func (l *pathLock) flock(how int) error {
	for {
		err := syscall.Flock(int(l.file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// holder is " (pid N)" if the file tells it, else "".
func (l *pathLock) holder() string {
	f, err := os.OpenFile(l.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err := errors.Join(err, f.Close()); err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// release removes the file, then drops the lock: whoever has opened the removed
// file meanwhile sees so and starts again.
func (l *pathLock) release() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.file.Close())
}
