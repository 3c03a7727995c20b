package client_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// TestClaimAfterOneGivenUp: a claim that was given up is released, but not
// from under the claim that came after it.
func TestClaimAfterOneGivenUp(t *testing.T) {
	address := serve(t)
	for _, m := range modes(address) {
		t.Run(m.name, func(t *testing.T) {
			c := dial(t, m.cfg)
			const name = "org.example.again"
			for i := range 50 {
				hasty, cancel := context.WithTimeout(context.Background(), time.Duration(20+rand.IntN(200))*time.Microsecond)
				_, err := c.Claim(hasty, name, client.ClaimOptions{})
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				if _, err := c.Claim(short(t), name, client.ClaimOptions{}); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Ping(short(t)); err != nil { // behind whatever was sent
					t.Fatal(err)
				}
				if _, err := c.Lookup(short(t), name); err != nil {
					t.Fatalf("round %d: the name that was claimed: %v", i, err)
				}
				if err := c.Release(short(t), name); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestListenAfterClose: a listener that follows another on the same name keeps
// the name, though the first one is still giving it up.
func TestListenAfterClose(t *testing.T) {
	c := dial(t, client.Config{Address: serve(t)})
	const name = "org.example.next"
	for range 50 {
		first, err := c.Listen(short(t), name)
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() { first.Close(); close(closed) }()
		second, err := c.Listen(short(t), name)
		for errors.Is(err, client.ErrListening) || errors.Is(err, client.ErrNameLost) {
			second, err = c.Listen(short(t), name)
		}
		if err != nil {
			t.Fatal(err)
		}
		<-closed
		if _, err := c.Lookup(short(t), name); err != nil {
			t.Fatalf("the second listener's name: %v", err)
		}
		second.Close()
	}
}

// TestManyListeners: as many listeners as a key may have names, and watches
// beside them. Each hears of the loss of its name.
func TestManyListeners(t *testing.T) {
	address := serve(t)
	c, other := dial(t, client.Config{Address: address}), dial(t, client.Config{Address: address})
	var last *client.Listener
	for i := range 16 {
		ln, err := c.ListenWith(short(t), fmt.Sprintf("org.example.many.n%d", i), client.ClaimOptions{Yield: true})
		if err != nil {
			t.Fatal(err)
		}
		last = ln
	}
	for i := range 12 {
		next, stop := iter.Pull2(c.Watch(short(t), "**"))
		defer stop()
		for {
			ev, err, _ := next()
			if err != nil {
				t.Fatalf("watch %d: %v", i, err)
			}
			if ev.Type == client.EventSynced {
				break
			}
		}
	}
	if _, err := other.Claim(short(t), "org.example.many.n15", client.ClaimOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := last.Accept(); !errors.Is(err, client.ErrNameLost) {
		t.Errorf("Accept ended with %v", err)
	}
}
