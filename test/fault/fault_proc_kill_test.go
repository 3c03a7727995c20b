//go:build fault

package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// couple is a caller and a callee that reach the server in the same way.
type couple struct {
	name           string // that the callee owns
	caller, callee *client.Client
	calleeKey      shs.PublicKey
	ln             net.Listener
	back           chan struct{} // a token for each login of the callee
}

// newCouple logs both in.
func newCouple(t *testing.T, name string, cfg client.Config, callerKey, calleeKey shs.PrivateKey) *couple {
	t.Helper()
	c := &couple{name: name, calleeKey: calleeKey.Public(), back: make(chan struct{}, 1000)}
	cfg.Key = callerKey
	if cfg.Direct == client.DirectDefault {
		cfg.Direct = client.DirectNever // what does not say so is about the relay
	}
	var err error
	c.caller, err = client.Dial(within(t, 10*time.Second), cfg)
	must(t, err)
	t.Cleanup(func() { c.caller.Close() })
	cfg.Key = calleeKey
	cfg.OnState = func(s client.State) {
		if s.Kind == client.Connected {
			c.back <- struct{}{}
		}
	}
	c.callee, err = client.Dial(within(t, 10*time.Second), cfg)
	must(t, err)
	t.Cleanup(func() { c.callee.Close() })
	<-c.back
	c.ln, err = c.callee.Listen(within(t, 10*time.Second), name)
	must(t, err)
	return c
}

// halves opens n channels and returns both ends of each.
func (c *couple) halves(t *testing.T, n int) (ends [][2]*channel.Conn) {
	t.Helper()
	callers := make([]*channel.Conn, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			callers[i], err = c.caller.Open(within(t, 20*time.Second), c.name, client.OpenOptions{Meta: i})
			if err != nil {
				t.Errorf("opening %s: %v", c.name, err)
			}
		})
	}
	callees := make([]*channel.Conn, n)
	for range n {
		conn, err := c.ln.Accept()
		must(t, err)
		var i int
		must(t, json.Unmarshal(conn.(*channel.Conn).Info().Meta, &i))
		callees[i] = conn.(*channel.Conn)
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for i := range n {
		ends = append(ends, [2]*channel.Conn{callers[i], callees[i]})
	}
	return ends
}

// stream is one direction of one channel of F44.
type stream struct {
	written, received int64
	wrote, read       error     // what ended it
	ended             time.Time // when the reader knew
}

// pump streams both ways through a channel until it breaks: a piece, and all the
// rest when gate is closed.
func pump(wg *sync.WaitGroup, seed int, ends [2]*channel.Conn, begun func(), gate <-chan struct{}) [2]*stream {
	both := [2]*stream{{}, {}}
	for i, s := range both {
		f := flow(2*seed + i)
		wg.Go(func() { s.written, s.wrote = f.send(ends[i], gate) })
		wg.Go(func() {
			s.received, s.read = f.receive(ends[1-i], begun)
			s.ended = time.Now()
		})
	}
	return both
}

// F44: 50 channels stream both ways, in every mode there is, and the server is
// killed. Every end gets an error and never an end of file, what arrived is an
// exact prefix of what was written, and soon after the server is back each name
// is, too, by nobody's doing.
func TestF44ServerKilledMidStream(t *testing.T) {
	rounds := times(10, 200)
	keys := make([]shs.PrivateKey, 10)
	var public []shs.PublicKey
	for i := range keys {
		keys[i] = shs.GenerateKey()
		public = append(public, keys[i].Public())
	}
	d := newDaemon(t, public...)
	d.start()
	var couples []*couple
	for i, cfg := range []client.Config{
		{Address: d.unix(), Mode: client.ModePlain},
		{Address: d.unix(), Mode: client.ModeBox},
		{Address: d.unix(), Mode: client.ModePlain, SingleLane: true},
		{Address: d.unix(), Mode: client.ModeBox, SingleLane: true},
		{Address: d.tcp()},
	} {
		couples = append(couples, newCouple(t, fmt.Sprintf("org.example.mode%d", i), cfg, keys[2*i], keys[2*i+1]))
	}
	var total int64
	var resets, backs []time.Duration
	for range rounds {
		total += killMidStream(t, d, couples, &resets, &backs)
		if t.Failed() {
			return
		}
	}
	reset, _ := slowest(resets)
	back, p99 := slowest(backs)
	if reset > slow*time.Second || p99 > slow*2*time.Second {
		t.Errorf("the last end heard of a kill after %v, want 1 s; all names were back after %v (p99), want 2 s", reset, p99)
	}
	report(t, "F44", "%d kills of the server under 50 channels in 5 modes: %d ends, each an error, 0 clean ends, 0 altered bytes of %d MiB; last end told after %v; names claimed again, restart included, p99 %v, longest %v",
		rounds, rounds*100, total>>20, reset, p99, back)
}

