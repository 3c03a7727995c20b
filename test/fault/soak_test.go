//go:build fault

package fault_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// soaker is one of many sessions, with one end of each of its channels.
type soaker struct {
	raw    net.Conn
	m      *mux.Session
	budget *mux.Budget
	lane   *mux.Stream // of a callee's calls
	ends   []*end
	dead   bool
}

// soakIn logs a key in.
func soakIn(t *testing.T, p place, key shs.PrivateKey) *soaker {
	s := &soaker{raw: p.dial(t, "unix"), budget: mux.NewBudget(64 << 20)}
	must(t, s.raw.SetDeadline(time.Time{}))
	s.m = mux.Client(p.login(t, s.raw, key), mux.Config{Budget: s.budget, Window: 1 << 20, Rates: mux.Rates{Opens: mux.NoRate, Resets: mux.NoRate}})
	return s
}

// callee claims name and takes n channels; what the server says later is
// answered.
func (s *soaker) callee(t *testing.T, name string, n int, taken *sync.WaitGroup) {
	lane, err := s.m.Open(t.Context())
	must(t, err)
	s.lane = lane
	send(t, lane, 0x02, 1, `{"name":["names","claim"],"args":[{"name":"`+name+`"}]}`)
	receive(t, lane)
	s.ends = make([]*end, n)
	var mu sync.Mutex
	next := 0
	s.serve(t, func(st *mux.Stream, offer string) {
		send(t, st, 0x0a, -1, `{}`)
		mu.Lock()
		defer mu.Unlock()
		var i int
		if _, err := fmt.Sscanf(offer[strings.Index(offer, `"meta":`):], `"meta":%d`, &i); err != nil || next == n {
			t.Errorf("an offer: %v, %s", err, offer)
			return
		}
		next++
		s.ends[i] = &end{conn: st}
		taken.Done()
	})
}

// serve answers what the server opens; offers go to take.
func (s *soaker) serve(t *testing.T, take func(*mux.Stream, string)) {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	wg.Go(func() {
		for {
			st, err := s.m.Accept(t.Context())
			if err != nil {
				return
			}
			wg.Go(func() {
				p, err := muxrpc.ReadPacket(st, 1<<20)
				switch {
				case err != nil:
					st.Abort()
				case take != nil && strings.Contains(string(p.Body), `"offer"`):
					take(st, string(p.Body))
				default:
					_ = muxrpc.WritePacket(st, muxrpc.Packet{Flags: 0x02, Req: -p.Req, Body: []byte("true")}) // the server may be gone
					st.Close()
				}
			})
		}
	})
}

