//go:build fault

package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// manner is how the channels of one caller and one plugin process are made.
type manner struct {
	name        string
	callee, far bool // over TCP: the callee, the caller
	mode        client.Mode
	single      bool
	direct      client.Direct
	sealed      bool
}

// manners are those of TestIntegrity, each with as many channels.
func manners() []manner {
	return []manner{
		{name: "plain-auto", mode: client.ModePlain, direct: client.DirectAuto},
		{name: "box-auto", mode: client.ModeBox, direct: client.DirectAuto},
		{name: "plain-require", mode: client.ModePlain, direct: client.DirectRequire},
		{name: "plain-relayed", mode: client.ModePlain, direct: client.DirectNever},
		{name: "box-single", mode: client.ModeBox, single: true, direct: client.DirectAuto},
		{name: "tcp-auto", callee: true, far: true, direct: client.DirectAuto},
		{name: "tcp-require", callee: true, far: true, direct: client.DirectRequire},
		{name: "mixed", far: true, direct: client.DirectAuto}, // on one machine there is no link for them
		{name: "sealed-auto", direct: client.DirectAuto, sealed: true},
		{name: "sealed-tcp", callee: true, far: true, direct: client.DirectRequire, sealed: true},
	}
}

// goal is when a run of TestIntegrity has done enough.
type goal struct {
	each         int // channels of a manner at a time
	most         int64
	moves, bytes int64
	kills        int
	time         time.Duration // or, at the latest
	every        time.Duration // a kill, on average
}

// integrityGoal is the short form's, or the catalogue's.
func integrityGoal() goal {
	if times(0, 1) == 0 {
		return goal{each: 20, most: 512 << 10, moves: 1 << 40, bytes: 1 << 40, kills: 1 << 40, time: 25 * time.Second, every: 400 * time.Millisecond}
	}
	return goal{each: 20, most: 2 << 20, moves: 200 * 50, bytes: 10 << 30, kills: 500, time: 50 * time.Minute, every: time.Second}
}

// Integrity: 200 channels at a time stream both ways, in every manner there is,
// and move to direct links, while servers, plugins and links are killed at
// random. What is read is an exact prefix, an end of file stands only behind all
// of it, nobody waits for ever, and a channel that nothing has happened to goes
// on. At the end no books, files, goroutines or descriptors are left.
func TestIntegrity(t *testing.T) {
	seed, _ := faultSeed(t)
	t.Logf("FAULT_SEED=%d", seed)
	base := measure(t)
	w := newArena(t, seed, integrityGoal())
	w.run()
	took := time.Since(w.began)
	manners, each := len(w.couples), w.goal.each
	leftOver := w.end()
	now := settle(t, base, 16<<20)
	if w.moved.Load() == 0 || w.lost.Load() == 0 && w.kills[2] > 10 {
		t.Errorf("%d channels moved, %d kills of links cut %d: the test tests nothing", w.moved.Load(), w.kills[2], w.lost.Load())
	}
	report(t, "integrity", "%d channels at a time in %d manners, %d in all, %d moved; %d kills of the server, %d of plugins, %d of links; %s in %v: %d directions whole, %d channels cut, each an exact prefix and an error, %d of them by a link; %s; goroutines %d, at the start %d; descriptors %d, at the start %d",
		manners*each, manners, w.opened.Load(), w.moved.Load(), w.kills[0], w.kills[1], w.kills[2],
		mib(w.bytes.Load()), took.Round(time.Second), w.whole.Load(), w.cut.Load(), w.lost.Load(), leftOver, now.goroutines, base.goroutines, now.fds, base.fds)
}

// arena is one run.
type arena struct {
	t       *testing.T
	seed    uint64
	goal    goal
	began   time.Time
	d       *daemon
	dir     string
	couples []*pairing
	done    atomic.Bool
	kills   [3]int // of the server, plugins, links

	opened, moved, bytes, whole, cut, lost atomic.Int64

	mu      sync.Mutex
	live    map[*running]struct{} // guarded by mu
	reasons map[string]int        // of what went wrong, how often; guarded by mu
	killing bool                  // the server, right now; guarded by mu
}

