//go:build fault

package fault_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// F40: 100 watchers and 10,000 changes: each watcher sees every change after
// its snapshot once, in order, and never a state that the registry was not in;
// or it is told that it lagged, and begins anew.
func TestF40Watchers(t *testing.T) {
	_, p := startDaemon(t)
	const claimers, watchersEach = 10, 10
	changes := times(2_000, 11_500)
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
	started.Wait()
	all, _ := churn(ctx, t, p, claimers, changes, "")
	watching.Wait()
	lagged := 0
	for i, w := range watchers {
		lagged += w.lags
		w.judge(t, i, all)
	}
	report(t, "F40", "%d changes, %d watchers: no gap, no repeat, order kept; %d told that they lagged", len(all), len(watchers), lagged)
}

// F40, the second half: who reads nothing for a while is told that it lagged,
// and knows the registry again after the snapshot that follows.
func TestF40Sleeper(t *testing.T) {
	_, p := startDaemon(t)
	ctx := within(t, 10*time.Minute)
	var watching, started sync.WaitGroup
	slow, made := &replica{}, make(chan struct{})
	started.Add(1)
	watching.Go(func() { slow.sleep(t, p, made, started.Done) })
	started.Wait()
	// Large enough for nobody to sleep on all the buffers on the way.
	all, _ := churn(ctx, t, p, 2, 4000, strings.Repeat("i", 4000))
	close(made)
	watching.Wait()
	slow.judge(t, 0, all)
	if slow.lags == 0 {
		t.Error("who did not read was not told that it lagged")
	}
	report(t, "F40", "%d changes of 4 KB past a sleeping watcher: told %d times that it lagged, right again after the snapshot", len(all), slow.lags)
}

// churn claims and releases names, some of them fought for, then claims the
// last one. It returns all changes in order, and who owns the last name.
func churn(ctx context.Context, t *testing.T, p place, claimers, changes int, info string) (all []change, owner *client.Client) {
	var mu sync.Mutex
	var claiming sync.WaitGroup
	for i, c := range crowd(t, p, claimers) {
		claiming.Go(func() {
			defer c.Close()
			for n := range changes / 2 / claimers {
				mine, err := claimRelease(ctx, c, fmt.Sprintf("org.example.c%d.n%d", i/2, n%7), info)
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
	owner = p.client(t, "unix")
	end, err := owner.Claim(ctx, "org.example.end", client.ClaimOptions{})
	must(t, err)
	all = append(all, change{end.Rev, true, end.Name})
	slices.SortFunc(all, func(a, b change) int { return cmp.Compare(a.rev, b.rev) })
	return all, owner
}

// change is one change of the registry.
type change struct {
	rev       uint64
	connected bool
	name      string
}

// claimRelease claims a name and, if it got it, gives it up. It returns what
// the server said it changed.
func claimRelease(ctx context.Context, c *client.Client, name, info string) ([]change, error) {
	args := map[string]string{"name": name, "info": info}
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
	wrong string // the first thing that was

	others string // a name whose changes are not looked at; "" is none
}

// run applies what our client's watch yields.
func (w *replica) run(ctx context.Context, t *testing.T, c *client.Client, started func()) {
	begun := sync.OnceFunc(started)
	defer begun()
	w.state = make(map[string]bool)
	for ev, err := range c.Watch(ctx, "") {
		if err != nil {
			t.Errorf("a watch ended: %v", err)
			return
		}
		over := w.apply(ev)
		if w.from > 0 {
			begun()
		}
		if over {
			return
		}
	}
}

// sleep applies what the server sends to a peer that after its snapshot reads
// nothing until woken, or for 8 s: longer, and it would be dropped. Our client
// could not be made to: it reads for who does not.
func (w *replica) sleep(t *testing.T, p place, woken <-chan struct{}, started func()) {
	begun := sync.OnceFunc(started)
	defer begun()
	w.state = make(map[string]bool)
	m := mux.Client(p.enter(t), mux.Config{})
	defer m.Close()
	lane, err := m.Open(t.Context())
	if err == nil {
		err = muxrpc.WritePacket(lane, muxrpc.Packet{Flags: 0x0a, Req: 1, Body: []byte(`{"name":["names","watch"],"args":[{}],"type":"source"}`)})
	}
	var nap sync.Once
	for over := false; err == nil && !over; {
		var packet muxrpc.Packet
		var ev client.Event
		if packet, err = muxrpc.ReadPacket(lane, 1<<20); err == nil {
			err = json.Unmarshal(packet.Body, &ev)
		}
		if err == nil {
			over = w.apply(ev)
		}
		if w.from > 0 {
			nap.Do(func() {
				begun()
				select {
				case <-woken:
				case <-time.After(8 * time.Second):
				}
			})
		}
	}
	if err != nil {
		t.Errorf("the watch of the sleeper ended: %v", err)
	}
}

// apply makes the change of one event, and says whether it was the last.
func (w *replica) apply(ev client.Event) (over bool) {
	if ev.Name != "" && ev.Name == w.others {
		return false
	}
	switch ev.Type {
	case client.EventLagged:
		w.lags++
		w.seen, w.from, w.state = nil, 0, make(map[string]bool)
	case client.EventSynced:
		w.from = ev.Rev
	case client.EventConnected:
		w.note(ev, !w.state[ev.Name])
		w.state[ev.Name] = true
	case client.EventDisconnected:
		w.note(ev, w.state[ev.Name])
		delete(w.state, ev.Name)
	default:
		w.note(ev, false) // nobody moves or updates anything here
	}
	return w.from > 0 && w.state["org.example.end"]
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
