package channel

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// ListenOptions say where a callee listens.
type ListenOptions struct {
	// Dir is where the directory of a Unix socket is made. "" is
	// $XDG_RUNTIME_DIR, and where that is of no use os.TempDir.
	Dir string
	// Host is the IP that a TCP port is opened on; "" is all of this machine's.
	Host string
}

// socketName is the file in a listener's directory, whose name is the random one.
const socketName = "link"

// LinkListener is where one caller is waited for. It is open for at most 15 s
// from Listen, and what it has made in the file system is gone when it is
// closed. All methods are safe for concurrent use.
type LinkListener struct {
	attempt Attempt
	prep    *shs.Prepared
	sockets []socket
	dir     string // of the Unix socket, ours; "" without one

	accepting atomic.Bool // Accept was called
	timer     atomic.Pointer[time.Timer]
	shutting  sync.Once
	done      chan struct{} // closed by shut
	cause     error         // set before done is closed
}

// socket is one place of a listener.
type socket struct {
	net.Listener
	kind Kind
}

// Listen opens what a caller can dial: a Unix socket with mode 0600 in a fresh
// directory with mode 0700, a TCP port, or both. Other kinds are passed over. A
// kind that cannot be listened for is left out, for instance because the disk is
// full or the path too long; if none is left that is the error. The caller of
// Listen must call Accept or Close, else the listener closes itself after 15 s.
func (a *Attempt) Listen(kinds []Kind, o ListenOptions) (*LinkListener, error) {
	return a.listen(kinds, o, linkLife)
}

func (a *Attempt) listen(kinds []Kind, o ListenOptions, life time.Duration) (*LinkListener, error) {
	if err := a.check(false); err != nil {
		return nil, failed("listening for a link", err)
	}
	l := &LinkListener{attempt: *a, done: make(chan struct{})}
	var errs []error
	for _, open := range []struct {
		kind Kind
		open func(ListenOptions) (net.Listener, error)
	}{{Unix, l.openUnix}, {Net, openNet}} {
		if !slices.Contains(kinds, open.kind) {
			continue
		}
		if ln, err := open.open(o); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", open.kind, err))
		} else {
			l.sockets = append(l.sockets, socket{ln, open.kind})
		}
	}
	if len(l.sockets) == 0 {
		if len(errs) == 0 {
			errs = append(errs, errKind)
		}
		return nil, failed("listening for a link", errors.Join(errs...))
	}
	l.prep = shs.Prepare(a.Key)
	l.timer.Store(time.AfterFunc(life, func() { l.shut(os.ErrDeadlineExceeded) }))
	return l, nil
}

// openUnix makes the directory, and the socket in it.
func (l *LinkListener) openUnix(o ListenOptions) (net.Listener, error) {
	parents := []string{o.Dir}
	if o.Dir == "" {
		parents = []string{os.TempDir()}
		if run := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) {
			parents = []string{run, os.TempDir()}
		}
	}
	var errs []error
	for _, parent := range parents {
		ln, dir, err := openIn(parent)
		if err == nil {
			l.dir = dir
			return ln, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// openIn makes the directory in parent. After an error nothing is left of it.
func openIn(parent string) (net.Listener, string, error) {
	parent, err := filepath.Abs(parent)
	if err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp(parent, "sb-*")
	if err != nil {
		return nil, "", err
	}
	ln, err := openSocket(dir)
	if err != nil {
		os.Remove(dir)
		return nil, "", err
	}
	return ln, dir, nil
}

// openSocket makes the socket in its directory.
func openSocket(dir string) (net.Listener, error) {
	path := filepath.Join(dir, socketName)
	if err := checkPath(path); err != nil {
		return nil, err
	}
	// What the caller will look at: a strange umask or file system shows here.
	if err := checkDir(dir, uint32(os.Geteuid())); err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close() // removes the socket
		return nil, err
	}
	return ln, nil
}

// openNet opens a port that the kernel picks.
func openNet(o ListenOptions) (net.Listener, error) {
	if _, err := netip.ParseAddr(o.Host); err != nil && o.Host != "" {
		return nil, fmt.Errorf("%w: want an IP to listen on", errAddr)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(o.Host, "0"))
	if err != nil {
		return nil, err
	}
	if port := portOf(ln); port < minLinkPort {
		ln.Close()
		return nil, fmt.Errorf("%w: the kernel gave port %s", errAddr, strconv.Itoa(port))
	}
	return ln, nil
}

func portOf(ln net.Listener) int { return ln.Addr().(*net.TCPAddr).Port }

// Unix returns the path of the socket, or "" if there is none.
func (l *LinkListener) Unix() string {
	if l.dir == "" {
		return ""
	}
	return filepath.Join(l.dir, socketName)
}

// Port returns the TCP port, or 0 if there is none.
func (l *LinkListener) Port() int {
	for _, s := range l.sockets {
		if s.kind == Net {
			return portOf(s)
		}
	}
	return 0
}

// Close closes the listener and removes its files, unless that was done before;
// they are gone when it returns. An Accept in progress returns net.ErrClosed,
// unless a link is registered already: then it returns that.
func (l *LinkListener) Close() error { return l.shut(net.ErrClosed) }

// shut closes the listener, once; the first cause is what Accept returns.
func (l *LinkListener) shut(cause error) (err error) {
	l.shutting.Do(func() {
		if t := l.timer.Load(); t != nil { // else it has fired at once
			t.Stop()
		}
		var errs []error
		for _, s := range l.sockets {
			errs = append(errs, s.Close()) // removes the socket's file, too
		}
		if l.dir != "" {
			if err := os.Remove(l.dir); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		l.cause = cause
		close(l.done)
		err = errors.Join(errs...)
	})
	return err
}
