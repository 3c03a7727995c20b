//go:build unix

package switchboard

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// maxActivated bounds the descriptors that systemd may pass.
const maxActivated = 64

// Activated returns the listeners that systemd passed to this process (socket
// activation: LISTEN_PID, LISTEN_FDS, descriptors from 3 on; see sd_listen_fds(3)),
// Unix and TCP. Without any it returns none and no error. The descriptors are
// made close-on-exec and the variables are removed from the environment, so that
// no child takes them for its own; call it once, before starting any. The
// listeners belong to the caller; closing one leaves its socket file in place,
// which is systemd's.
func Activated() ([]net.Listener, error) { return activated(os.Getpid(), 3) }

// activated is Activated for a process id and a first descriptor.
func activated(pid, first int) ([]net.Listener, error) {
	wantPID, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	if wantPID == "" || count == "" {
		return nil, nil
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	if wantPID != strconv.Itoa(pid) {
		return nil, nil // meant for a parent of ours
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxActivated {
		return nil, fmt.Errorf("socket activation: LISTEN_FDS is %q, want a number up to %d", count, maxActivated)
	}
	var lns []net.Listener
	var errs []error
	for fd := first; fd < first+n; fd++ {
		// Asked first: a descriptor that nobody passed may be the runtime's own.
		if on, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err != nil || on == 0 {
			errs = append(errs, fmt.Errorf("socket activation: descriptor %d is no listening socket", fd))
			continue
		}
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "LISTEN_FD_"+strconv.Itoa(fd))
		ln, err := net.FileListener(f) // a duplicate, close-on-exec too
		if err != nil {
			errs = append(errs, fmt.Errorf("socket activation: descriptor %d: %w", fd, err))
		} else {
			lns = append(lns, ln)
		}
		errs = append(errs, f.Close())
	}
	if err := errors.Join(errs...); err != nil {
		for _, ln := range lns {
			err = errors.Join(err, ln.Close())
		}
		return nil, err
	}
	return lns, nil
}