// pairing is a caller in this process and a plugin process.
type pairing struct {
	w *arena
	manner
	part   part
	caller []*client.Client // auto: one for each channel, for a key may only make so many attempts
	proc   *helper          // nil while it is dead
	born   int              // processes so far
	dying  bool             // proc is being killed; guarded by arena.mu

	opened, moved atomic.Int64

	mu        sync.Mutex
	linkKills int // guarded by mu
	lost      int // channels cut, and only a link may have been the cause
}

// running is a channel, as its caller sees it.
type running struct {
	p      *pairing
	conn   atomic.Pointer[channel.Conn] // nil until it is open
	doomed bool                         // a kill may end it; guarded by arena.mu
	spared bool                         // the kill under way may not; guarded by arena.mu
}

func newArena(t *testing.T, seed uint64, g goal) *arena {
	w := &arena{t: t, seed: seed, goal: g, dir: room(t), live: make(map[*running]struct{}), reasons: make(map[string]int)}
	var callers [][]shs.PrivateKey
	var public []shs.PublicKey
	for _, m := range manners() {
		p := &pairing{w: w, manner: m, part: part{Seed: someSeed(), Name: "org.example." + m.name, Mode: m.mode, SingleLane: m.single}}
		w.couples = append(w.couples, p)
		public = append(public, shs.NewPrivateKey(p.part.Seed).Public())
		var keys []shs.PrivateKey
		for len(keys) == 0 || m.direct == client.DirectAuto && !m.single && len(keys) < g.each {
			keys = append(keys, shs.GenerateKey())
			public = append(public, keys[len(keys)-1].Public())
		}
		callers = append(callers, keys)
	}
	w.d = newDaemon(t, public...)
	w.d.start()
	port, err := strconv.Atoi(w.d.port)
	must(t, err)
	for i, p := range w.couples {
		p.part.Address, p.part.ServerPort = w.address(p.callee), port
		for _, key := range callers[i] {
			c, err := dialUntil(t.Context(), client.Config{Address: w.address(p.far), Key: key, Mode: p.mode, SingleLane: p.single, Log: integrityLog()})
			must(t, err)
			p.caller = append(p.caller, c)
		}
		p.start()
	}
	w.began = time.Now()
	return w
}

// integrityLog goes to standard error if FAULT_LOG is set.
func integrityLog() *slog.Logger {
	if os.Getenv("FAULT_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (w *arena) address(far bool) string {
	if far {
		return w.d.tcp()
	}
	return w.d.unix()
}

// start starts the plugin process.
func (p *pairing) start() {
	p.born++
	proc, err := startPlugin(p.w.t, p.part, fmt.Sprintf("%s/%s%d", p.w.dir, p.name, p.born))
	must(p.w.t, err)
	p.proc = proc
}

// run streams and kills until the goal is reached.
func (w *arena) run() {
	var wg sync.WaitGroup
	for i, p := range w.couples {
		for j := range w.goal.each {
			wg.Go(func() { w.slot(p, uint64(i*w.goal.each+j)) })
		}
	}
	w.killer(rand.New(rand.NewPCG(w.seed, 1<<63)))
	w.done.Store(true)
	wg.Wait()
}

// enough says whether the run may end.
func (w *arena) enough() bool {
	kills := w.kills[0] + w.kills[1] + w.kills[2]
	return w.t.Failed() || time.Since(w.began) > w.goal.time ||
		w.moved.Load() >= w.goal.moves && w.bytes.Load() >= w.goal.bytes && kills >= w.goal.kills
}

// slot has one channel after the other.
func (w *arena) slot(p *pairing, slot uint64) {
	for i := uint64(0); !w.done.Load(); i++ {
		s := newScript(rand.New(rand.NewPCG(w.seed, slot<<32|i)), w.goal.most)
		began := time.Now()
		for !w.done.Load() {
			err := w.one(p, slot, s, fmt.Sprintf("%s, channel %d of slot %d", p.name, i, slot))
			if err == nil {
				break
			}
			w.why(p.name+": not opened", err)
			if time.Since(began) > 2*stuckAfter { // all are busy, and some tries take 20 s
				w.t.Errorf("%s: no channel for %v: %v", p.name, 2*stuckAfter, err)
				return
			}
			rest(20 * time.Millisecond)
		}
	}
}

func (p *pairing) open(slot uint64, s script) (*channel.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return p.caller[slot%uint64(len(p.caller))].Open(ctx, p.part.Name, client.OpenOptions{Meta: s, Direct: p.direct, Sealed: p.sealed, OnDirect: p.tried})
}

// tried counts why channels did not move.
func (p *pairing) tried(a client.Attempt) {
	if a.Err != nil {
		p.w.why(p.name+": not moved", a.Err)
	}
}

// why counts what went wrong, without blame.
func (w *arena) why(what string, err error) {
	code := "no code"
	if known, ok := errors.AsType[*client.Error](err); ok && known.Code != client.PeerMismatch {
		code = known.Error()
	} else if err != nil {
		code = err.Error()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reasons[what+": "+code]++
}

// one opens a channel, and is the caller's end of it.
func (w *arena) one(p *pairing, slot uint64, s script, what string) error {
	c := &running{p: p}
	w.mu.Lock()
	w.live[c] = struct{}{}
	c.doomed = w.killing || p.dying
	w.mu.Unlock()
	doomed := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.live, c)
		return c.doomed || w.killing && !c.spared
	}
	conn, err := p.open(slot, s)
	if err != nil {
		doomed()
		switch mismatch := errors.Is(err, client.PeerMismatch); {
		case s[1].Finish != closeWrite && (mismatch || errors.Is(err, client.Busy) || errors.Is(err, client.PeerGone)):
			return nil // the callee's end of it may have overtaken its yes, or its proof
		case mismatch:
			w.t.Errorf("%s: nobody lies, but: %v", what, err)
		}
		return err
	}
	c.conn.Store(conn)
	w.opened.Add(1)
	p.opened.Add(1)
	res := play(conn, s[0], s[1])
	w.bytes.Add(res.got)
	if conn.Link() != "" {
		w.moved.Add(1)
		p.moved.Add(1)
	}
	may := doomed()
	if res.faults != "" {
		w.t.Errorf("%s, %v: %s", what, conn.Info().ID, res.faults)
	}
	if res.whole {
		w.whole.Add(1)
	}
	if res.cut == nil || !s.calm() {
		return nil
	}
	w.cut.Add(1)
	if !may {
		p.blameLink(what, conn, res.cut)
	}
	return nil
}

