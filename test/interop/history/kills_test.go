package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

// never is later than all that happens.
const never = math.MaxInt64 / 2

// peer is one key with one session after the other.
type peer struct {
	t     *testing.T
	h     *host.Host
	key   shs.PrivateKey
	game  uint32
	n     uint8
	life  uint8
	c     *client.Client
	cut   func()    // kills the session: its connection is gone, without a word
	names *sessions // of all
}

// who is the session of now.
func (p *peer) who() who { return who{p.game, p.n, p.life} }

// sessions knows which session is whose.
type sessions struct {
	mu  sync.Mutex
	all map[string]who
}

func (s *sessions) is(id string) who {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[id]
}

// enter begins the next session. A busy machine may need some tries.
func (p *peer) enter() {
	var mu sync.Mutex
	var raw net.Conn
	address := shs.Address{Network: "unix", Addr: p.h.Path(), Key: p.h.Key}
	cfg := client.Config{Address: address.String(), Key: p.key, NoReconnect: true,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			mu.Lock()
			defer mu.Unlock()
			raw = conn
			return conn, err
		}}
	var err error
	for try := 0; try == 0 || err != nil && try < 10; try++ {
		p.c, err = client.Dial(p.t.Context(), cfg)
	}
	if err != nil {
		panic(err) // others wait for this peer
	}
	p.cut = func() {
		mu.Lock()
		defer mu.Unlock()
		raw.Close()
	}
	p.life++
	me, err := p.c.WhoAmI(host.Context(p.t))
	if err != nil {
		p.t.Error(err)
	}
	p.names.mu.Lock()
	defer p.names.mu.Unlock()
	p.names.all[me.Session] = p.who()
}

// history is what some peers did with one name.
type history struct {
	t      *testing.T
	name   string
	began  time.Time
	mu     sync.Mutex
	ops    []porcupine.Operation
	saw    watched
	deaths *atomic.Int64
	fits   *atomic.Int64 // histories that have an order
	dying  sync.WaitGroup
	morgue *morgue
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) note(a act, got answer, from, to int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: int(a.by.peer), Input: a, Call: from, Output: got, Return: to})
}

// play lets a peer do some acts, and die now and then, in the middle of a call as
// often as not.
func (h *history) play(p *peer, r *rand.Rand, acts int) {
	for range acts {
		a := act{call: []string{"claim", "claim", "claim", "release", "get", "get"}[r.IntN(6)], by: p.who()}
		if a.call == "claim" {
			a.queue, a.replace, a.yield = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
		}
		if r.IntN(12) > 0 || p.life == maxLives {
			h.do(p, a)
			continue
		}
		var wg sync.WaitGroup
		wg.Go(func() { h.do(p, a) })
		for range r.IntN(3) * 100 {
			_ = h.now() // a moment
		}
		from := h.now()
		p.cut()
		h.deaths.Add(1)
		h.dying.Go(func() { h.bury(a.by, from) })
		wg.Wait()
		p.c.Close()
		p.enter()
	}
}

// morgue knows which of the sessions that were cut the server has done away with.
type morgue struct {
	admin *client.Client
	names *sessions
	mu    sync.Mutex
	dying map[who]chan struct{} // closed when the server lists it no more
}

// bury waits for the end of a session that was cut. Its death is between the two;
// its key may long be back with another.
func (h *history) bury(w who, from int64) {
	over := make(chan struct{})
	h.morgue.mu.Lock()
	h.morgue.dying[w] = over
	h.morgue.mu.Unlock()
	select {
	case <-over:
	case <-time.After(30 * time.Second):
		h.t.Errorf("a session that was cut lives on")
	}
	h.note(act{call: "death", by: w}, answer{}, from, h.now())
}

// watch looks at the server's sessions until stop is closed.
func (m *morgue) watch(t *testing.T, stop <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		m.mu.Lock()
		looked := maps.Clone(m.dying)
		m.mu.Unlock()
		if len(looked) == 0 {
			continue
		}
		all, err := m.admin.Sessions(host.Context(t))
		if err != nil {
			t.Errorf("the server's sessions: %v", err)
			return
		}
		for _, s := range all {
			delete(looked, m.names.is(s.Session))
		}
		m.mu.Lock()
		for w, over := range looked {
			delete(m.dying, w)
			close(over)
		}
		m.mu.Unlock()
	}
}

// do makes a call and notes its answer. That of a session that dies may be lost.
func (h *history) do(p *peer, a act) {
	var res struct {
		State, Session string
		Epoch, Rev     uint64
	}
	args := map[string]any{"name": h.name + ".x"}
	for word, set := range map[string]bool{"queue": a.queue, "replace": a.replace, "yield": a.yield} {
		if set {
			args[word] = true
		}
	}
	from := h.now()
	err := p.c.Call(host.Context(h.t), "names."+a.call, args, &res)
	to := h.now()
	got := answer{rev: res.Epoch}
	switch said := (*client.Error)(nil); {
	case errors.As(err, &said):
		got = answer{code: said.Code}
	case errors.Is(err, context.DeadlineExceeded):
		h.t.Errorf("%s: %v", a.call, err)
	case err != nil:
		got, to = answer{lost: true}, never
	case a.call == "get":
		got.owner = p.names.is(res.Session)
	case a.call == "release":
		got.rev = res.Rev
	case res.State == "waiting":
		got.waiting = true
	}
	h.note(a, got, from, to)
}

