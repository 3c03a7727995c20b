package client_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// TestListenBeforeSeen dials every name the moment a watcher hears of it
// (feature S-10): it must always be accepted.
func TestListenBeforeSeen(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			plugin, watcher := dial(t, m.cfg), dial(t, m.cfg)
			const rounds = 30
			synced := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				seen := 0
				for ev, err := range watcher.Watch(short(t), "race.*") {
					switch {
					case err != nil:
						t.Errorf("watch: %v", err)
						return
					case ev.Type == client.EventSynced:
						close(synced)
					case ev.Type == client.EventConnected:
						conn, err := watcher.DialContext(short(t), "", ev.Name)
						if err != nil {
							t.Errorf("name %s was seen before it could be called: %v", ev.Name, err)
							return
						}
						conn.Close()
						if seen++; seen == rounds {
							return
						}
					}
				}
			})
			<-synced
			for i := range rounds {
				ln, err := plugin.Listen(short(t), fmt.Sprintf("race.n%d", i))
				if err != nil {
					t.Fatal(err)
				}
				conn, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
				if err := ln.Close(); err != nil {
					t.Fatal(err)
				}
			}
			wg.Wait()
		})
	}
}

func TestListenTwice(t *testing.T) {
	address := serve(t)
	c := dial(t, client.Config{Address: address})
	ln, err := c.Listen(short(t), "test.twice")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Listen(short(t), "test.twice")
	wantErr(t, err, client.ErrListening)
	// Close has released the name when it returns, and may be repeated.
	for range 2 {
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Lookup(short(t), "test.twice"); !errors.Is(err, client.NotFound) {
		t.Fatalf("the name is not free: %v", err)
	}
	_, err = ln.Accept()
	wantErr(t, err, net.ErrClosed)
	ln, err = c.Listen(short(t), "test.twice")
	if err != nil {
		t.Fatal(err)
	}
	other := dial(t, client.Config{Address: address})
	_, err = other.Listen(short(t), "test.twice")
	wantErr(t, err, client.NameTaken)
	c.Close()
	_, err = ln.Accept()
	wantErr(t, err, net.ErrClosed)
}

// TestListenerLosesName takes the name away in each of the ways there are.
func TestListenerLosesName(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			m.cfg.Key = shs.GenerateKey()
			st := newStates()
			m.cfg.OnState = st.add
			a := dial(t, m.cfg)
			m.cfg.OnState = nil
			b := dial(t, m.cfg) // of the same key
			ln, err := a.Listen(short(t), "test.lost")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Claim(short(t), "test.lost", client.ClaimOptions{Replace: true}); err != nil {
				t.Fatal(err)
			}
			_, err = ln.Accept()
			wantErr(t, err, client.ErrNameLost)
			wantErr(t, err, client.NameTaken)
			if got := st.await(t, client.NameLost); got.Name != "test.lost" {
				t.Fatalf("got %+v", got)
			}
			ln.Close()
			if e, err := a.Lookup(short(t), "test.lost"); err != nil || e.Name != "test.lost" {
				t.Fatalf("Close of a lost listener released the name: %v", err)
			}

			ln, err = a.Listen(short(t), "test.released")
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Release(short(t), "test.released"); err != nil {
				t.Fatal(err)
			}
			_, err = ln.Accept()
			wantErr(t, err, client.ErrNameLost)
		})
	}
}

// TestListenerQueues goes to the end of the line, becomes owner, is replaced,
// and becomes owner again, with one listener.
func TestListenerQueues(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			m.cfg.Key = shs.GenerateKey()
			a, b, caller := dial(t, m.cfg), dial(t, m.cfg), dial(t, m.cfg)
			claim := func(opts client.ClaimOptions) {
				if _, err := a.Claim(short(t), "test.queue", opts); err != nil {
					t.Fatal(err)
				}
			}
			claim(client.ClaimOptions{})
			ln, err := b.ListenWith(short(t), "test.queue", client.ClaimOptions{Queue: true})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			if got := ln.Claim().State; got != "waiting" {
				t.Fatalf("got state %q, want waiting", got)
			}
			for range 2 {
				if err := a.Release(short(t), "test.queue"); err != nil {
					t.Fatal(err)
				}
				c1, c2 := connect(t, caller, ln)
				c1.Close()
				c2.Close()
				claim(client.ClaimOptions{Replace: true})
			}
			eventually(t, func() bool { return ln.Claim().State == "waiting" })
			// Who asks without queue gives up the place in the line.
			_, err = b.Claim(short(t), "test.queue", client.ClaimOptions{})
			wantErr(t, err, client.NameTaken)
			_, err = ln.Accept()
			wantErr(t, err, client.ErrNameLost)
		})
	}
}

// TestBacklog calls a plugin that never accepts.
func TestBacklog(t *testing.T) {
	address := serve(t)
	plugin := dial(t, client.Config{Address: address})
	caller := dial(t, client.Config{Address: address})
	ln, err := plugin.Listen(short(t), "test.backlog")
	if err != nil {
		t.Fatal(err)
	}
	const backlog = 64
	var first io.ReadCloser
	for i := range backlog {
		conn, err := caller.DialContext(short(t), "", "test.backlog")
		if err != nil {
			t.Fatalf("channel %d: %v", i, err)
		}
		defer conn.Close()
		if first == nil {
			first = conn
		}
	}
	_, err = caller.DialContext(short(t), "", "test.backlog")
	wantErr(t, err, client.Busy)
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := io.ReadAll(first); err != nil {
		t.Fatal(err)
	}
	another, err := caller.DialContext(short(t), "", "test.backlog")
	if err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	// What waits when the listener closes is reset.
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(another); err == nil {
		t.Fatal("a channel that was never accepted ended well")
	}
}