// killMidStream is one round. It returns how many bytes arrived.
func killMidStream(t *testing.T, d *daemon, couples []*couple, resets, backs *[]time.Duration) (total int64) {
	t.Helper()
	const each = 10
	var running, flowing sync.WaitGroup
	gate := make(chan struct{})
	var streams []*stream
	for i, c := range couples {
		for j, ends := range c.halves(t, each) {
			flowing.Add(2)
			s := pump(&running, i*each+j, ends, flowing.Done, gate)
			streams = append(streams, s[0], s[1])
			defer ends[0].Abort()
			defer ends[1].Abort()
		}
	}
	flowing.Wait() // all channels carry something
	close(gate)
	pause := time.NewTimer(rand.N(40 * time.Millisecond))
	<-pause.C
	killed := time.Now()
	d.kill()
	for _, c := range couples {
		for len(c.back) > 0 {
			<-c.back
		}
	}
	over := make(chan struct{})
	go func() { running.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(slow * 5 * time.Second):
		t.Fatal("long after the kill an end still waits")
	}
	last := killed
	for _, s := range streams {
		switch {
		case s.read == io.EOF || s.read == nil:
			t.Errorf("a killed channel ended in order after %d bytes", s.received)
		case errors.Is(s.read, errAltered):
			t.Errorf("after %d bytes: %v", s.received, s.read)
		case s.wrote == nil:
			t.Error("a writer ended without an error")
		case s.received > s.written+16<<10:
			t.Errorf("%d bytes arrived of %d that were written", s.received, s.written)
		}
		total += s.received
		if s.ended.After(last) {
			last = s.ended
		}
	}
	*resets = append(*resets, last.Sub(killed))

	d.start()
	for _, c := range couples {
		select {
		case <-c.back:
		case <-time.After(slow * 10 * time.Second):
			t.Fatalf("%s: not logged in again", c.name)
		}
		e, err := c.caller.Lookup(within(t, 10*time.Second), c.name)
		if err != nil || e.ID != c.calleeKey {
			t.Fatalf("%s after the restart: got %+v, %v", c.name, e, err)
		}
	}
	*backs = append(*backs, time.Since(killed))
	return total
}

// watcher counts what happens to one name.
type watcher struct {
	came, went chan time.Time
	others     atomic.Int64 // events of any other kind
}

func watch(t *testing.T, c *client.Client, name string) *watcher {
	t.Helper()
	w := &watcher{came: make(chan time.Time, 10), went: make(chan time.Time, 10)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	synced := make(chan struct{})
	wg.Go(func() {
		for ev, err := range c.Watch(ctx, name) {
			switch {
			case err != nil:
				return
			case ev.Type == client.EventSynced:
				close(synced)
			case ev.Type == client.EventConnected:
				w.came <- time.Now()
			case ev.Type == client.EventDisconnected:
				w.went <- time.Now()
			default:
				w.others.Add(1)
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	<-synced
	return w
}

// next waits for the one event that is due, and fails if there was another.
func (w *watcher) next(t *testing.T, due, undue chan time.Time, what string) time.Time {
	t.Helper()
	select {
	case at := <-due:
		if len(due)+len(undue) > 0 || w.others.Load() > 0 {
			t.Fatalf("there was more than one event when the plugin %s", what)
		}
		return at
	case <-time.After(slow * 10 * time.Second):
		t.Fatalf("no event when the plugin %s", what)
	}
	return time.Time{}
}
