//go:build fault

package fault_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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
	events := make(chan client.Event, 100)
	var watching sync.WaitGroup
	stop, cancel := context.WithCancel(ctx)
	watching.Go(func() {
		for ev, err := range p.client(t, "unix").Watch(stop, name) {
			if err != nil {
				if stop.Err() == nil {
					t.Error(err)
				}
				return
			}
			events <- ev
		}
	})
	defer watching.Wait()
	defer cancel()
	next := func(kind string) client.Event {
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
	next(client.EventSynced)
	rounds := times(20, 1000)
	for round := range rounds {
		var owners atomic.Int64
		var won client.Claim
		winner := -1
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
					t.Errorf("round %d: got %+v, %v, want %v", round, res, err, client.NameTaken)
				}
			})
		}
		close(start)
		wg.Wait()
		if n := owners.Load(); n != 1 {
			t.Fatalf("round %d: %d owners", round, n)
		}
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
		var wg sync.WaitGroup
		results := make([]error, len(callers))
		keys := make([]bool, len(results))
		answered := make(chan struct{}, len(results))
		for i := range results {
			wg.Go(func() {
				conn, err := callers[i].Open(ctx, name, client.OpenOptions{Epoch: entry.Epoch})
				answered <- struct{}{}
				if results[i] = err; err == nil {
					keys[i] = conn.RemoteKey() == entry.ID && conn.Info().Epoch == entry.Epoch
					conn.Close()
				}
			})
		}
		for range round % len(results) {
			<-answered
		}
		must(t, now.Close()) // in the middle of these
		wg.Wait()
		for i, err := range results {
			switch {
			case err == nil && keys[i]:
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

// F40: 100 watchers and 10,000 changes: each watcher sees every change after
// its snapshot once, in order, and never a state that the registry was not in;
// or it is told that it lagged, and begins anew.
func TestF40Watchers(t *testing.T) {
	_, p := startDaemon(t)
	const claimers, watchersEach = 10, 10
	changes := times(6_000, 10_000)
	ctx := within(t, 10*time.Minute)
	var watchers []*replica
	var watching, started sync.WaitGroup
	for _, c := range crowd(t, p, 10) {
		for range watchersEach {
			w := &replica{}
			watchers = append(watchers, w)
			started.Add(1)
			watching.Go(func() { w.run(ctx, t, c, started.Done) })
		}
	}
	made := make(chan struct{})
	slow := &replica{block: made} // it is behind by all the changes, and must be told
	watchers = append(watchers, slow)
	started.Add(1)
	sleeper := p.client(t, "unix")
	watching.Go(func() { slow.run(ctx, t, sleeper, started.Done) })
	started.Wait()

	var mu sync.Mutex
	var all []change
	var claiming sync.WaitGroup
	for i, c := range crowd(t, p, claimers) {
		claiming.Go(func() {
			for n := range changes / 2 / claimers {
				name := fmt.Sprintf("org.example.c%d.n%d", i%5, n%7) // some are fought for
				mine, err := claimRelease(ctx, c, name)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				all = append(all, mine...)
				mu.Unlock()
			}
		})
	}
	claiming.Wait()
	last := p.client(t, "unix")
	end, err := last.Claim(ctx, "org.example.end", client.ClaimOptions{})
	must(t, err)
	close(made)
	all = append(all, change{end.Rev, true, end.Name})
	slices.SortFunc(all, func(a, b change) int { return cmp.Compare(a.rev, b.rev) })
	watching.Wait()
	lagged := 0
	for i, w := range watchers {
		lagged += w.lags
		w.judge(t, i, all)
	}
	if slow.lags == 0 {
		t.Error("who did not read was not told that it lagged")
	}
	report(t, "F40", "%d changes, %d watchers, one of them asleep: no gap, no repeat, order kept; %d told that they lagged", len(all), len(watchers), lagged)
}

// change is one change of the registry.
type change struct {
	rev       uint64
	connected bool
	name      string
}

// claimRelease claims a name and, if it got it, gives it up. It returns what
// the server said it changed.
func claimRelease(ctx context.Context, c *client.Client, name string) ([]change, error) {
	args := map[string]string{"name": name}
	var claim, release client.Claim
	if err := c.Call(ctx, "names.claim", args, &claim); err != nil {
		if errors.Is(err, client.NameTaken) {
			return nil, nil
		}
		return nil, err
	}
	if err := c.Call(ctx, "names.release", args, &release); err != nil {
		return nil, err
	}
	return []change{{claim.Rev, true, name}, {release.Rev, false, name}}, nil
}

// replica applies what it is told, and keeps it from its last snapshot on.
type replica struct {
	from  uint64 // the rev of the snapshot
	seen  []change
	state map[string]bool
	lags  int
	wrong string          // the first thing that was
	block <-chan struct{} // not nil: it sleeps behind its snapshot until this is closed
}

func (w *replica) run(ctx context.Context, t *testing.T, c *client.Client, started func()) {
	w.state = make(map[string]bool)
	synced := false
	for ev, err := range c.Watch(ctx, "") {
		if err != nil {
			t.Errorf("a watch ended: %v", err)
			if !synced {
				started()
			}
			return
		}
		switch ev.Type {
		case client.EventLagged:
			w.lags++
			w.seen, w.from, w.state = nil, 0, make(map[string]bool)
		case client.EventSynced:
			w.from = ev.Rev
			if !synced {
				started()
			}
			synced = true
			if w.block != nil {
				<-w.block
			}
		case client.EventConnected:
			w.note(ev, !w.state[ev.Name])
			w.state[ev.Name] = true
		case client.EventDisconnected:
			w.note(ev, w.state[ev.Name])
			delete(w.state, ev.Name)
		default:
			w.note(ev, false) // nobody moves or updates anything here
		}
		if w.from > 0 && w.state["org.example.end"] {
			return
		}
	}
}

// note keeps a change behind the snapshot; fits says whether it was possible.
func (w *replica) note(ev client.Event, fits bool) {
	if !fits && w.wrong == "" {
		w.wrong = fmt.Sprintf("%s %s at %d does not follow from what came before", ev.Type, ev.Name, ev.Rev)
	}
	if w.from > 0 {
		w.seen = append(w.seen, change{ev.Rev, ev.Type == client.EventConnected, ev.Name})
	}
}

// judge compares with all changes that were made.
func (w *replica) judge(t *testing.T, i int, made []change) {
	if w.wrong != "" {
		t.Errorf("watcher %d: %s", i, w.wrong)
	}
	for len(made) > 0 && made[0].rev <= w.from {
		made = made[1:]
	}
	if !slices.Equal(w.seen, made) {
		t.Errorf("watcher %d saw %d changes after its snapshot, want %d: the same", i, len(w.seen), len(made))
	}
}
