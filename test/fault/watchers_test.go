//go:build fault

package fault_test

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// A process of watchers: what it takes to keep up with changes it takes from nobody
// else, and what it has seen it sums up.

// watchersEnv is set, to a watchersPart, for a process of the test's own program that
// is to watch.
const watchersEnv = "SWITCHBOARD_FAULT_WATCHERS"

// watchersPart says what a process of watchers is to do: each of its clients watches
// all names several times, until it hears of the last.
type watchersPart struct {
	Address       string
	Clients, Each int
	Last          string
}

// stretch is what a watcher saw from one snapshot to the next, or to its end.
type stretch struct {
	Watcher int
	From    uint64 // the rev of the snapshot; 0: it has not come to its end
	Names   map[string]bool
	Last    uint64 // the rev of the last change
	N       int    // changes
	Sum     uint64 // of all of them, in their order
	Wrong   string
}

// add takes a change into the sum.
func (s *stretch) add(c change) {
	h := fnv.New64a()
	fmt.Fprintln(h, c.rev, c.connected, c.name)
	s.Last, s.N = c.rev, s.N+1
	s.Sum = s.Sum*0x9e3779b97f4a7c15 + h.Sum64()
}

// follower replays a watch, as often as it must begin anew.
type follower struct {
	Watcher int
	Past    []stretch
	Lagged  int // times that it was told so
	Ended   int // times that the server ended it for that
	Resumed int // times that it was cut, and went on
	Err     string

	now stretch
}

func (f *follower) begin() {
	if f.now.From > 0 {
		f.Past = append(f.Past, f.now)
	}
	f.now = stretch{Watcher: f.Watcher, Names: make(map[string]bool)}
}

// run watches until it hears of the last name. A watch that has lagged too often is
// ended by the server, and begun again.
func (f *follower) run(ctx context.Context, c *client.Client, last string, synced func()) {
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
			if f.now.From == 0 {
				continue
			}
			synced()
			if f.now.Names[last] || f.now.Last > 0 && ev.Name == last {
				f.begin()
				return
			}
		}
		if !errors.Is(end, client.Quota) {
			f.Err = fmt.Sprint("ended with ", end)
			return
		}
		f.Ended++
	}
}

func (f *follower) apply(ev client.Event) {
	s := &f.now
	switch {
	case ev.Type == client.EventLagged:
		f.Lagged++
		f.begin()
	case ev.Type == client.EventSynced && s.From > 0:
		f.Resumed++
	case ev.Type == client.EventSynced:
		s.From = ev.Rev
	case s.From == 0 && ev.Type == client.EventConnected:
		if s.Names[ev.Name] {
			s.Wrong = ev.Name + " comes twice in a snapshot"
		}
		s.Names[ev.Name] = true
	case s.From == 0 || ev.Type != client.EventConnected && ev.Type != client.EventDisconnected:
		s.Wrong = fmt.Sprintf("%s %s at %d", ev.Type, ev.Name, ev.Rev)
	default:
		s.add(change{ev.Rev, ev.Type == client.EventConnected, ev.Name})
	}
}

// beWatchers is the process. It writes one byte when every watcher has its snapshot,
// and at the end a gob of all followers.
func beWatchers(part string) error {
	var p watchersPart
	if err := json.Unmarshal([]byte(part), &p); err != nil {
		return err
	}
	ctx := context.Background() // who has started the process ends it
	var all []*follower
	var watching, synced sync.WaitGroup
	for range p.Clients {
		c, err := client.Dial(ctx, client.Config{Address: p.Address, Key: shs.GenerateKey()})
		if err != nil {
			return err
		}
		defer c.Close()
		for range p.Each {
			f := &follower{Watcher: len(all)}
			all = append(all, f)
			synced.Add(1)
			watching.Go(func() { f.run(ctx, c, p.Last, synced.Done) })
		}
	}
	synced.Wait()
	if _, err := os.Stdout.Write([]byte{1}); err != nil {
		return err
	}
	watching.Wait()
	return gob.NewEncoder(os.Stdout).Encode(all)
}

// watchAside starts a process of watchers that yields to others by so much, and returns
// when all have their snapshot. What it returns waits for their ends.
func watchAside(t *testing.T, part watchersPart, nice int, most time.Duration) (end func() []*follower) {
	t.Helper()
	text, err := json.Marshal(part)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(within(t, most), "nice", "-n", strconv.Itoa(nice), self)
	cmd.Env = append(os.Environ(), watchersEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	ended := sync.OnceValue(cmd.Wait)
	t.Cleanup(func() {
		cmd.Process.Kill()
		_ = ended() // said below, if anybody waited for it
	})
	_, err = io.ReadFull(out, make([]byte, 1))
	must(t, err)
	return func() (all []*follower) {
		t.Helper()
		must(t, gob.NewDecoder(out).Decode(&all))
		must(t, ended())
		return all
	}
}
