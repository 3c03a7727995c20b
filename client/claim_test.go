package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// TestClaimAfterOneGivenUp: a claim that was given up is released, but not
// from under the claim that came after it.
func TestClaimAfterOneGivenUp(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
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

// TestClaimInTurn has two claims of one name, of which the first is given up:
// its release comes before the second claim, not after.
func TestClaimInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var calls []string
		f.script = func(c *muxrpc.Call) bool {
			if c.Name() == control.MethodClaim || c.Name() == control.MethodRelease {
				calls = append(calls, c.Name())
			}
			return c.Name() == control.MethodClaim && len(calls) == 1
		}
		c := bubbleDial(t, f.config())
		defer c.Close()
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := c.Claim(ctx, "test.turn", client.ClaimOptions{})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first claim ended with %v", err)
			}
		}()
		synctest.Wait()
		hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := c.Claim(hasty, "test.turn", client.ClaimOptions{}) // waits for its turn, but not for ever
		wantErr(t, err, context.DeadlineExceeded)
		if res, err := c.Claim(t.Context(), "test.turn", client.ClaimOptions{}); err != nil || res.State != "owner" {
			t.Fatalf("got %+v, %v", res, err)
		}
		time.Sleep(time.Minute)
		want := []string{control.MethodClaim, control.MethodRelease, control.MethodClaim}
		if !slices.Equal(calls, want) {
			t.Errorf("got the calls %q, want %q", calls, want)
		}
	})
}

// TestReleaseDuringRestore gives names up while the next session is being set
// up: one that it has claimed again already, and one that it is about to claim.
func TestReleaseDuringRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var restoring, held atomic.Bool
		stuck := make(chan *muxrpc.Call, 1)
		owned := map[string]bool{}
		var mu sync.Mutex
		f.script = func(c *muxrpc.Call) bool {
			var a control.ClaimArgs
			if len(c.Args()) > 0 {
				json.Unmarshal(c.Args()[0], &a)
			}
			mu.Lock()
			defer mu.Unlock()
			switch c.Name() {
			case control.MethodClaim:
				owned[a.Name] = true
				if restoring.Load() && a.Name == "test.m" && held.CompareAndSwap(false, true) {
					stuck <- c
					return true
				}
			case control.MethodRelease:
				if !owned[a.Name] {
					c.Fail(control.ToWire(control.NotOwner))
					return true
				}
				delete(owned, a.Name)
			}
			return false
		}
		c := bubbleDial(t, f.config())
		defer c.Close()
		for _, name := range []string{"test.a", "test.m", "test.z"} {
			if _, err := c.Claim(t.Context(), name, client.ClaimOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		ln, err := c.Listen(t.Context(), "test.b")
		if err != nil {
			t.Fatal(err)
		}
		restoring.Store(true)
		mu.Lock()
		clear(owned)
		mu.Unlock()
		(<-f.conns).conn.Abort()
		call := <-stuck // test.a and test.b are ours again, test.z is not yet
		ln.Close()
		for _, name := range []string{"test.a", "test.z"} {
			if err := c.Release(t.Context(), name); err != nil {
				t.Errorf("releasing %s: %v", name, err)
			}
		}
		call.Reply(control.ClaimResult{Name: "test.m", State: "owner", Epoch: 7, Rev: 7})
		if _, err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(owned) != 1 || !owned["test.m"] {
			t.Errorf("the server has %v of ours, want test.m", owned)
		}
	})
}

// TestReleaseBehindSession releases a name whose session has ended, before the
// Client has had the time to notice: the name is free.
func TestReleaseBehindSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.script = func(c *muxrpc.Call) bool {
			if c.Name() == control.MethodRelease {
				c.Fail(control.ToWire(control.NotOwner))
			}
			return c.Name() == control.MethodRelease
		}
		cfg := f.config()
		connects := 0
		block := make(chan struct{})
		cfg.OnState = func(st client.State) {
			if st.Kind == client.Connected {
				if connects++; connects == 2 {
					<-block
				}
			}
		}
		c := bubbleDial(t, cfg)
		defer c.Close()
		if _, err := c.Claim(t.Context(), "test.behind", client.ClaimOptions{}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			(<-f.conns).conn.Abort()
			time.Sleep(time.Second)
		}
		time.AfterFunc(time.Second, func() { close(block) })
		if err := c.Release(t.Context(), "test.behind"); err != nil {
			t.Error(err)
		}
		wantErr(t, c.Release(t.Context(), "test.behind"), client.NotOwner)
	})
}

// TestUpdateOverReconnect loses the connection with an Update under way: the
// name is claimed again with the new info. One that is refused is forgotten.
func TestUpdateOverReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var mu sync.Mutex // sessions have goroutines of their own
		var infos []string
		updates := 0
		f.script = func(c *muxrpc.Call) bool {
			mu.Lock()
			defer mu.Unlock()
			switch c.Name() {
			case control.MethodClaim:
				var a control.ClaimArgs
				control.Decode(c.Args(), &a)
				infos = append(infos, string(a.Info))
			case control.MethodUpdate:
				switch updates++; updates {
				case 1: // not answered
				case 2:
					c.Reply(control.RevResult{})
				default:
					c.Fail(control.ToWire(control.NotOwner))
				}
				return true
			}
			return false
		}
		c := bubbleDial(t, f.config())
		defer c.Close()
		if _, err := c.Claim(t.Context(), "test.info", client.ClaimOptions{Info: 1}); err != nil {
			t.Fatal(err)
		}
		fc := <-f.conns
		time.AfterFunc(time.Second, func() { fc.conn.Abort() })
		if err := c.Update(t.Context(), "test.info", 2); err != nil {
			t.Fatal(err)
		}
		wantErr(t, c.Update(t.Context(), "test.info", 3), client.NotOwner)
		(<-f.conns).conn.Abort()
		<-f.conns
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"1", "2", "2"}; !slices.Equal(infos, want) {
			t.Errorf("claimed with the infos %q, want %q", infos, want)
		}
	})
}
