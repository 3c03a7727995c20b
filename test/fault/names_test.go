//go:build fault

package fault_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// crowd is n clients with a key each.
func crowd(t *testing.T, p place, n int) []*client.Client {
	t.Helper()
	all := make([]*client.Client, n)
	for i := range all {
		all[i] = p.client(t, networks()[0])
	}
	return all
}

// F34: 100 clients claim one name at the same moment: one gets it, the others
// are told name_taken, and who watches sees one owner come and go.
func TestF34OneOwner(t *testing.T) {
	_, p := startDaemon(t)
	const name = "org.example.prize"
	clients := crowd(t, p, 100)
	ctx := within(t, 10*time.Minute)
	next := follow(ctx, t, p.client(t, "unix"), name)
	next(client.EventSynced)
	rounds := times(20, 1000)
	for round := range rounds {
		winner, won := race(ctx, t, clients, name)
		me, err := clients[winner].WhoAmI(ctx)
		must(t, err)
		if ev := next(client.EventConnected); ev.Rev != won.Epoch || ev.Entry.ID != me.ID || ev.Entry.Session != me.Session {
			t.Errorf("round %d: event %+v of %+v, want epoch %d of %v", round, ev, ev.Entry, won.Epoch, me.ID)
		}
		must(t, clients[winner].Release(ctx, name))
		if ev := next(client.EventDisconnected); ev.Was.Epoch != won.Epoch {
			t.Errorf("round %d: event %+v, want the end of epoch %d", round, ev, won.Epoch)
		}
	}
	report(t, "F34", "%d rounds of 100 claims at once: one owner and two events each", rounds)
}

// follow watches a name. What it returns waits for the next event, which must be
// of a kind.
func follow(ctx context.Context, t *testing.T, c *client.Client, name string) func(kind string) client.Event {
	events := make(chan client.Event, 100)
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for ev, err := range c.Watch(ctx, name) {
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			events <- ev
		}
	})
	t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
	return func(kind string) client.Event {
		t.Helper()
		select {
		case ev := <-events:
			if ev.Type != kind {
				t.Fatalf("got event %+v, want %s", ev, kind)
			}
			return ev
		case <-ctx.Done():
			t.Fatalf("no event came, want %s", kind)
		}
		return client.Event{}
	}
}

// race lets all clients claim a name at once, and returns the one that got it.
func race(ctx context.Context, t *testing.T, clients []*client.Client, name string) (winner int, won client.Claim) {
	t.Helper()
	var owners atomic.Int64
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			<-start
			res, err := c.Claim(ctx, name, client.ClaimOptions{})
			switch {
			case err == nil && res.State == "owner":
				if owners.Add(1) == 1 {
					winner, won = i, res
				}
			case !errors.Is(err, client.NameTaken):
				t.Errorf("got %+v, %v, want %v", res, err, client.NameTaken)
			}
		})
	}
	close(start)
	wg.Wait()
	if n := owners.Load(); n != 1 {
		t.Fatalf("%d owners", n)
	}
	return winner, won
}

// F36: a caller that has pinned an epoch never reaches the next owner, however
// close the change comes to the call.
func TestF36StaleEpoch(t *testing.T) {
	_, p := startDaemon(t)
	const name = "org.example.pinned"
	ctx := within(t, 10*time.Minute)
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait) // after the clients are closed
	callers := crowd(t, p, 8)
	plugins := crowd(t, p, 2)
	// own claims the name behind its owner and accepts whatever comes to it.
	own := func(c *client.Client) *client.Listener {
		ln, err := c.ListenWith(ctx, name, client.ClaimOptions{Queue: true})
		must(t, err)
		serving.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				conn.Close()
			}
		})
		return ln
	}
	rounds := times(50, 1000)
	now, then := own(plugins[0]), own(plugins[1])
	old := uint64(0)
	var reached, stale int
	for round := range rounds {
		entry, err := callers[round%len(callers)].Lookup(ctx, name)
		must(t, err)
		if entry.Epoch == old {
			t.Fatalf("round %d: epoch %d came twice", round, old)
		}
		won, lost := pinned(ctx, t, callers, name, entry, round, now)
		reached += won
		stale += lost
		if _, err := callers[round%len(callers)].Open(ctx, name, client.OpenOptions{Epoch: entry.Epoch}); !errors.Is(err, client.Stale) {
			t.Errorf("round %d: after the change got %v, want %v", round, err, client.Stale)
		}
		old = entry.Epoch
		plugins[0], plugins[1] = plugins[1], plugins[0]
		now, then = then, own(plugins[1])
	}
	must(t, now.Close())
	must(t, then.Close())
	report(t, "F36", "%d changes of owner in the middle of 8 calls: %d reached the pinned owner, %d were stale, none reached the next", rounds, reached, stale)
}

// pinned calls the owner of entry from all callers at once, and in the middle of
// that, after some have an answer, closes its listener.
func pinned(ctx context.Context, t *testing.T, callers []*client.Client, name string, entry client.Entry, round int, owner *client.Listener) (reached, stale int) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, len(callers))
	right := make([]bool, len(callers))
	answered := make(chan struct{}, len(callers))
	for i, c := range callers {
		wg.Go(func() {
			conn, err := c.Open(ctx, name, client.OpenOptions{Epoch: entry.Epoch})
			answered <- struct{}{}
			if errs[i] = err; err == nil {
				right[i] = conn.RemoteKey() == entry.ID && conn.Info().Epoch == entry.Epoch
				conn.Close()
			}
		})
	}
	for range round % len(callers) {
		<-answered
	}
	must(t, owner.Close())
	wg.Wait()
	for i, err := range errs {
		switch {
		case err == nil && right[i]:
			reached++
		case err == nil:
			t.Errorf("round %d: reached another than the pinned owner", round)
		case errors.Is(err, client.Stale):
			stale++
		case errors.Is(err, client.Refused), errors.Is(err, client.PeerGone), errors.Is(err, client.Busy): // what the old owner made of it
		default:
			t.Errorf("round %d: got %v", round, err)
		}
	}
	return reached, stale
}
