//go:build fault

package fault_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// lastName is the last that is claimed.
const lastName = "org.example.end"

// F40: 10,000 changes a second before 100 watchers. What each was told is replayed
// against the registry: every snapshot is the state at its rev, and behind it every
// change comes once, in order, up to the end or to a lagged, never with a gap. The
// watchers are a process that takes what time the others leave.
func TestF40Pace(t *testing.T) {
	const clients, each, rate = 10, 10, 10_000
	d, p := startDaemon(t)
	length := time.Duration(times(3, 60)) * time.Second
	ctx := within(t, 15*time.Minute)
	watched := watchAside(t, watchersPart{Address: d.unix(), Clients: clients, Each: each, Last: lastName}, 10, 15*time.Minute)
	began := time.Now()
	made := atPace(ctx, t, p, rate, length)
	took := time.Since(began)
	var stretches []stretch
	lagged, ended := 0, 0
	for _, f := range watched() {
		if f.Err != "" || f.Resumed > 0 {
			t.Errorf("watcher %d: cut %d times; %s", f.Watcher, f.Resumed, f.Err)
		}
		stretches, lagged, ended = append(stretches, f.Past...), lagged+f.Lagged, ended+f.Ended
	}
	checked := replay(t, made, stretches)
	if checked == 0 {
		t.Errorf("%d changes, %d events checked", len(made), checked)
	}
	report(t, "F40", "%d changes in %v (%.0f a second of %d wanted) before %d watchers: %d events and %d snapshots agree with the registry, no gap; told %d times that they lagged, %d watches ended for it",
		len(made), took.Round(100*time.Millisecond), float64(len(made))/took.Seconds(), rate, clients*each, checked, len(stretches), lagged, ended)
}

// atPace claims and releases names at a rate, as far as the server keeps up, then
// claims the last one. It returns all changes in order.
func atPace(ctx context.Context, t *testing.T, p place, rate int, length time.Duration) (all []change) {
	const keys, abreast = 10, 6 // calls at once of each key
	// Of two who fight for a name up to one gets none: a twelfth of all calls.
	every := time.Duration(2*keys*abreast) * time.Second * 11 / time.Duration(12*rate)
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
func replay(t *testing.T, made []change, stretches []stretch) (checked int) {
	slices.SortFunc(stretches, func(a, b stretch) int { return cmp.Compare(a.From, b.From) })
	state := make(map[string]bool)
	at := 0 // changes that are in state
	for _, s := range stretches {
		for ; at < len(made) && made[at].rev <= s.From; at++ {
			if made[at].connected {
				state[made[at].name] = true
			} else {
				delete(state, made[at].name)
			}
		}
		want := stretch{}
		for i := at; i < len(made) && made[i].rev <= s.Last; i++ {
			want.add(made[i])
		}
		switch {
		case s.Wrong != "":
			t.Errorf("watcher %d: %s", s.Watcher, s.Wrong)
		case !maps.Equal(s.Names, state):
			t.Errorf("watcher %d: the snapshot at %d holds %s, want %s", s.Watcher, s.From, sorted(s.Names), sorted(state))
		case s.N != want.N || s.Sum != want.Sum:
			t.Errorf("watcher %d: %d changes after %d up to %d, want %d, or they differ", s.Watcher, s.N, s.From, s.Last, want.N)
		default:
			checked += s.N
		}
	}
	return checked
}

func sorted(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), " ") }