// TestKills lets clients claim, wait for, take over, release and look up names, all
// at once, and die and come back in between: each history fits an order in which
// all happens one after the other. FAULT=full makes 1,014 histories of it, 104
// clients at a time.
func TestKills(t *testing.T) {
	const acts = 12
	batches, abreast := 3, 13
	if os.Getenv("FAULT") == "full" {
		batches = 78
	}
	server := host.Start(t)
	m := &morgue{admin: server.Client(t, "unix", server.Admin), names: &sessions{all: make(map[string]who)}, dying: make(map[who]chan struct{})}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { m.watch(t, stop) })
	defer watching.Wait()
	defer close(stop)
	var deaths, calls, fits atomic.Int64
	began := time.Now()
	for batch := range batches {
		var wg sync.WaitGroup
		var played []*history
		for i := range abreast {
			h := &history{t: t, name: fmt.Sprintf("org.example.b%d.n%d", batch, i), began: began, deaths: &deaths, fits: &fits, morgue: m}
			wg.Go(func() {
				h.run(server, uint32(batch*abreast+i), acts)
				calls.Add(int64(len(h.ops)))
			})
			played = append(played, h)
		}
		wg.Wait()
		for _, h := range played { // not while others play, whose sessions would wait
			h.judge()
		}
		if t.Failed() {
			return
		}
	}
	all := int64(batches * abreast)
	t.Logf("%d histories of %d clients, %d acts, %d deaths among them, in %v: %d have an order",
		all, maxPeers, calls.Load(), deaths.Load(), time.Since(began).Round(time.Second), fits.Load())
	if deaths.Load() == 0 || fits.Load() < all*9/10 {
		t.Error("nobody died, or too little is known")
	}
}

// run plays one history before a watcher. In its end all who live still do, and what
// the dead had is free.
func (h *history) run(server *host.Host, game uint32, acts int) {
	watcher := server.Client(h.t, "unix", shs.GenerateKey())
	defer watcher.Close()
	var wg, ready, done, over sync.WaitGroup
	var saw []client.Event
	ready.Add(maxPeers + 1)
	done.Add(maxPeers)
	over.Add(1)
	wg.Go(func() { saw = h.watch(watcher, ready.Done) })
	for n := range uint8(maxPeers) {
		wg.Go(func() {
			p := &peer{t: h.t, h: server, key: shs.GenerateKey(), game: game, n: n, names: h.morgue.names}
			p.enter()
			ready.Done()
			ready.Wait()
			h.play(p, rand.New(rand.NewPCG(uint64(game), uint64(n))), acts)
			done.Done()
			done.Wait()
			if n == 0 {
				h.dying.Wait()
				h.end(p)
				over.Done()
			}
			over.Wait()
			p.c.Close()
		})
	}
	wg.Wait()
	died := make(map[who]int64)
	for _, op := range h.ops {
		if a := op.Input.(act); a.call == "death" {
			died[a.by] = op.Return
		}
	}
	for i, op := range h.ops {
		at, ok := died[op.Input.(act).by]
		switch {
		case ok && op.Return == never: // done by then, or not at all, as if begun behind it
			h.ops[i].Return = max(at, op.Call)
		case !ok && op.Output.(answer).lost:
			h.t.Errorf("%s: a session ended that nobody cut: %+v", h.name, op.Input)
		}
	}
	for _, ev := range saw {
		s := seen{rev: ev.Rev}
		if ev.Entry != nil {
			s.owner = h.morgue.names.is(ev.Entry.Session)
		}
		h.saw = append(h.saw, s)
	}
}

// end claims the name that ends the watch, when nothing goes on any more.
func (h *history) end(p *peer) {
	from := h.now()
	if _, err := p.c.Claim(host.Context(h.t), h.name+".end", client.ClaimOptions{}); err != nil {
		h.t.Error(err)
	}
	h.note(act{call: "over"}, answer{}, from, never)
}

// watch returns what happens to the name, up to the claim of the last one.
func (h *history) watch(c *client.Client, synced func()) (saw []client.Event) {
	synced = sync.OnceFunc(synced)
	defer synced() // nobody waits for a watch that has failed
	ctx, cancel := context.WithTimeout(h.t.Context(), 10*time.Minute)
	defer cancel()
	for ev, err := range c.Watch(ctx, h.name+".**") {
		switch {
		case err != nil:
			h.t.Errorf("the watch: %v", err)
			return nil
		case ev.Type == client.EventSynced:
			synced()
		case ev.Name == h.name+".end":
			return saw
		default:
			saw = append(saw, ev)
		}
	}
	return saw
}

// judge looks for an order. The picture of a history that has none is kept. A search
// that takes too long says nothing.
func (h *history) judge() {
	first, last := int64(never), int64(0)
	for _, op := range h.ops {
		first, last = min(first, op.Call), max(last, op.Call)
	}
	if last-first > int64(25*time.Second) { // of a replace that is 30 s old the model knows nothing
		return
	}
	m := kills(h.saw)
	res, info := porcupine.CheckOperationsVerbose(m, h.ops, 10*time.Second)
	switch res {
	case porcupine.Ok:
		h.fits.Add(1)
		return
	case porcupine.Unknown:
		return
	}
	path := h.t.ArtifactDir() + "/" + h.name + ".html"
	h.t.Errorf("%s, %d acts: %s; drawn in %s (%v)", h.name, len(h.ops), res, path, porcupine.VisualizePath(m, info, path))
}
