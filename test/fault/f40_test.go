//go:build fault

package fault_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// stretch is what a watcher saw from one snapshot to the next, or to its end.
type stretch struct {
	watcher int
	from    uint64 // the rev of the snapshot; 0: it has not come to its end
	names   map[string]bool
	last    uint64 // the rev of the last change
	n       int    // changes
	sum     uint64 // of all of them, in their order
	wrong   string
}

// add takes a change into the sum.
func (s *stretch) add(seed maphash.Seed, c change) {
	s.last, s.n = c.rev, s.n+1
	s.sum = s.sum*0x9e3779b97f4a7c15 + maphash.Comparable(seed, c)
}

// follower replays a watch, as often as it must begin anew.
type follower struct {
	i             int
	seed          maphash.Seed
	past          []stretch
	now           stretch
	lagged, ended int
}

func (f *follower) begin() {
	if f.now.from > 0 {
		f.past = append(f.past, f.now)
	}
	f.now = stretch{watcher: f.i, names: make(map[string]bool)}
}

// run watches until it hears of the last name. A watch that has lagged too often is
// ended by the server, and begun again.
func (f *follower) run(ctx context.Context, t *testing.T, c *client.Client, synced func()) {
	synced = sync.OnceFunc(synced)
	defer synced()
	for {
		f.begin()
		var end error
		for ev, err := range c.Watch(ctx, "") {
			if end = err; err != nil {
				break
			}
			f.apply(ev)
			if f.now.from == 0 {
				continue
			}
			synced()
			if f.now.names[lastName] || f.now.last > 0 && ev.Name == lastName {
				f.begin()
				return
			}
		}
		if !errors.Is(end, client.Quota) {
			t.Errorf("watcher %d ended with %v", f.i, end)
			return
		}
		f.ended++
	}
}

func (f *follower) apply(ev client.Event) {
	s := &f.now
	switch {
	case ev.Type == client.EventLagged:
		f.lagged++
		f.begin()
	case ev.Type == client.EventSynced:
		s.from = ev.Rev
	case s.from == 0 && ev.Type == client.EventConnected:
		if s.names[ev.Name] {
			s.wrong = ev.Name + " comes twice in a snapshot"
		}
		s.names[ev.Name] = true
	case s.from == 0 || ev.Type != client.EventConnected && ev.Type != client.EventDisconnected:
		s.wrong = fmt.Sprintf("%s %s at %d", ev.Type, ev.Name, ev.Rev)
	default:
		s.add(f.seed, change{ev.Rev, ev.Type == client.EventConnected, ev.Name})
	}
}

// lastName is the last that is claimed.
const lastName = "org.example.end"

// F40: 10,000 changes a second before 100 watchers. What each was told is replayed
// against the registry: every snapshot is the state at its rev, and behind it every
// change comes once, in order, up to the end or to a lagged, never with a gap.
func TestF40Pace(t *testing.T) {
	const watchers, rate = 100, 10_000
	_, p := startDaemon(t)
	length := time.Duration(times(3, 60)) * time.Second
	ctx := within(t, 15*time.Minute)
	seed := maphash.MakeSeed()
	var all []*follower
	var watching, synced sync.WaitGroup
	for i, c := range crowd(t, p, watchers/10) {
		for j := range 10 {
			f := &follower{i: 10*i + j, seed: seed}
			all = append(all, f)
			synced.Add(1)
			watching.Go(func() { f.run(ctx, t, c, synced.Done) })
		}
	}
	synced.Wait()
	began := time.Now()
	made := atPace(ctx, t, p, rate, length)
	took := time.Since(began)
	watching.Wait()
	var stretches []stretch
	lagged, ended := 0, 0
	for _, f := range all {
		stretches, lagged, ended = append(stretches, f.past...), lagged+f.lagged, ended+f.ended
	}
	checked := replay(t, seed, made, stretches)
	if checked == 0 {
		t.Errorf("%d changes, %d events checked", len(made), checked)
	}
	report(t, "F40", "%d changes in %v (%.0f a second of %d wanted) before %d watchers: %d events and %d snapshots agree with the registry, no gap; told %d times that they lagged, %d watches ended for it",
		len(made), took.Round(100*time.Millisecond), float64(len(made))/took.Seconds(), rate, watchers, checked, len(stretches), lagged, ended)
}

// atPace claims and releases names at a rate, as far as the server keeps up, then
// claims the last one. It returns all changes in order.
func atPace(ctx context.Context, t *testing.T, p place, rate int, length time.Duration) (all []change) {
	const keys, abreast = 10, 6 // calls at once of each key
	every := time.Duration(2*keys*abreast) * time.Second / time.Duration(rate)
	var mu sync.Mutex
	var claiming sync.WaitGroup
	began := time.Now()
	for i, c := range crowd(t, p, keys) {
		for j := range abreast {
			claiming.Go(func() {
				var mine []change
				name := fmt.Sprintf("org.example.c%d.n%d", i, j)
				if j == 0 {
					name = fmt.Sprintf("org.example.c%d", i/2) // two keys fight for it
				}
				for due := began; time.Since(began) < length; due = due.Add(every) {
					if wait := time.Until(due); wait > 0 {
						<-time.After(wait)
					}
					got, err := claimRelease(ctx, c, name, "")
					if err != nil {
						t.Error(err)
						break
					}
					mine = append(mine, got...)
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, mine...)
			})
		}
	}
	claiming.Wait()
	end, err := p.client(t, "unix").Claim(ctx, lastName, client.ClaimOptions{})
	must(t, err)
	all = append(all, change{end.Rev, true, end.Name})
	slices.SortFunc(all, func(a, b change) int { return cmp.Compare(a.rev, b.rev) })
	return all
}

// replay goes through all changes once, and compares each stretch with them. It
// returns how many events agree.
func replay(t *testing.T, seed maphash.Seed, made []change, stretches []stretch) (checked int) {
	slices.SortFunc(stretches, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	state := make(map[string]bool)
	at := 0 // changes that are in state
	for _, s := range stretches {
		for ; at < len(made) && made[at].rev <= s.from; at++ {
			if made[at].connected {
				state[made[at].name] = true
			} else {
				delete(state, made[at].name)
			}
		}
		want := stretch{}
		for i := at; i < len(made) && made[i].rev <= s.last; i++ {
			want.add(seed, made[i])
		}
		switch {
		case s.wrong != "":
			t.Errorf("watcher %d: %s", s.watcher, s.wrong)
		case !maps.Equal(s.names, state):
			t.Errorf("watcher %d: the snapshot at %d holds %s, want %s", s.watcher, s.from, sorted(s.names), sorted(state))
		case s.n != want.n || s.sum != want.sum:
			t.Errorf("watcher %d: %d changes after %d up to %d, want %d, or they differ", s.watcher, s.n, s.from, s.last, want.n)
		default:
			checked += s.n
		}
	}
	return checked
}

func sorted(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), " ") }
