package switchboard

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// bindPrivate makes a socket at path that nobody else can connect to at any
// instant. On Linux bind gives the file the mode of the unbound socket, less
// the umask, so fchmod comes first: no umask is changed, which would touch every
// thread, and no rename leaves another name in the socket's address.
func bindPrivate(ctx context.Context, path string) (*net.UnixListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmodErr error
		err := c.Control(func(fd uintptr) { chmodErr = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, chmodErr)
	}}
	ln, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return ln.(*net.UnixListener), nil
}
