//go:build linux

package client_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// descriptors counts those of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

var onlyFD = []channel.Kind{channel.FD}

// TestFDMany: a thousand channels over passed sockets, some at a time, and the
// descriptors are as many as before.
func TestFDMany(t *testing.T) {
	cfg := client.Config{Address: serve(t), DirectKinds: onlyFD}
	a, b := dial(t, cfg), dial(t, cfg)
	ln := listen(t, b, "org.example.near")
	before := descriptors(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 250 {
				call, err := a.Open(short(t), "org.example.near", client.OpenOptions{Direct: client.DirectRequire})
				if err != nil {
					t.Error(err)
					return
				}
				if call.Link() != channel.FD {
					t.Errorf("the link is %q", call.Link())
				}
				io.WriteString(call, "hello")
				if text, err := io.ReadAll(call); err != nil || string(text) != "hello" {
					t.Errorf("got %q, %v", text, err)
				}
				call.Close()
			}
		})
	}
	for range 1000 {
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer conn.Close()
			if _, err := io.CopyN(conn, conn, 5); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	eventually(t, func() bool { return descriptors(t) <= before })
}

// TestFDSelf: a client calls itself.
func TestFDSelf(t *testing.T) {
	a := dial(t, client.Config{Address: serve(t), DirectKinds: onlyFD})
	call, accepted := open(t, a, listen(t, a, "org.example.self"), client.OpenOptions{Direct: client.DirectRequire})
	bounce(t, call, accepted, "hello")
	if call.Link() != channel.FD || accepted.Link() != channel.FD {
		t.Errorf("the ends are on %q and %q", call.Link(), accepted.Link())
	}
}

// TestFDNot: who is boxed, or has no yamux, is passed nothing, and no more is who
// does not want it.
func TestFDNot(t *testing.T) {
	address := serve(t)
	plain := client.Config{Address: address}
	for _, tc := range []struct {
		name string
		cfg  client.Config
		kind channel.Kind // with all kinds
	}{
		{"box", client.Config{Address: address, Mode: client.ModeBox}, channel.Unix},
		{"another kind", client.Config{Address: address, DirectKinds: []channel.Kind{channel.Unix}}, channel.Unix},
		{"single lane", client.Config{Address: address, SingleLane: true}, ""},
	} {
		for i, cfgs := range [][2]client.Config{{tc.cfg, plain}, {plain, tc.cfg}} {
			a, b := dial(t, cfgs[0]), dial(t, cfgs[1])
			name := fmt.Sprintf("org.example.shy%d.%s", i, strings.Fields(tc.name)[0]) // the one before may not be free yet
			ln := listen(t, b, name)
			call, err := a.Open(short(t), name, client.OpenOptions{Direct: client.DirectRequire})
			switch {
			case err != nil:
				if !errors.Is(err, client.Unavailable) || tc.kind != "" {
					t.Errorf("%s: %v", tc.name, err)
				}
			case call.Link() == channel.FD || tc.kind != "" && call.Link() != tc.kind:
				t.Errorf("%s: the link is %q", tc.name, call.Link())
			}
			a.Close()
			b.Close()
			ln.Close()
		}
	}
}

// TestFDUndone: sessions that end with descriptors under way leave none.
func TestFDUndone(t *testing.T) {
	p := newPlace(t)
	p.serve(t)
	cfg := client.Config{Address: p.address(), DirectKinds: onlyFD, NoReconnect: true}
	dial(t, cfg) // then the server has all that it holds for itself
	for _, victim := range []string{"caller", "callee"} {
		before := descriptors(t)
		for i := range 20 {
			name := fmt.Sprintf("org.example.%s%d", victim, i) // a session may live on for a moment at the server
			a, b := dial(t, cfg), dial(t, cfg)
			ln := listen(t, b, name)
			var wg sync.WaitGroup
			begun := make(chan struct{}, 8)
			for range cap(begun) {
				wg.Go(func() {
					begun <- struct{}{}
					if call, err := a.Open(short(t), name, client.OpenOptions{Direct: client.DirectRequire}); err == nil {
						call.Abort()
					}
				})
			}
			for range 3 {
				<-begun
			}
			if victim == "caller" {
				a.Close()
			} else {
				b.Close()
			}
			for range cap(begun) - 3 {
				<-begun
			}
			wg.Wait()
			a.Close()
			b.Close()
			ln.Close()
		}
		eventually(t, func() bool { return descriptors(t) <= before })
	}
}

