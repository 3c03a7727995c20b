//go:build unix

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// Bounds of waiting for the lock of a pins file, which its writers hold for one
// line each.
const (
	pinsPatience = 5 * time.Second
	pinsPause    = 2 * time.Millisecond
	pinsTries    = 8 // to lock the file that is there, and not one that was
)

// errPinsLocked: anybody who can read the file can keep its lock.
var errPinsLocked = fmt.Errorf("it has been locked by others for %v", pinsPatience)

// readPins returns the text of a pins file, nothing if there is none. With wait
// nobody adds a line meanwhile; without, the last one may be there in part.
func readPins(ctx context.Context, path string, wait bool) ([]byte, error) {
	f, err := openPins(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // and with it the lock
	if wait {
		if err := lockPins(ctx, f, syscall.LOCK_SH); err != nil {
			return nil, err
		}
	}
	return textOfPins(f)
}

// addPin adds a line to a pins file, which it makes if there is none, and brings
// it to the disk. want is asked before, with the text of the file under the
// lock, whether to.
func addPin(ctx context.Context, path, name string, key shs.PublicKey, want func(text []byte) (bool, error)) (added bool, err error) {
	f, err := openLocked(ctx, path)
	if err != nil {
		return false, err
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			added, err = false, cerr
		}
	}()
	text, err := textOfPins(f)
	if err != nil {
		return false, err
	}
	if ok, err := want(text); err != nil || !ok {
		return false, err
	}
	line := fmt.Sprintf("%s  # first use %s\n", pinLine(name, key), time.Now().UTC().Format(time.DateOnly))
	if n := len(text); n > 0 && text[n-1] != '\n' {
		line = "\n" + line
	}
	if len(text)+len(line) > maxPins {
		return false, fmt.Errorf("it is full: it holds at most %d bytes", maxPins)
	}
	if _, err := f.WriteString(line); err != nil { // a full disk: all of the line, or nothing
		return false, errors.Join(err, f.Truncate(int64(len(text))))
	}
	err = f.Sync()
	if err == nil && len(text) == 0 {
		err = syncDir(filepath.Dir(path))
	}
	return err == nil, err
}

// openLocked opens a pins file for adding to it, alone.
func openLocked(ctx context.Context, path string) (*os.File, error) {
	for range pinsTries {
		f, err := openPins(path, os.O_RDWR|os.O_APPEND|os.O_CREATE)
		if err != nil {
			return nil, err
		}
		if err := lockPins(ctx, f, syscall.LOCK_EX); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		// An editor may have put another file in its place meanwhile.
		here, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if now, err := os.Lstat(path); err == nil && os.SameFile(here, now) {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("it is replaced again and again")
}

// openPins opens a pins file if nobody but the caller and root can have written
// or removed it.
func openPins(path string, flag int) (*os.File, error) {
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := checkPins(filepath.Dir(path), dir); err != nil {
		return nil, err
	}
	// Neither through a symbolic link nor waiting for the other end of a pipe.
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.EMLINK) {
		return nil, fmt.Errorf("%s is %w: it must be a regular file, name that", path, errPinsFile)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is %w: it must be a regular file, name that", path, errPinsFile)
	}
	if err == nil {
		err = checkPins(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkPins refuses what anybody but the caller and root could change. Whoever
// may write to a directory may remove the file, and then any key would be a first
// one; in a sticky one only its owner may.
func checkPins(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
	switch euid := os.Geteuid(); {
	case !ok || st.Uid != 0 && int64(st.Uid) != int64(euid):
		return fmt.Errorf("%s is %w: it must belong to you (%d) or root", path, errPinsFile, euid)
	case info.Mode().Perm()&0o022 != 0 && !sticky:
		return fmt.Errorf("%s is %w: others may write to it (mode %04o): chmod go-w it", path, errPinsFile, info.Mode().Perm())
	}
	return nil
}

// lockPins waits for flock(2), which ends with the file.
func lockPins(ctx context.Context, f *os.File, how int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pinsPatience, errPinsLocked)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return err
		case !sleep(ctx, pinsPause):
			return context.Cause(ctx)
		}
	}
}

// textOfPins reads the open file.
func textOfPins(f *os.File) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, maxPins+1))
	if err == nil && len(text) > maxPins {
		err = fmt.Errorf("it has more than %d bytes: it is something else, name the right file", maxPins)
	}
	return text, err
}

// syncDir brings the names in a directory to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
