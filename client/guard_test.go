package client_test

import (
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// TestManyListeners: as many listeners as a key may have names, and as many watches
// as are left beside them. Each hears of the loss of its name.
func TestManyListeners(t *testing.T) {
	address := serve(t)
	c, other := dial(t, client.Config{Address: address}), dial(t, client.Config{Address: address})
	var lns []*client.Listener
	for i := range 16 {
		ln, err := c.ListenWith(short(t), fmt.Sprintf("org.example.many.n%d", i), client.ClaimOptions{Yield: true})
		if err != nil {
			t.Fatal(err)
		}
		lns = append(lns, ln)
	}
	for i := range 15 {
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
	for _, i := range []int{0, 15} {
		if _, err := other.Claim(short(t), fmt.Sprintf("org.example.many.n%d", i), client.ClaimOptions{Replace: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{0, 15} {
		if _, err := lns[i].Accept(); !errors.Is(err, client.ErrNameLost) {
			t.Errorf("Accept of listener %d ended with %v", i, err)
		}
	}
}

// TestGuardGoesOn: when the listener whose name has the watch is closed,
// another's gets it. A name that is claimed again just when it is not there
// is not lost.
func TestGuardGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		watched := make(chan string, 10)
		f.script = func(c *muxrpc.Call) bool {
			switch c.Name() {
			case control.MethodGet:
				c.Reply(control.Entry{Name: "test.second", Session: ":1", Epoch: 7})
			case control.MethodWatch:
				var a control.WatchArgs
				control.Decode(c.Args(), &a)
				watched <- a.Match
				if a.Match == "test.second" { // old news: the claim is of rev 7
					c.Stream().Send(control.Event{Rev: 5, Type: control.EventSynced})
					c.Stream().Send(control.Event{Rev: 6, Type: control.EventDisconnected, Name: a.Match})
					return true
				}
				return false
			default:
				return false
			}
			return true
		}
		c := bubbleDial(t, f.config())
		defer c.Close()
		first, err := c.Listen(t.Context(), "test.first")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		second, err := c.ListenWith(t.Context(), "test.second", client.ClaimOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		first.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(watched) != 2 || <-watched != "test.first" || <-watched != "test.second" {
			t.Error("the second name was not watched after the first")
		}
		if second.Claim().State != "owner" {
			t.Error("the second name was lost")
		}
	})
}
