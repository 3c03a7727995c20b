//go:build fault

package fault_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// tempest is all that goes on at once in F72, with what has come of it.
type tempest struct {
	w     *world
	p     place
	ctx   context.Context // its end is that of the storm
	wg    sync.WaitGroup
	pings atomic.Int64 // sessions that ended for their pings
	stuck atomic.Int64 // rounds with a callee that takes nothing
	quota atomic.Int64 // channels that were reset for that
}

// stuckName is that of the callee that takes nothing: it comes and goes beside the
// changes that watchers are compared with.
const stuckName = "org.example.stuck"

// F72: a server with 256 MiB, and all at once: thousands of connections that stall
// (F01), sessions of nothing but pings (F24), a callee that takes nothing of what a
// thousand channels carry (F28), and a hundred watchers of a registry that changes
// all the time (F40). It is not killed, and who does no harm waits less than 1 s.
func TestF72Storm(t *testing.T) {
	const memory = 256 << 20
	w := newWorld(t)
	w.d.kill()
	group := newMemoryGroup(t, memory)
	w.d.wrap = group.wrap()
	t.Cleanup(w.d.kill) // before the group goes
	w.d.start()
	pid := w.d.cmd.Process.Pid
	flood, honest := w.stranger(w.b), w.stranger(w.b)
	crowd := w.crowd(250)
	p := w.place()
	near := p.neighbour(t, "org.example.near")
	_, quiet := slowest(append(p.locals(t, 100), w.logins(honest, hostB, 5).Took...)) // the machine may be slow without a storm
	before := resetPeak(t, pid)

	ctx, stop := context.WithCancel(within(t, 30*time.Minute))
	s := &tempest{w: w, p: p, ctx: ctx}
	length := time.Duration(times(12, 600)) * time.Second
	began := time.Now()
	const rate = 1000
	flood.call("Siege", SiegeArgs{Address: hostA + ":" + w.d.port, From: crowd, N: rate * int(length/time.Second+600), Rate: rate, Say: []byte{1}}, &None{})
	s.wg.Go(s.ping)
	s.wg.Go(s.stick)
	changes, lagged := 0, 0
	var rounds, local []time.Duration
	var far LoginState
	s.wg.Go(func() {
		for ctx.Err() == nil {
			local = append(local, s.login())
			one := w.logins(honest, hostB, 1)
			far.Took, far.Tries = append(far.Took, one.Took...), far.Tries+one.Tries
			<-time.After(200 * time.Millisecond) // less often than a source may
		}
	})
	rounds = near.during(func() {
		for time.Since(began) < length {
			c, l := s.watch(t)
			changes, lagged = changes+c, lagged+l
		}
		stop()
		s.wg.Wait()
	})
	siege := flood.besieged()
	flood.call("Lift", None{}, &None{})

	most, oom := peak(t, pid), group.killed()
	if oom > 0 || most > memory || w.d.cmd.ProcessState != nil {
		t.Errorf("%d processes were killed for memory; the server had %s", oom, mib(most))
	}
	p.alive(t)
	slowestRound, round99 := slowest(rounds)
	_, local99 := slowest(local)
	_, far99 := slowest(far.Took)
	if max(round99, local99, far99) > max(time.Second, 5*quiet) {
		t.Errorf("p99 of a neighbour's rounds %v, of local logins %v, of far ones %v; want less than 1 s; without a storm a login took %v", round99, local99, far99, quiet)
	}
	if siege.Made < rate || s.pings.Load() == 0 || s.stuck.Load() == 0 || changes == 0 || len(rounds) == 0 {
		t.Errorf("the storm was none: %+v, %d sessions of pings, %d stuck callees, %d changes, %d rounds", siege, s.pings.Load(), s.stuck.Load(), changes, len(rounds))
	}
	how := fmt.Sprintf("in a control group of %s, which had %s at most", mib(memory), mib(group.peak()))
	if group.dir == "" {
		how = "without a control group"
	}
	report(t, "F72", "%v %s: %d connections that stalled, %d sessions ended for pings, %d times a stuck callee (%d channels reset for quota), %d changes before 100 watchers (%d lagged); "+
		"the server had %s at most, %s before; p99 of a neighbour's %d rounds %v (slowest %v), of %d local logins %v, of %d far ones %v, of logins without all that %v",
		time.Since(began).Round(time.Second), how, siege.Made, s.pings.Load(), s.stuck.Load(), s.quota.Load(), changes, lagged,
		mib(most), mib(before), len(rounds), round99, slowestRound, len(local), local99, len(far.Took), far99, quiet)
}