// blameLink takes a channel that was cut though nobody but a link has died.
func (p *pairing) blameLink(what string, conn *channel.Conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.w.lost.Add(1)
	if p.lost++; p.lost > p.linkKills {
		p.w.t.Errorf("%s, %v, on %q: cut by nothing: %v", what, conn.Info().ID, conn.Link(), err)
	}
}

// end takes everything down, and looks at what is left.
func (w *arena) end() string {
	t := w.t
	for _, p := range w.couples {
		p.idle()
		p.count()
		p.proc.stop()
		t.Logf("%s: %d channels, %d moved", p.name, p.opened.Load(), p.moved.Load())
	}
	for what, n := range w.reasons {
		t.Logf("%d × %s", n, what)
	}
	admin, err := dialUntil(t.Context(), client.Config{Address: w.d.unix(), Key: w.d.key})
	must(t, err)
	var left []client.Channel
	began := time.Now()
	if !eventually(75*time.Second, func() bool { // an end that was killed may come back for a minute
		left, err = admin.Channels(within(t, 10*time.Second), true)
		return err != nil || len(left) == 0
	}) || err != nil {
		text, _ := json.Marshal(left)
		t.Errorf("at the end the server lists %d channels: %v, %s", len(left), err, text)
	}
	after := time.Since(began)
	for _, p := range w.couples {
		for _, c := range p.caller {
			must(t, c.Close())
		}
	}
	must(t, admin.Close())
	w.d.stop()
	w.couples = nil // and all that their clients hold
	return fmt.Sprintf("no channel in the books after %v, no file of a link", after.Round(time.Second))
}

// idle waits until a plugin process holds what it held at its begin.
func (p *pairing) idle() {
	var now held
	if !eventually(20*time.Second, func() bool { // a link may be waited for for 15 s
		answer, ok := p.proc.do(order{Count: true})
		if !ok {
			return false
		}
		now = *answer.Held
		return now.Open == 0 && now.FDs <= p.proc.base.FDs && now.Goroutines <= p.proc.base.Goroutines+1 // it serves
	}) {
		p.w.t.Errorf("%s: at the end the plugin process holds %+v, at its begin %+v", p.name, now, p.proc.base)
	}
}