// call opens n channels.
func (s *soaker) call(t *testing.T, name string, n int) {
	s.serve(t, nil)
	s.ends = make([]*end, n)
	for i := range n {
		st, err := s.m.Open(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		body := fmt.Sprintf(`{"name":["connect"],"args":[{"to":%q,"meta":%d,"timeout_ms":60000}],"type":"duplex"}`, name, i)
		err = muxrpc.WritePacket(st, muxrpc.Packet{Flags: 0x0a, Req: 1, Body: []byte(body)})
		var got muxrpc.Packet
		if err == nil {
			got, err = muxrpc.ReadPacket(st, 1<<20)
		}
		if err != nil || got.Flags != 0x0a {
			t.Errorf("connect %d: %v, %s", i, err, got.Body)
			return
		}
		s.ends[i] = &end{conn: st}
	}
}

// die cuts the connection in the middle of everything.
func (s *soaker) die() {
	for _, e := range s.ends {
		e.mu.Lock()
		e.closed, e.torn = true, true
		e.mu.Unlock()
	}
	s.dead = true
	s.raw.Close()
}

// Soak: many sessions with many channels each, all open at once; ends that
// write, half-close, close and reset at random, and sessions that die. What is
// read is an exact prefix, and an end of file stands only behind all of it;
// then nothing is left: no stream, no byte in an account, no goroutine, no
// descriptor.
func TestSoak(t *testing.T) {
	pairs, each := times(50, 500), times(30, 100)
	seed, _ := faultSeed(t)
	p := serveHere(t, switchboard.Limits{Held: 16 << 20})
	_, keepers := soakRound(t, p, rand.New(rand.NewPCG(seed, 0)), 4, each, new(tally)) // whatever is made once
	leave(keepers)
	base := settle(t, measure(t), 1<<20)
	var sum tally
	began := time.Now()
	keys, keepers := soakRound(t, p, rand.New(rand.NewPCG(seed, 1)), pairs, each, &sum)
	took := time.Since(began)
	for i, key := range keys {
		emptyAccount(t, p, fmt.Sprintf("org.example.account%d", i), key, 12<<20)
	}
	leave(keepers)
	now := settle(t, base, uint64(8<<20+pairs*each*200))
	p.alive(t)
	report(t, "soak", "%d sessions × %d channels in %v, %d sessions died: %d directions read to the end of file, each whole; %d cut, each an exact prefix and an error; %s; accounts at zero; goroutines %d, at the start %d; descriptors %d, at the start %d; heap %+d KiB",
		2*pairs, each, took.Round(time.Second), sum.deaths.Load(), sum.whole.Load(), sum.cut.Load(), mib(sum.bytes.Load()),
		now.goroutines, base.goroutines, now.fds, base.fds, (int64(now.heap)-int64(base.heap))>>10)
}

func leave(all []*soaker) {
	for _, s := range all {
		s.m.Close()
	}
}

// tally is what became of the directions.
type tally struct{ whole, cut, bytes, deaths atomic.Int64 }

// soakRound returns the seeds of two keys, of a caller's and a callee's
// sessions, and the one session that each has left.
func soakRound(t *testing.T, p place, r *rand.Rand, pairs, each int, sum *tally) (seeds [2][32]byte, keepers []*soaker) {
	t.Helper()
	var all [][2]*soaker
	var keys [2]shs.PrivateKey
	var taken sync.WaitGroup
	for i := range pairs {
		if i%16 == 0 { // a key has several sessions
			for j := range keys {
				seeds[j] = someSeed()
				keys[j] = shs.NewPrivateKey(seeds[j])
			}
		}
		pair := [2]*soaker{soakIn(t, p, keys[0]), soakIn(t, p, keys[1])}
		taken.Add(each)
		pair[1].callee(t, fmt.Sprintf("org.example.soak%d", i), each, &taken)
		all = append(all, pair)
	}
	var opening sync.WaitGroup
	for i, pair := range all {
		opening.Go(func() { pair[0].call(t, fmt.Sprintf("org.example.soak%d", i), each) })
		if i%32 == 31 {
			opening.Wait()
		}
	}
	opening.Wait()
	if t.Failed() {
		t.FailNow()
	}
	taken.Wait()
	for _, key := range keys { // an account lives as long as its key has a session
		keepers = append(keepers, soakIn(t, p, key))
	}
	for len(all) > 0 { // some at a time: goroutines take memory
		some := all[:min(len(all), 50)]
		var wg sync.WaitGroup
		for _, pair := range some {
			pr := rand.New(rand.NewPCG(r.Uint64(), 0))
			wg.Go(func() { soakPair(t, pair, pr, sum) })
		}
		wg.Wait()
		all = all[len(some):]
	}
	return seeds, keepers
}

// emptyAccount shows that a key may have nearly all bytes of its account held:
// none of them is still charged for what was.
func emptyAccount(t *testing.T, p place, name string, key [32]byte, size int) {
	t.Helper()
	callee, caller := p.newTakerOf(t, name, key), p.newFeeder(t)
	channels := size / int(firstWindow)
	var wg sync.WaitGroup
	var stuck atomic.Bool
	wg.Go(func() { callee.take(func() bool { return callee.open() < channels }); stuck.Store(true) })
	wg.Go(caller.listen)
	ids := caller.call(t, name, channels)
	if !eventually(5*time.Second, stuck.Load) {
		t.Fatal("the callee reads on")
	}
	caller.feed(ids, 16<<10, 300*time.Millisecond)
	caller.mu.Lock()
	if caller.sent < size*9/10 || len(caller.resets) > 0 {
		t.Errorf("%s: %d bytes were sent, resets by reason: %v; want %d bytes held and none reset", name, caller.sent, caller.resets, size)
	}
	caller.mu.Unlock()
	caller.Conn.Close()
	callee.Conn.Close()
	wg.Wait()
}

// soakPair runs the channels of two sessions, and ends them.
func soakPair(t *testing.T, pair [2]*soaker, r *rand.Rand, sum *tally) {
	var wg sync.WaitGroup
	for j := range pair {
		for _, e := range pair[j].ends {
			e.flow = flow(r.Uint64())
			e.plan(r, 20_000)
			if e.sudden == death { // that is the session's
				e.sudden = abort
			}
		}
	}
	for j := range pair {
		for i, e := range pair[j].ends {
			wg.Go(e.write)
			wg.Go(func() { e.read(pair[1-j].ends[i].flow) })
			if e.sudden != nothing {
				wg.Go(e.surprise)
			}
		}
	}
	if r.IntN(8) == 0 {
		victim, wait := pair[r.IntN(2)], r.IntN(20_000)
		wg.Go(func() {
			for range wait {
				runtime.Gosched()
			}
			sum.deaths.Add(1)
			victim.die()
		})
	}
	late := time.AfterFunc(slow*time.Minute, func() { // a stuck end would hang the test
		t.Error("an end still waits after minutes")
		pair[0].raw.Close()
		pair[1].raw.Close()
	})
	wg.Wait()
	late.Stop()
	for i := range pair[0].ends {
		for j := range pair {
			e, other := pair[j].ends[i], pair[1-j].ends[i]
			e.conn.Close()
			e.judge(t, fmt.Sprintf("channel %d, end %d", i, j), other, &sum.whole, &sum.cut)
			sum.bytes.Add(e.got)
		}
	}
	for _, s := range pair {
		for _, e := range s.ends {
			e.conn.Abort()
		}
		if s.lane != nil {
			s.lane.Abort()
		}
	}
	for _, s := range pair {
		if !s.dead && !eventually(10*time.Second, func() bool { return s.m.NumStreams() == 0 && s.budget.Held() == 0 }) {
			t.Errorf("%d streams and %d bytes are left in the account of a session", s.m.NumStreams(), s.budget.Held())
		}
		if err := s.m.Err(); !s.dead && err != nil {
			t.Errorf("a session that nobody killed ended with %v", err)
		}
		s.m.Close()
	}
}
