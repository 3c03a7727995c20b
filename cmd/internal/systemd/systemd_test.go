package systemd

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// manager is a notify socket and what comes there.
func manager(t *testing.T, name string) (addr string, next func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return name, func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

// What is said, word for word, to a socket with a path and to an abstract one.
func TestSays(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "n"), fmt.Sprintf("@switchboard-test-%d", os.Getpid())} {
		addr, next := manager(t, name)
		n, err := read(map[string]string{"NOTIFY_SOCKET": addr}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			err  error
			want string
		}{
			{n.Ready("1 session"), "READY=1\nSTATUS=1 session\n"},
			{n.Ready(""), "READY=1\n"},
			{n.Status("a\nREADY=1"), "STATUS=a READY=1\n"},
			{n.Alive("2 sessions"), "WATCHDOG=1\nSTATUS=2 sessions\n"},
			{n.Stopping(90*time.Second, "bye"), "STOPPING=1\nEXTEND_TIMEOUT_USEC=90000000\nSTATUS=bye\n"},
		} {
			if got := next(); c.err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, c.err, c.want)
			}
		}
		var before, after int64
		for _, usec := range []*int64{&before, &after} {
			err := n.Reloading()
			got := next()
			if _, scan := fmt.Sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%d\n", usec); err != nil || scan != nil || *usec <= 0 {
				t.Errorf("got %q, %v, want the time in microseconds", got, err)
			}
		}
		if after < before || after-before > 1e9 {
			t.Errorf("the clock went from %d to %d", before, after)
		}
	}
}

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		socket, usec, pid string
		want              string // the watchdog's time, none for nobody, or part of the error
	}{
		{"", "1000000", "", "none"},
		{"/run/n", "", "", "0s"},
		{"/run/n", "30000000", "", "30s"},
		{"/run/n", "30000000", "7", "30s"},
		{"/run/n", "30000000", "8", "0s"},
		{"@n", "1", "7", "1µs"},
		{"/run/n", "0", "", "want microseconds"},
		{"/run/n", "-5", "", "want microseconds"},
		{"/run/n", "soon", "", "want microseconds"},
		{"/run/n", "99999999999999", "", "want microseconds"},
		{"vsock:2:1", "", "", "want a path or an abstract socket"},
	} {
		n, err := read(map[string]string{"NOTIFY_SOCKET": c.socket, "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}, 7)
		got := n.Watchdog().String()
		switch {
		case err != nil:
			got = err.Error()
		case n == nil:
			got = "none"
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

// Nobody to tell is no error; a manager that is gone is.
func TestNobody(t *testing.T) {
	var n *Notifier
	if err := n.Ready(""); err != nil {
		t.Errorf("without a manager: %v", err)
	}
	n, err := read(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "gone")}, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(""); err == nil {
		t.Error("a manager that is gone took the word")
	}
	t.Setenv("NOTIFY_SOCKET", "/run/n")
	t.Setenv("WATCHDOG_USEC", "1000000")
	if n, err := FromEnv(); err != nil || n.Watchdog() != time.Second {
		t.Errorf("got %v, %v, want a second", n.Watchdog(), err)
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if _, ok := os.LookupEnv(name); ok {
			t.Errorf("%s is left for children", name)
		}
	}
}
