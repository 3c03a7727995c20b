package peercred

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func processOf(conn net.Conn, pid int32) Process {
	p := Process{PID: pid}
	err := onSocket(conn, func(fd int) error {
		pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		if errors.Is(err, unix.ENOPROTOOPT) { // an older kernel: it is the same process, most likely
			p.Started, _ = startOf(pid)
			return nil
		}
		if err != nil {
			return err
		}
		defer unix.Close(pidfd)
		started, ok := startOf(pid)
		switch {
		case hasEnded(pidfd), started > 0 && !ok:
			p.ended = true
		case ok: // the number was its own when it was looked at
			p.Started = started
		}
		return nil
	})
	p.ended = p.ended || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) // reaped already
	return p
}

// hasEnded reports whether the process of a pidfd has.
func hasEnded(pidfd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// startOf returns when the process that has a number now was started; not ok: there is
// none that /proc shows, or only what is left of one until its parent takes it, and
// then with its start.
func startOf(pid int32) (ticks uint64, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/stat")
	if err != nil {
		return 0, !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH)
	}
	// "1234 (any text) S 1 …": the state is the third field, the start the 22nd.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return 0, true
	}
	ticks, _ = strconv.ParseUint(string(fields[19]), 10, 64) // else 0
	return ticks, fields[0][0] != 'Z' && fields[0][0] != 'X'
}