// stranger is a proxy before a place, which reads and writes and knows of no
// descriptors.
func stranger(t *testing.T, p *place) (address string) {
	t.Helper()
	path := filepath.Join(filepath.Dir(p.path), "proxy.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	copy := func(to, from net.Conn) {
		io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
		to.Close()
		from.Close()
	}
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", p.path)
			if err != nil {
				conn.Close()
				continue
			}
			wg.Go(func() { copy(conn, server) })
			wg.Go(func() { copy(server, conn) })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return shs.Address{Network: "unix", Addr: path, Key: p.key.Public()}.String()
}

// TestFDDropped: a proxy drops the descriptors of one end, or of both. The next
// kind is tried, and where there is none the channel stays relayed, or fails if it
// must not. None stays open.
func TestFDDropped(t *testing.T) {
	p := newPlace(t)
	p.serve(t)
	behind := stranger(t, p)
	dial(t, client.Config{Address: p.address()}) // then the server has all that it holds for itself
	for _, tc := range []struct{ name, a, b string }{
		{"at the caller", behind, p.address()},
		{"at the callee", p.address(), behind},
		{"at both", behind, behind},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := descriptors(t)
			both := []channel.Kind{channel.FD, channel.Unix}
			a, b := dial(t, client.Config{Address: tc.a, DirectKinds: both}), dial(t, client.Config{Address: tc.b, DirectKinds: both})
			ln := listen(t, b, "org.example.near")
			var call, accepted *channel.Conn
			for call == nil { // the listener may learn of the caller before it knows that the socket is lost
				conn, err := a.Open(short(t), "org.example.near", client.OpenOptions{Direct: client.DirectRequire})
				if err != nil {
					wantErr(t, err, client.LinkLost)
					continue
				}
				call = conn
			}
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			accepted = conn.(*channel.Conn)
			bounce(t, call, accepted, "hello")
			if call.Link() != channel.Unix {
				t.Errorf("the link is %q", call.Link())
			}
			call.Close()
			accepted.Close()
			ln.Close() // the name is free
			a.Close()
			b.Close()

			a, b = dial(t, client.Config{Address: tc.a, DirectKinds: onlyFD}), dial(t, client.Config{Address: tc.b, DirectKinds: onlyFD})
			listen(t, b, "org.example.far")
			_, err = a.Open(short(t), "org.example.far", client.OpenOptions{Direct: client.DirectRequire})
			wantErr(t, err, client.LinkLost)
			tried := make(chan client.Attempt, 10)
			c, d := dial(t, client.Config{Address: tc.a, DirectKinds: onlyFD}), dial(t, client.Config{Address: tc.b, DirectKinds: onlyFD})
			call, accepted = open(t, c, listen(t, d, "org.example.off"), client.OpenOptions{OnDirect: func(at client.Attempt) { tried <- at }})
			bounce(t, call, accepted, "hello")
			if at := <-tried; at.Err == nil || at.Kind != "" {
				t.Errorf("told of %+v", at)
			}
			bounce(t, call, accepted, "hello")
			if info, ok := listed(t, c, call.Info().ID); !ok || info.State != control.StateRelayed {
				t.Errorf("listed %+v, %v", info, ok)
			}
			for _, c := range []*client.Client{a, b, c, d} {
				c.Close()
			}
			eventually(t, func() bool { return descriptors(t) <= before })
		})
	}
}