// login is how long a local login with a call takes, tries that came to nothing with it.
func (s *tempest) login() time.Duration {
	began := time.Now()
	address := shs.Address{Network: "unix", Addr: s.p.unix, Key: s.p.key}
	var err error
	for try := 0; try == 0 || err != nil && time.Since(began) < time.Minute; try++ {
		var c *client.Client
		if c, err = client.Dial(s.ctx, client.Config{Address: address.String(), Key: shs.GenerateKey(), NoReconnect: true}); err == nil {
			_, err = c.WhoAmI(s.ctx)
			c.Close()
		}
		if s.ctx.Err() != nil { // the storm is over
			return time.Since(began)
		}
	}
	if err != nil {
		s.w.t.Errorf("no local login in a minute: %v", err)
	}
	return time.Since(began)
}

// ping sends pings, one session after the other, and reads nothing.
func (s *tempest) ping() {
	var unit []byte
	for v := range uint32(1000) {
		unit = append(unit, wired(pinging(v))...)
	}
	for s.ctx.Err() == nil {
		h := s.p.hand(s.w.t)
		h.lane(s.w.t, 1, `{"name":["ping"],"args":[]}`)
		for s.ctx.Err() == nil {
			if _, err := h.Write(unit); err != nil {
				if how := h.fall(s.w.t, 20*time.Second, nil); how.code != enhanceCalm {
					s.w.t.Errorf("a session of pings ended with %+v, want go-away %d", how, enhanceCalm)
				}
				s.pings.Add(1)
				break
			}
		}
		h.Close()
	}
}

// stick fills a thousand channels to a callee that takes nothing, over and over.
func (s *tempest) stick() {
	const channels = 1000
	t, end := s.w.t, s.ctx.Done()
	callee, caller := someSeed(), someSeed() // one key each: what is held is charged to them
	for s.ctx.Err() == nil {
		k, f := s.p.newTakerOf(t, stuckName, callee), s.p.newFeederOf(t, caller)
		var wg sync.WaitGroup
		wg.Go(func() { k.take(func() bool { return k.open() < channels }) })
		wg.Go(f.listen)
		ids := f.call(t, stuckName, channels)
		f.feed(ids, 16<<10, time.Second)
		select {
		case <-time.After(2 * time.Second): // it is all held
		case <-end:
		}
		f.mu.Lock()
		s.quota.Add(int64(f.resets[becauseQuota]))
		f.mu.Unlock()
		s.stuck.Add(1)
		f.Conn.Close()
		k.Conn.Close()
		wg.Wait()
		s.free(stuckName)
	}
}

// free waits until the server has seen the last owner of a name end: it is busy.
func (s *tempest) free(name string) {
	if !eventually(30*time.Second, func() bool {
		h := s.p.hand(s.w.t)
		defer h.Close()
		return h.lane(s.w.t, 1, `{"name":["names","get"],"args":[{"name":"`+name+`"}]}`).Flags != 0x02
	}) {
		s.w.t.Errorf("%s is not free after its owner has gone", name)
	}
}

// watch lets a hundred watchers follow some thousand changes, and compares.
func (s *tempest) watch(t *testing.T) (changes, lagged int) {
	var watchers []*replica
	var watching, started sync.WaitGroup
	for _, c := range crowd(t, s.p, 10) {
		defer c.Close()
		for range 10 {
			w := &replica{others: stuckName}
			watchers = append(watchers, w)
			started.Add(1)
			watching.Go(func() { w.run(s.ctx, t, c, started.Done) })
		}
	}
	started.Wait()
	all, owner := churn(s.ctx, t, s.p, 10, 2000, "")
	watching.Wait()
	must(t, owner.Release(s.ctx, "org.example.end"))
	must(t, owner.Close())
	for i, w := range watchers {
		lagged += w.lags
		w.judge(t, i, all)
	}
	return len(all), lagged
}
