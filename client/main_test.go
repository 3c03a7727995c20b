package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is where a test's server listens, and as whom, over its restarts.
type place struct {
	key  shs.PrivateKey
	path string
	cfg  switchboard.Config
}

func newPlace(t testing.TB) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "sb") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	key := shs.GenerateKey()
	return &place{key: key, path: filepath.Join(dir, "bus.sock"), cfg: switchboard.Config{Key: key, DrainTimeout: 200 * time.Millisecond}}
}

// trusting is a policy in which keys are trusted, wherever they come from.
func trusting(t testing.TB, keys ...shs.PublicKey) *switchboard.Policy {
	t.Helper()
	var lines strings.Builder
	for _, k := range keys {
		fmt.Fprintln(&lines, k, "level=trusted")
	}
	p, err := switchboard.NewPolicy(switchboard.PolicyConfig{Peers: strings.NewReader(lines.String())})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// address is what clients dial.
func (p *place) address() string {
	return shs.Address{Network: "unix", Addr: p.path, Key: p.key.Public()}.String()
}

// serve runs a server until stop, or the end of the test.
func (p *place) serve(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ln, err := switchboard.Listen(ctx, "unix:"+p.path)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := switchboard.New(p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

// serve runs a server and returns its address.
func serve(t testing.TB) string {
	t.Helper()
	p := newPlace(t)
	p.serve(t)
	return p.address()
}

// dial connects a client of a fresh key, unless cfg has one.
func dial(t testing.TB, cfg client.Config) *client.Client {
	t.Helper()
	if cfg.Key.IsZero() {
		cfg.Key = shs.GenerateKey()
	}
	c, err := client.Dial(short(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// short is a context for what must not take long.
func short(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// mode is one way of connecting.
type mode struct {
	name string
	cfg  client.Config
}

// modes are all ways of connecting to a server. Without an address each is to get
// a server of its own: names are free when that knows of a Close, not when Close
// returns.
func modes(address string) []mode {
	return []mode{
		{"plain yamux", client.Config{Address: address, Mode: client.ModePlain}},
		{"box yamux", client.Config{Address: address, Mode: client.ModeBox}},
		{"plain single lane", client.Config{Address: address, Mode: client.ModePlain, SingleLane: true}},
		{"box single lane", client.Config{Address: address, Mode: client.ModeBox, SingleLane: true}},
	}
}

// pair opens a channel from caller to a listener of callee.
func pair(t testing.TB, caller, callee *client.Client, name string) (call, accepted *channel.Conn) {
	t.Helper()
	ln, err := callee.Listen(short(t), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return connect(t, caller, ln)
}

// connect opens a channel from caller to ln.
func connect(t testing.TB, caller *client.Client, ln net.Listener) (call, accepted *channel.Conn) {
	t.Helper()
	call, err := caller.Open(short(t), ln.Addr().String(), client.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted = conn.(*channel.Conn)
	t.Cleanup(func() { call.Abort(); accepted.Abort() })
	return call, accepted
}

// wantErr fails unless err is target.
func wantErr(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got error %v, want %v", err, target)
	}
}

// states records what OnState is told.
type states chan client.State

func newStates() states { return make(states, 1000) }

func (s states) add(st client.State) { s <- st }

// await returns the next state of a kind.
func (s states) await(t testing.TB, kind client.StateKind) client.State {
	t.Helper()
	late := time.After(2 * time.Minute) // of a bubble's clock, often
	for {
		select {
		case st := <-s:
			if st.Kind == kind {
				return st
			}
		case <-late:
			t.Fatalf("no state %q", kind)
		}
	}
}

// eventually polls for what nobody tells.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never happened")
		}
	}
}
