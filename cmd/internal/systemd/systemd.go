// Package systemd tells a service manager how its service is: the datagrams of
// sd_notify(3) and the watchdog of sd_watchdog_enabled(3).
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sendTimeout bounds a datagram: a manager that does not read must not hold up
// the service.
const sendTimeout = time.Second

// Notifier tells the service manager that has started this process. A nil
// Notifier has nobody to tell, and does nothing. Safe for concurrent use.
type Notifier struct {
	addr     net.UnixAddr
	watchdog time.Duration
}

// FromEnv reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and removes them
// from the environment, so that no child takes them for its own. Without a socket
// it returns nil and no error.
func FromEnv() (*Notifier, error) {
	env := make(map[string]string)
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		env[name] = os.Getenv(name)
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	return read(env, os.Getpid())
}

func read(env map[string]string, pid int) (*Notifier, error) {
	socket := env["NOTIFY_SOCKET"]
	if socket == "" {
		return nil, nil
	}
	if socket[0] != '/' && socket[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET is %.64q, want a path or an abstract socket", socket)
	}
	n := &Notifier{addr: net.UnixAddr{Net: "unixgram", Name: socket}}
	usec := env["WATCHDOG_USEC"]
	if usec == "" || env["WATCHDOG_PID"] != "" && env["WATCHDOG_PID"] != strconv.Itoa(pid) {
		return n, nil // no watchdog, or that of another process
	}
	us, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || us <= 0 || us > int64(24*time.Hour/time.Microsecond) {
		return nil, fmt.Errorf("WATCHDOG_USEC is %.64q, want microseconds", usec)
	}
	n.watchdog = time.Duration(us) * time.Microsecond
	return n, nil
}

// Watchdog is how often the manager wants a sign of life at least; 0 is never.
// Give one twice as often.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that the service is up, or up again after Reloading.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", statusLine(status)) }

// Status is a line for people.
func (n *Notifier) Status(status string) error { return n.send(statusLine(status)) }

// Alive is the sign of life.
func (n *Notifier) Alive(status string) error { return n.send("WATCHDOG=1", statusLine(status)) }

// Stopping says that the service is about to end, and may take some time for it.
func (n *Notifier) Stopping(within time.Duration, status string) error {
	return n.send("STOPPING=1", "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(within.Microseconds(), 10), statusLine(status))
}

// Reloading says that the configuration is being read again; Ready ends that.
func (n *Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("reading the clock: %w", err)
	}
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10))
}

// statusLine is a status on one line; an empty one says nothing about it.
func statusLine(status string) string {
	if status == "" {
		return ""
	}
	return "STATUS=" + strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, status)
}

func (n *Notifier) send(lines ...string) error {
	if n == nil {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &n.addr)
	if err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	err = conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	if err == nil {
		lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" })
		_, err = conn.Write([]byte(strings.Join(lines, "\n") + "\n"))
	}
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	return nil
}
