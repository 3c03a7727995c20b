//go:build fault

package fault_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// What the tests against a running server share; the tests of whole processes
// have more of it.

func TestMain(m *testing.M) {
	if part := os.Getenv(pluginEnv); part != "" {
		if err := bePlugin(part); err != nil {
			fmt.Fprintln(os.Stderr, "plugin:", err)
			os.Exit(1)
		}
		return
	}
	if path := os.Getenv(holderEnv); path != "" {
		beHolder(path)
		return
	}
	if change := os.Getenv(saverEnv); change != "" {
		if err := beSaver(change); err != nil {
			fmt.Fprintln(os.Stderr, "saver:", err)
			os.Exit(1)
		}
		return
	}
	if part := os.Getenv(watchersEnv); part != "" {
		if err := beWatchers(part); err != nil {
			fmt.Fprintln(os.Stderr, "watchers:", err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(agentEnv) != "" {
		runAgent()
		return
	}
	dir, err := programs()
	if err == nil {
		err = flag.Set("test.parallel", "16") // what runs side by side waits, mostly
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// place is where a server listens and who it is.
type place struct {
	key       shs.PublicKey
	unix, tcp string // path, host:port; "" if there is none
}

// where tells where a server process listens.
func (d *daemon) where() place {
	p := place{key: d.key.Public(), unix: d.sock}
	if d.port != "" {
		p.tcp = "127.0.0.1:" + d.port
	}
	return p
}

// startDaemon starts a server process that admits keys over TCP.
func startDaemon(t testing.TB, keys ...shs.PublicKey) (*daemon, place) {
	t.Helper()
	d := newDaemon(t, keys...)
	d.start()
	return d, d.where()
}

// trusting is a policy in which keys are trusted, wherever they come from.
func trusting(t testing.TB, keys ...shs.PublicKey) *switchboard.Policy {
	t.Helper()
	var lines []string
	for _, k := range keys {
		lines = append(lines, k.String()+" level=trusted")
	}
	return ruling(t, lines...)
}

// ruling is a policy of lines.
func ruling(t testing.TB, lines ...string) *switchboard.Policy {
	t.Helper()
	p, err := switchboard.NewPolicy(switchboard.PolicyConfig{Peers: strings.NewReader(strings.Join(lines, "\n"))})
	must(t, err)
	return p
}

// serveHere runs a server in this process until the test ends, where its memory
// can be measured. Over TCP it admits the given keys.
func serveHere(t testing.TB, limits switchboard.Limits, keys ...shs.PublicKey) place {
	t.Helper()
	limits.Admission.SessionsPerUID = ofOneUser
	srv, err := switchboard.New(switchboard.Config{Key: shs.GenerateKey(), Policy: trusting(t, keys...), Limits: limits})
	must(t, err)
	p := place{key: srv.Key(), unix: filepath.Join(room(t), "s")}
	unix, err := switchboard.Listen(t.Context(), "unix:"+p.unix)
	must(t, err)
	tcp, err := switchboard.Listen(t.Context(), "net:127.0.0.1:0")
	must(t, err)
	p.tcp = tcp.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, unix, tcp); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
	return p
}

// networks are those of a place with both.
func networks() []string { return []string{"unix", "tcp"} }

// dial connects; nobody has shaken hands yet. Whatever happens, reads and
// writes end after some minutes.
func (p place) dial(t testing.TB, network string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, map[string]string{"unix": p.unix, "tcp": p.tcp}[network])
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(slow*time.Minute)))
	return conn
}

// login shakes hands over conn in box mode.
func (p place) login(t testing.TB, conn net.Conn, key shs.PrivateKey) *shs.Conn {
	t.Helper()
	c := shs.Client(conn, &shs.Config{Key: key, ServerKey: p.key})
	must(t, c.Handshake(t.Context()))
	return c
}

// enter is a connection of a fresh key over the Unix socket, in box mode.
func (p place) enter(t testing.TB) *shs.Conn {
	t.Helper()
	return p.login(t, p.dial(t, "unix"), shs.GenerateKey())
}

// client is our own client, logged in.
func (p place) client(t testing.TB, network string, with ...func(*client.Config)) *client.Client {
	t.Helper()
	addr := shs.Address{Network: "unix", Addr: p.unix, Key: p.key}
	if network == "tcp" {
		addr.Network, addr.Addr = "net", p.tcp
	}
	cfg := client.Config{Address: addr.String(), Key: shs.GenerateKey()}
	for _, f := range with {
		f(&cfg)
	}
	c, err := client.Dial(within(t, time.Minute), cfg)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// alive fails the test unless the server serves a new peer.
func (p place) alive(t testing.TB) {
	t.Helper()
	c := p.client(t, "unix")
	defer c.Close()
	if _, err := c.WhoAmI(within(t, 10*time.Second)); err != nil {
		t.Errorf("the server does not serve a new peer: %v", err)
	}
}

// send writes one packet.
func send(t testing.TB, w io.Writer, flags byte, n int32, body string) {
	t.Helper()
	must(t, muxrpc.WritePacket(w, muxrpc.Packet{Flags: flags, Req: n, Body: []byte(body)}))
}

// receive reads one packet.
func receive(t testing.TB, r io.Reader) muxrpc.Packet {
	t.Helper()
	p, err := muxrpc.ReadPacket(r, 1<<20)
	must(t, err)
	return p
}

// ended reads conn to its end, which usually comes within d, and returns what came
// before; how it ended does not matter.
func ended(t testing.TB, conn net.Conn, d time.Duration) []byte {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(slow*d)))
	got, err := io.ReadAll(conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Errorf("the server did not end the connection within %v", slow*d)
	}
	return got
}

// rss returns the resident memory of a process in bytes.
func rss(t testing.TB, pid int) int64 {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if kib, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(kib, "kB")), 10, 64)
			must(t, err)
			return n << 10
		}
	}
	t.Fatalf("process %d has no VmRSS", pid)
	return 0
}

// cpu returns the time that a process has spent on processors, in steps of 10 ms.
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		must(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// mib writes bytes as MiB.
func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
