//go:build fault

package fault_test

import (
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is a service manager: it listens to what a server tells it.
type manager struct {
	t    testing.TB
	conn *net.UnixConn
}

func newManager(t testing.TB) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: room(t) + "/notify"})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn}
}

// env is what a server needs to tell it, with a watchdog if there is a time.
func (m *manager) env(watchdog time.Duration) []string {
	env := []string{"NOTIFY_SOCKET=" + m.conn.LocalAddr().String()}
	if watchdog > 0 {
		env = append(env, "WATCHDOG_USEC="+strconv.FormatInt(watchdog.Microseconds(), 10))
	}
	return env
}

// next is what the server says next; "" if it says nothing for d.
func (m *manager) next(d time.Duration) string {
	m.t.Helper()
	must(m.t, m.conn.SetReadDeadline(time.Now().Add(d)))
	buf := make([]byte, 4096)
	n, err := m.conn.Read(buf)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return ""
	}
	must(m.t, err)
	return string(buf[:n])
}

// hears waits until the server says something that begins with a word; what it
// says meanwhile goes by.
func (m *manager) hears(word string) string {
	m.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if said := m.next(time.Until(end)); strings.HasPrefix(said, word) {
			return said
		}
	}
	m.t.Fatalf("in 20 s the server did not say %s", word)
	return ""
}

// needTool skips a test where a tool of systemd is missing.
func needTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("needs ", name)
	}
	return path
}
