// Package host runs a real server for the tests of foreign peers: the library
// in this process, on a Unix socket and on a TCP port of the loopback.
package host

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// Networks returns the networks that a Host listens on.
func Networks() []string { return []string{"unix", "tcp"} }

// Host is a running server. Its tests end it.
type Host struct {
	Key   shs.PublicKey
	Admin shs.PrivateKey // the server's own: an administrator over the Unix socket
	addrs map[string]net.Addr
}

// Start runs a server until the test ends, which fails if the server does not
// stop in order. Over TCP it admits the given keys.
func Start(t testing.TB, admit ...shs.PublicKey) *Host {
	t.Helper()
	var peers strings.Builder
	for _, k := range admit {
		fmt.Fprintln(&peers, k, "level=trusted")
	}
	policy, err := switchboard.NewPolicy(switchboard.PolicyConfig{Peers: strings.NewReader(peers.String())})
	if err != nil {
		t.Fatal(err)
	}
	cfg := switchboard.Config{Key: shs.GenerateKey(), Version: "interop", Policy: policy}
	cfg.Limits.Admission.SessionsPerUID = 4096 // all peers of a test are of one user
	srv, err := switchboard.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{Key: srv.Key(), Admin: cfg.Key, addrs: make(map[string]net.Addr)}
	var lns []net.Listener
	for network, addr := range map[string]string{"unix": "unix:" + filepath.Join(t.TempDir(), "s"), "tcp": "net:127.0.0.1:0"} {
		ln, err := switchboard.Listen(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		h.addrs[network] = ln.Addr()
		lns = append(lns, ln)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, lns...); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
	return h
}

// Path returns the path of the Unix socket.
func (h *Host) Path() string { return h.addrs["unix"].String() }

// Dial connects to the server and shakes hands in box mode.
func (h *Host) Dial(t testing.TB, network string, key shs.PrivateKey) *shs.Conn {
	t.Helper()
	raw := h.DialRaw(t, network)
	conn := shs.Client(raw, &shs.Config{Key: key, ServerKey: h.Key})
	if err := conn.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	return conn
}

// DialRaw connects to the server; the test's end closes the connection.
func (h *Host) DialRaw(t testing.TB, network string) net.Conn {
	t.Helper()
	raw, err := net.Dial(network, h.addrs[network].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return raw
}

// Client logs in with our own client, set up further by each of with; the
// test's end closes it.
func (h *Host) Client(t testing.TB, network string, key shs.PrivateKey, with ...func(*client.Config)) *client.Client {
	t.Helper()
	name := map[string]string{"unix": "unix", "tcp": "net"}[network]
	addr := shs.Address{Network: name, Addr: h.addrs[network].String(), Key: h.Key}
	cfg := client.Config{Address: addr.String(), Key: key}
	for _, f := range with {
		f(&cfg)
	}
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Context returns a context of the test that ends after 30 s, so that a peer
// that does not answer fails the test instead of hanging it.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
