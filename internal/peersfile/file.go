//go:build unix

package peersfile

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cad2f06c/switchboard/internal/policy"
)

const (
	newMode  = 0o600
	lockStep = 10 * time.Millisecond
)

// Read returns what a file holds, if nobody else can have written it: a regular
// file, of the caller or root, writable by no other, and not a symbolic link; else
// it is ErrUnsafe. What is looked at is the open file.
func Read(path string) ([]byte, error) {
	text, _, err := open(path)
	return text, err
}

// readIf is read, and nothing of a file that is missing.
func readIf(path string) ([]byte, fs.FileInfo, error) {
	text, fi, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	return text, fi, err
}

func open(path string) ([]byte, fs.FileInfo, error) {
	// Without O_NONBLOCK the open of a named pipe waits for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK) {
		return nil, nil, fmt.Errorf("%w %s: it is a symbolic link; name the file itself", ErrUnsafe, path)
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if err := check(path, fi); err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: it is larger than %d bytes", path, maxFile)
	}
	return text, fi, err
}

// check refuses a file that somebody else may have written.
func check(path string, fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%w %s: it is not a regular file", ErrUnsafe, path)
	case !ok || st.Uid != 0 && int64(st.Uid) != int64(os.Geteuid()):
		return fmt.Errorf("%w %s: it belongs to another user; it must belong to you or root", ErrUnsafe, path)
	case fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%w %s: others may write to it (mode %04o); chmod go-w it", ErrUnsafe, path, fi.Mode().Perm())
	}
	return nil
}

// change replaces what a file holds, if do changes it. A missing file is made.
func change(path string, do func(text []byte) ([]byte, error)) error {
	old, fi, err := readIf(path)
	if err != nil {
		return err
	}
	text, err := do(bytes.Clone(old))
	if err != nil {
		return err
	}
	if fi != nil && bytes.Equal(text, old) {
		return nil
	}
	if len(text) > maxFile {
		return fmt.Errorf("%s: it would be larger than %d bytes", path, maxFile)
	}
	return save(path, text, fi)
}

// save puts a file in the place of another, of which fi is the mode and owner; nil
// if there is none.
func save(path string, text []byte, fi fs.FileInfo) (err error) {
	dir := filepath.Dir(path)
	temp := filepath.Join(dir, tempPrefix(path)+rand.Text())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, newMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	_, err = f.Write(text)
	if err == nil && fi != nil {
		err = inherit(f, fi)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(dir)
}

// inherit gives f the owner and the mode of another file.
func inherit(f *os.File, fi fs.FileInfo) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	now, ok2 := mine.Sys().(*syscall.Stat_t)
	if ok && ok2 && (st.Uid != now.Uid || st.Gid != now.Gid) {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(fi.Mode().Perm())
}

func tempPrefix(path string) string { return "." + filepath.Base(path) + ".new-" }

// syncDir brings the names in a directory to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// locked runs do while nobody else changes the files. What a process has left that
// ended in the middle of a change goes first.
func (f Files) locked(ctx context.Context, do func() error) error {
	dir, err := os.Open(filepath.Dir(f.Peers))
	if err != nil {
		return err
	}
	defer dir.Close() // and with it the lock
	if err := lock(ctx, dir); err != nil {
		return err
	}
	if err := f.sweep(); err != nil {
		return err
	}
	return do()
}

func lock(ctx context.Context, dir *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	tick := time.NewTicker(lockStep)
	defer tick.Stop()
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return &fs.PathError{Op: "flock", Path: dir.Name(), Err: err}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", dir.Name(), ErrBusy)
		}
	}
}

// sweep removes files that were not finished.
func (f Files) sweep() error {
	dir := filepath.Dir(f.Peers)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		for _, path := range []string{f.Peers, f.Revoked, f.Invites} {
			if strings.HasPrefix(e.Name(), tempPrefix(path)) {
				if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// dropExpired takes the invites out of a text that have expired.
func dropExpired(text []byte, now time.Time) ([]byte, error) {
	all, err := policy.ParseInvites(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var over []policy.Change
	for _, p := range all {
		if !good(p, now) {
			over = append(over, policy.Change{Action: policy.Remove, Key: p.Key})
		}
	}
	return policy.EditInvites(text, over...)
}
