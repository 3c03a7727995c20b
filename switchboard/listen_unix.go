//go:build unix

package switchboard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// maxSocketPath is what fits in a socket address with the zero byte behind it.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// unixListener owns a socket file and the lock beside it.
type unixListener struct {
	*net.UnixListener
	path  string
	bound fs.FileInfo // the socket as it was made: Close removes only that one
	lock  *pathLock

	once sync.Once
	err  error // of the first Close
}

// Close removes the socket if it is still ours, stops listening and gives the
// lock back. It is idempotent.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		// Before the descriptor goes: while it lives, no new file can get the
		// inode number that tells this socket from others.
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.bound) {
			l.err = os.Remove(l.path)
		}
		l.err = errors.Join(l.UnixListener.Close(), l.err, l.lock.release())
	})
	return l.err
}

// listenUnix is Listen for a path.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	path, err := socketPath(path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of socket %s: %w", path, err)
	}
	if err := checkOwned(dir, fs.ModeDir); err != nil {
		return nil, err
	}
	lock, err := lockPath(path + ".lock")
	if errors.Is(err, ErrListening) {
		return nil, fmt.Errorf("another switchboard listens on %s%s: %w", path, lock.holder(), ErrListening)
	}
	if err != nil {
		return nil, err
	}
	ln, err := bindLocked(ctx, path)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	ln.lock = lock
	return ln, nil
}

// bindLocked makes the socket. The caller holds the lock and has checked the
// directory, so nobody else changes what lies at path meanwhile.
func bindLocked(ctx context.Context, path string) (*unixListener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	ln, err := bindPrivate(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	ln.SetUnlinkOnClose(false) // by name only; Close looks first
	bound, err := os.Lstat(path)
	if err == nil && bound.Mode().Perm() != 0o600 { // a umask that takes the owner's bits
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening on %s: %w", path, err), ln.Close())
	}
	return &unixListener{UnixListener: ln, path: path, bound: bound}, nil
}

// removeStale clears path for a new socket: a socket that nobody listens on is
// removed, anything else that lies there is an error.
func removeStale(ctx context.Context, path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking at the socket: %w", err)
	case fi.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%w %s: there is %s, not a socket; it is left alone", ErrUnsafePath, path, kind(fi))
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("another program listens on %s: %w", path, ErrListening), conn.Close())
	case errors.Is(err, syscall.EAGAIN): // its backlog is full
		return fmt.Errorf("another program listens on %s: %w", path, ErrListening)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("finding out whether anybody listens on %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing a stale socket: %w", err)
	}
	return nil
}

// socketPath makes path absolute, its directory free of symbolic links as far
// as it exists, and checks its form.
func socketPath(path string) (string, error) {
	if slices.Contains(strings.Split(path, "/"), "..") {
		return "", fmt.Errorf("%w: socket path %q holds \"..\"", errAddress, path)
	}
	if path == "" || strings.HasSuffix(path, "/") || path[0] == '@' || strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("%w: %q is not the path of a file (abstract sockets have no owner and are not served)", errAddress, path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("finding socket %q: %w", path, err)
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(dir, filepath.Base(abs))
	}
	if len(abs) > maxSocketPath {
		return "", fmt.Errorf("%w: socket path %s has %d bytes, the system takes at most %d; choose a shorter one", errAddress, abs, len(abs), maxSocketPath)
	}
	return abs, nil
}

// checkOwned refuses what anybody but the caller and root could change: path
// must be of the type want, belong to one of them and be writable by no other.
// A sticky directory such as /tmp is refused too, for in it others may take a
// name first.
func checkOwned(path string, want fs.FileMode) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if fi.Mode().Type() != want {
		return fmt.Errorf("%w %s: it is %s", ErrUnsafePath, path, kind(fi))
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Uid != 0 && int64(st.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("%w %s: it belongs to another user; it must belong to you or root", ErrUnsafePath, path)
	}
	if fi.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%w %s: others may write to it (mode %v); use a place of your own or chmod go-w it", ErrUnsafePath, path, fi.Mode())
	}
	return nil
}

// kind names what fi is, for messages.
func kind(fi fs.FileInfo) string {
	switch t := fi.Mode().Type(); {
	case t == 0:
		return "a regular file"
	case t == fs.ModeDir:
		return "a directory"
	case t == fs.ModeSymlink:
		return "a symbolic link"
	case t == fs.ModeSocket:
		return "a socket"
	}
	return "a special file"
}
