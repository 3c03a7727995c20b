//go:build fault

package fault_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// inside is a server in this process: where goroutines can be counted.
type inside struct {
	dir  string
	key  shs.PrivateKey
	port string
}

// serveInside serves a Unix socket, and TCP to those who are authorized, until
// the test ends.
func serveInside(t *testing.T, cfg switchboard.Config) *inside {
	t.Helper()
	in := &inside{dir: room(t), key: shs.GenerateKey()}
	cfg.Key = in.key
	cfg.DrainTimeout = time.Second
	cfg.Limits.Admission.SessionsPerUID = ofOneUser
	ctx, stop := context.WithCancel(context.Background())
	ln, err := switchboard.Listen(ctx, "unix:"+in.dir+"/bus.sock")
	must(t, err)
	lns := []net.Listener{ln}
	if cfg.Policy != nil {
		tcp, err := switchboard.Listen(ctx, "net:127.0.0.1:0")
		must(t, err)
		in.port = tcp.Addr().String()
		lns = append(lns, tcp)
	}
	srv, err := switchboard.New(cfg)
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, lns...); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	return in
}

func (in *inside) unix() string {
	return shs.Address{Network: "unix", Addr: in.dir + "/bus.sock", Key: in.key.Public()}.String()
}

func (in *inside) tcp() string {
	return shs.Address{Network: "net", Addr: in.port, Key: in.key.Public()}.String()
}

// source listens on a Unix socket and streams flow 1 to whoever connects, which
// should send flow 2. It stands for the service behind a plugin.
func source(t *testing.T, path string) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				var in sync.WaitGroup
				in.Go(func() {
					if _, err := flow(2).receive(conn, nil); errors.Is(err, errAltered) {
						t.Error("towards the plugin: ", err)
					}
					conn.Close()
				})
				_, _ = flow(1).send(conn, nil) // until the plugin is dead
				in.Wait()
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
}

// F46: a plugin is killed in the middle of a channel. The caller reads an error
// within a second, everybody is told once, the name is free at once, and after
// hundreds of kills the server holds what it held before.
func TestF46PluginKilledMidChannel(t *testing.T) {
	rounds := times(20, 500)
	dir := room(t)
	pluginKey, callerKey := newKey(t, dir+"/plugin.key"), shs.GenerateKey()
	in := serveInside(t, switchboard.Config{Policy: trusting(t, pluginKey.Public(), callerKey.Public())})
	source(t, dir+"/source.sock")
	for _, way := range []struct {
		name, address, what string
		direct              client.Direct
	}{
		{"unix", in.unix(), "relayed", client.DirectNever},
		{"tcp", in.tcp(), "relayed", client.DirectNever},
		{"direct unix", in.unix(), "direct", client.DirectRequire},
		{"direct tcp", in.tcp(), "direct", client.DirectRequire},
	} {
		t.Run(way.name, func(t *testing.T) {
			c, err := client.Dial(within(t, 10*time.Second), client.Config{Address: way.address, Key: callerKey, Direct: way.direct})
			must(t, err)
			t.Cleanup(func() { c.Close() })
			w := watch(t, c, "org.example.victim")
			killPlugin(t, dir, way.address, c, w) // whatever is made once
			base := measure(t)
			var resets []time.Duration
			var total int64
			for range rounds {
				reset, n := killPlugin(t, dir, way.address, c, w)
				resets = append(resets, reset)
				total += n
			}
			settle(t, base, 4<<20)
			longest, p99 := slowest(resets)
			if longest > slow*time.Second {
				t.Errorf("a caller heard of the kill after %v, want 1 s", longest)
			}
			report(t, "F46", "%s: %d kills of a plugin in a %s channel: reset after at most %v (p99 %v), 0 clean ends, 0 altered bytes of %d MiB, %d disconnected events, goroutines and descriptors back to %d and %d",
				way.name, rounds, way.what, longest, p99, total>>20, rounds, base.goroutines, base.fds)
		})
	}
}

// killPlugin is one round: how long the caller waited for the reset, and how
// much it had read.
func killPlugin(t *testing.T, dir, address string, c *client.Client, w *watcher) (time.Duration, int64) {
	t.Helper()
	const name = "org.example.victim"
	plugin := command(t, dir, "sbctl", "--address", address, "--key", dir+"/plugin.key", "expose", name, "unix:"+dir+"/source.sock")
	plugin.Stderr = os.Stderr
	must(t, plugin.Start())
	killed := false
	defer func() {
		if !killed {
			plugin.Process.Kill()
			plugin.Wait()
		}
	}()
	w.next(t, w.came, w.went, "came")
	conn, err := c.Open(within(t, 10*time.Second), name, client.OpenOptions{})
	must(t, err)
	defer conn.Abort()
	var wg sync.WaitGroup
	var received int64
	var read error
	var ended time.Time
	begun := make(chan struct{})
	wg.Go(func() { _, _ = flow(2).send(conn, nil) })
	wg.Go(func() {
		received, read = flow(1).receive(conn, func() { close(begun) })
		ended = time.Now()
	})
	<-begun
	pause := time.NewTimer(rand.N(10 * time.Millisecond))
	<-pause.C
	at := time.Now()
	killed = true
	must(t, plugin.Process.Kill())
	wg.Wait()
	if err := plugin.Wait(); !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("the plugin had ended by itself: %v", err)
	}
	if read == io.EOF || errors.Is(read, errAltered) {
		t.Fatalf("the channel of a killed plugin ended after %d bytes with %v, want an exact prefix and an error", received, read)
	}
	w.next(t, w.went, w.came, "was killed")
	if _, err := c.Lookup(within(t, 10*time.Second), name); !errors.Is(err, client.NotFound) {
		t.Fatalf("the name of a killed plugin: got %v, want %v", err, client.NotFound)
	}
	return ended.Sub(at), received
}
