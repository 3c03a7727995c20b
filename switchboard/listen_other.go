//go:build unix && !linux

package switchboard

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// bindPrivate makes a socket at path that nobody else can connect to at any
// instant: it is bound in a fresh directory with mode 0700, made 0600 there, and
// renamed into place. (The umask would do as well, but it belongs to the whole
// process.) The listener's Addr is the name it was bound by.
func bindPrivate(ctx context.Context, path string) (_ *net.UnixListener, err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	temp := filepath.Join(dir, "s")
	if len(temp) > maxSocketPath {
		return nil, syscall.ENAMETOOLONG
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", temp)
	if err != nil {
		return nil, err
	}
	ln := l.(*net.UnixListener)
	ln.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temp, 0o600), os.Rename(temp, path)); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}
