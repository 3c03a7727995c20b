//go:build fault

package fault_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// limit makes a command run with so many descriptors at most. It keeps its process
// id.
func limit(cmd *exec.Cmd, files int) {
	prlimit, err := exec.LookPath("prlimit")
	if err != nil {
		cmd.Err = err
		return
	}
	cmd.Args = append([]string{prlimit, fmt.Sprintf("--nofile=%d:%d", files, files), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = prlimit
}

// stallers are connections that send a byte and wait; close ends those that are
// left.
func (p place) stallers(t *testing.T, n int) (closeAll func()) {
	t.Helper()
	var conns []net.Conn
	for i := range n {
		network := networks()[i%2]
		conn, err := net.Dial(network, map[string]string{"unix": p.unix, "tcp": p.tcp}[network])
		if err != nil {
			t.Errorf("connection %d: %v", i, err)
			break
		}
		_, _ = conn.Write([]byte{1}) // it may be closed already
		conns = append(conns, conn)
	}
	return func() {
		for _, c := range conns {
			c.Close()
		}
	}
}

// F45: a server with 64 descriptors, once as it is, once with limits so high that
// it runs out of them, and once with as many sessions as there are descriptors:
// 500 connections neither end it nor keep it busy, a channel goes on, and who
// comes when they are gone logs in.
func TestF45Descriptors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		limits   string
		sessions int
	}{
		{"defaults", "", 0},
		{"more half open than descriptors", "sessions = 1000\nhalf_open_net = 1000\nhalf_open_unix = 1000\n", 0},
		{"more sessions than descriptors", "sessions = 1000\nhalf_open_net = 1000\nhalf_open_unix = 1000\n", 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := shs.GenerateKey()
			d := newDaemon(t, key.Public())
			d.files = 64
			must(t, os.WriteFile(d.dir+"/limits.toml", []byte("[limits]\n"+tt.limits), 0o600))
			d.args = []string{"--config", d.dir + "/limits.toml"}
			d.start()
			p, pid := d.where(), d.cmd.Process.Pid
			near := p.neighbour(t, "org.example.near")
			held := p.hold(t, tt.sessions)
			var used time.Duration
			length := time.Duration(times(2, 20)) * time.Second
			var release func()
			took := near.during(func() {
				before, began := cpu(t, pid), time.Now()
				release = p.stallers(t, 500)
				<-time.After(length)
				used = (cpu(t, pid) - before) * 100 / time.Since(began) // percent
			})
			knocks := len(took)
			// The neighbour's own rounds cost, too: without them the rest is what counts.
			before, began := cpu(t, pid), time.Now()
			<-time.After(length / 2)
			idle := (cpu(t, pid) - before) * 100 / time.Since(began)
			if idle >= time.Duration(times(50, 20)) {
				t.Errorf("the server used %d %% of a processor while it had no descriptor", idle)
			}
			held()
			release()
			began = time.Now()
			var logins [2]time.Duration
			for i, network := range networks() {
				c := p.client(t, network, func(cfg *client.Config) { cfg.Key = key })
				logins[i] = time.Since(began)
				if _, err := c.WhoAmI(within(t, 10*time.Second)); err != nil {
					t.Error(err)
				}
			}
			if logins[1] > atMost(2*time.Second) {
				t.Errorf("logins took until %v after the others had gone", logins)
			}
			scarce := d.tallied("scarce")
			if (scarce > 0) != (tt.limits != "") {
				t.Errorf("accept was without a descriptor %d times", scarce)
			}
			longest, p99 := slowest(took)
			if longest > atMost(2*time.Second) {
				t.Errorf("a neighbour waited %v", longest)
			}
			report(t, "F45", "64 descriptors, %s, 500 connections that stall: %d %% of a processor, %d %% with a neighbour who sends all the time; %d of its rounds, p99 %v; logins %v after the others had gone; accept without a descriptor %d times",
				tt.name, idle, used, knocks, p99, logins[1].Round(time.Millisecond), scarce)
		})
	}
}

// hold logs in up to n peers, as many as get in, and returns what ends them.
func (p place) hold(t *testing.T, n int) (end func()) {
	t.Helper()
	var conns []net.Conn
	for range n {
		conn, err := net.Dial("unix", p.unix)
		must(t, err)
		conns = append(conns, conn)
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		err = shs.Client(conn, &shs.Config{Key: shs.GenerateKey(), ServerKey: p.key}).Handshake(ctx)
		cancel()
		if err != nil {
			break
		}
	}
	return func() {
		for _, c := range conns {
			c.Close()
		}
	}
}

// F71: a panic in what serves one session ends that session: its channels are
// reset, its names are free, others and their channels live, and the log says
// where it was.
func TestF71Panic(t *testing.T) {
	log := new(logged)
	victim := shs.GenerateKey()
	srv, err := switchboard.New(switchboard.Config{
		Key: shs.GenerateKey(),
		Log: slog.New(slog.NewTextHandler(log, nil)),
		Direct: func(q switchboard.DirectQuery) switchboard.DirectGrant {
			if q.Caller == victim.Public() {
				panic("injected by a test")
			}
			return switchboard.DirectGrant{}
		},
	})
	must(t, err)
	p := place{key: srv.Key(), unix: filepath.Join(room(t), "s")}
	ln, err := switchboard.Listen(t.Context(), "unix:"+p.unix)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })

	near := p.neighbour(t, "org.example.near")
	lis, err := p.client(t, "unix").Listen(within(t, 10*time.Second), "org.example.callee")
	must(t, err)
	defer lis.Close()
	rounds := times(20, 200)
	took := near.during(func() {
		for i := range rounds {
			c := p.client(t, "unix", func(cfg *client.Config) { cfg.Key = victim })
			if _, err := c.Claim(within(t, 10*time.Second), fmt.Sprintf("org.example.victim%d", i), client.ClaimOptions{}); err != nil {
				t.Error(err)
			}
			if _, err := c.Open(within(t, 10*time.Second), "org.example.callee", client.OpenOptions{Direct: client.DirectRequire}); err == nil {
				t.Error("a channel whose making panicked was opened")
			}
			c.Close()
		}
	})
	watcher := p.client(t, "unix")
	if !eventually(5*time.Second, func() bool {
		for i := range rounds {
			if _, err := watcher.Lookup(within(t, 10*time.Second), fmt.Sprintf("org.example.victim%d", i)); err == nil {
				return false
			}
		}
		return true
	}) {
		t.Error("a name of a session that panicked is still owned")
	}
	longest, p99 := slowest(took)
	if longest > atMost(2*time.Second) {
		t.Errorf("a neighbour waited %v", longest)
	}
	p.alive(t)
	text := ""
	if !eventually(5*time.Second, func() bool { text = log.text(); return strings.Contains(text, fmt.Sprintf(" panics=%d", rounds)) }) {
		t.Errorf("not %d panics are counted: %.2000s", rounds, text)
	}
	if strings.Count(text, "msg=panic") < rounds || !strings.Contains(text, "scarce_test.go") || !strings.Contains(text, "injected by a test") {
		t.Errorf("the log does not say where: %.2000s", text)
	}
	report(t, "F71", "%d panics in the sessions of one key: each ended that session, its name was free, a neighbour's %d rounds took %v at most (p99 %v); counted, with their stacks in the log",
		rounds, len(took), longest, p99)
}

// logged keeps what is logged.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
