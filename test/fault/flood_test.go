//go:build fault

package fault_test

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/switchboard"
)

// F24: pings as fast as they go, from peers that read nothing: no goroutine and
// no memory is spent on them, and the session ends. A peer that reads is told
// why.
func TestF24Pings(t *testing.T) {
	total := int64(times(300_000, 10_000_000))
	var unit []byte
	for v := range uint32(1000) {
		unit = append(unit, wired(pinging(v))...)
	}
	// flood sends pings in one session after the other, until all are sent.
	flood := func(t *testing.T, p place, reads bool) (sessions int) {
		t.Helper()
		for sent := int64(0); sent < total; sessions++ {
			h := p.hand(t)
			h.lane(t, 1, `{"name":["ping"],"args":[]}`)
			fall := func() {
				if how := h.fall(t, 10*time.Second, nil); how.code != enhanceCalm {
					t.Errorf("a session that floods ended with %+v, want go-away %d", how, enhanceCalm)
				}
			}
			var wg sync.WaitGroup
			if reads {
				wg.Go(fall)
			}
			for sent < total {
				if _, err := h.Write(unit); err != nil {
					break
				}
				sent += 1000
			}
			if !reads { // until now
				fall()
			}
			wg.Wait()
			h.Close()
		}
		return sessions
	}
	d, p := startDaemon(t)
	p.alive(t)
	flood(t, p, true) // whatever is made once
	before := resetPeak(t, d.cmd.Process.Pid)
	sessions := flood(t, p, false)
	grew := peak(t, d.cmd.Process.Pid) - before
	if grew > 4<<20 {
		t.Errorf("the server grew by %s, want at most 4 MiB", mib(grew))
	}
	p.alive(t)

	here := serveHere(t, switchboard.Limits{})
	h := here.hand(t)
	h.lane(t, 1, `{"name":["ping"],"args":[]}`)
	base := runtime.NumGoroutine()
	most := watchGoroutines(func() { flood(t, here, false) }) - base
	if most > 8 {
		t.Errorf("%d goroutines more, want at most 8", most)
	}
	report(t, "F24", "%d pings in %d sessions, none of which read, each ended with enhance_calm: the server grew by %s at most, in this process by %d goroutines",
		total, sessions, mib(max(grew, 0)), most)
}

// watchGoroutines returns the most that there were while f ran, itself not
// counted.
func watchGoroutines(f func()) int {
	var most atomic.Int64
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				most.Store(max(most.Load(), int64(runtime.NumGoroutine()-1)))
			}
		}
	})
	f()
	close(over)
	wg.Wait()
	return int(most.Load())
}

// F25: streams that are opened and reset at once, as fast as they go, session
// after session: each ends at once, and neighbours wait hardly longer than
// beside the same flood on another server of this machine. The full form, which
// has the machine to itself, is strict about that.
func TestF25RapidReset(t *testing.T) {
	_, p := startDaemon(t)
	_, elsewhere := startDaemon(t)
	near := p.neighbour(t, "org.example.near")
	round := time.Duration(times(500, 5000)) * time.Millisecond
	var falls []downfall
	sent := 0
	var quiet, loud time.Duration
	most := func() time.Duration {
		return max(time.Duration(times(10, 2))*quiet, time.Duration(times(100, 10))*time.Millisecond)
	}
	for try := 0; try == 0 || try < 3 && loud > most(); try++ { // the machine has other things to do, too
		var calm, stormy []time.Duration
		for i := range times(2, 6) {
			calm = append(calm, near.during(func() { resetFlood(t, elsewhere, i, round) })...)
			stormy = append(stormy, near.during(func() {
				how, n := resetFlood(t, p, i, round)
				falls, sent = append(falls, how...), sent+n
			})...)
		}
		quiet, loud = percentile(calm, 99), percentile(stormy, 99)
	}
	var longest time.Duration
	for _, how := range falls {
		longest = max(longest, how.after)
		if how.code != enhanceCalm || how.after > slow*time.Second {
			t.Errorf("a session that floods ended with %+v, want go-away %d soon", how, enhanceCalm)
		}
	}
	if loud > most() {
		t.Errorf("p99 of a neighbour is %v, %v beside the flood of another server", loud, quiet)
	}
	p.alive(t)
	report(t, "F25", "%d streams opened and reset in %d sessions, each told enhance_calm after at most %v; a neighbour's p99 %v, beside the same flood on another server %v",
		sent, len(falls), longest.Round(time.Millisecond), loud.Round(10*time.Microsecond), quiet.Round(10*time.Microsecond))
}

// resetFlood opens and resets for d, in a new session whenever one has ended;
// every other kind asks for a channel in between.
func resetFlood(t *testing.T, p place, kind int, d time.Duration) (falls []downfall, sent int) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		h := p.hand(t)
		h.lane(t, 1, `{"name":["ping"],"args":[]}`)
		var wg sync.WaitGroup
		wg.Go(func() { falls = append(falls, h.fall(t, 5*time.Second, nil)) })
		for id := uint32(3); ; {
			var batch []byte
			for range 100 {
				batch = append(batch, wired(open(id))...)
				if kind%2 == 1 {
					batch = append(batch, wired(connectOn(id, "org.example.near"))...)
				}
				batch = append(batch, wired(flagged(id, withRST))...)
				id += 2
			}
			if _, err := h.Write(batch); err != nil {
				break
			}
			sent += 100
		}
		wg.Wait()
		h.Close()
	}
	return falls, sent
}

// F25: callers by the dozen that give up what they asked for: a callee that
// decides nothing has at most 64 offers before it, 8 of one key, and none when
// all have given up.
func TestF25Pending(t *testing.T) {
	_, p := startDaemon(t)
	callee := p.hand(t)
	callee.owner(t, "org.example.asked")
	must(t, callee.SetDeadline(time.Now().Add(10*time.Minute)))
	var pending, most, seen atomic.Int64
	var wg sync.WaitGroup
	defer wg.Wait()
	defer callee.Conn.Close()
	wg.Go(func() {
		for {
			f, err := callee.next()
			if err != nil {
				return
			}
			if f.flags&withSYN != 0 {
				seen.Add(1)
				most.Store(max(most.Load(), pending.Add(1)))
			}
			if f.flags&(withRST|withFIN) != 0 && f.id%2 == 0 {
				pending.Add(-1)
			}
		}
	})
	rounds, perKey := times(5, 50), int64(0)
	for round := range rounds {
		callers := make([]*hand, 10)
		for i := range callers {
			callers[i] = p.hand(t)
			for id := uint32(1); id < 100; id += 2 {
				must(t, callers[i].put(open(id), connectOn(id, "org.example.asked")))
			}
			if i == 0 {
				eventually(time.Second, func() bool { return pending.Load() >= 8 })
				perKey = max(perKey, pending.Load())
			}
		}
		if !eventually(5*time.Second, func() bool { return pending.Load() == 64 }) {
			t.Errorf("%d offers are pending, want 64 of the 500 that were asked for", pending.Load())
		}
		for _, h := range callers {
			for id := uint32(1); id < 100 && round%2 == 0; id += 2 {
				must(t, h.put(flagged(id, withRST)))
			}
			if round%2 == 1 {
				h.Close()
			}
		}
		if !eventually(10*time.Second, func() bool { return pending.Load() == 0 }) {
			t.Errorf("%d offers are pending, and nobody is left who asked", pending.Load())
		}
		for _, h := range callers {
			h.Close()
		}
	}
	if most.Load() > 64 || perKey > 8 {
		t.Errorf("%d offers were pending at once, %d of them of one key; want at most 64 and 8", most.Load(), perKey)
	}
	p.alive(t)
	report(t, "F25", "%d channels asked for and given up: %d offers came, at most %d at once, %d of one key; none is left",
		rounds*500, seen.Load(), most.Load(), perKey)
}

// F25, at the pace that is allowed: however fast lanes are opened, the server
// looks at no more than 2,000 a second of a session, and 512 at once.
func TestF25Pace(t *testing.T) {
	_, p := startDaemon(t)
	h := p.hand(t)
	h.lane(t, 1, `{"name":["ping"],"args":[]}`)
	length := time.Duration(times(2, 30)) * time.Second
	const ahead = 32 // fewer than may wait
	turns := make(chan struct{}, ahead)
	for range ahead {
		turns <- struct{}{}
	}
	looked, refused := 0, 0
	var wg sync.WaitGroup
	wg.Go(func() {
		how := h.fall(t, length+20*time.Second, func(f frame) {
			if f.id > 1 && f.flags&withACK != 0 {
				looked++
			}
			if f.flags&withRST != 0 {
				if f.length == becauseBusy {
					refused++
				}
				turns <- struct{}{}
			}
		})
		if how.code != 0 {
			t.Errorf("a session that keeps the pace ended with %+v", how)
		}
		close(turns)
	})
	began := time.Now()
	for id := uint32(3); time.Since(began) < length; id += 2 {
		if _, ok := <-turns; !ok {
			break
		}
		must(t, h.put(open(id), flagged(id, withFIN)))
	}
	took := time.Since(began)
	must(t, h.put(frame{typ: ofGoAway}))
	must(t, h.Conn.(*net.UnixConn).CloseWrite())
	wg.Wait()
	if most := 512 + int(2000*took.Seconds()) + ahead; looked > most || looked < 512 {
		t.Errorf("%d lanes were looked at in %v, want at most %d", looked, took, most)
	}
	p.alive(t)
	report(t, "F25", "%d lanes looked at in %v of opening as fast as the server would, %d refused", looked, took.Round(time.Millisecond), refused)
}

// F26: a session at its limit opens on: each is reset, nothing grows, and the
// streams that are there live.
func TestF26OverTheLimit(t *testing.T) {
	const limit = 1024
	d, p := startDaemon(t)
	h := p.hand(t)
	must(t, h.SetDeadline(time.Now().Add(5*time.Minute)))
	id := uint32(1)
	for ; id < 2*limit; id += 2 {
		h.lane(t, id, `{"name":["ping"],"args":[]}`)
	}
	over := times(20_000, 100_000-limit)
	before := resetPeak(t, d.cmd.Process.Pid)
	var wg sync.WaitGroup
	wg.Go(func() {
		next := id
		for range over / 100 {
			var batch []byte
			for range 100 {
				batch = append(batch, wired(open(next))...)
				next += 2
			}
			if _, err := h.Write(batch); err != nil {
				t.Errorf("the session ended: %v", err)
				return
			}
		}
	})
	for want := id; want < id+2*uint32(over/100*100); want += 2 {
		f, err := h.next()
		if err != nil || f.id != want || f.flags != withRST || f.length != becauseBusy {
			t.Errorf("got %v, %v, want a reset of %d: busy", f, err, want)
			break
		}
	}
	wg.Wait()
	grew := peak(t, d.cmd.Process.Pid) - before
	if grew > 4<<20 {
		t.Errorf("the server grew by %s", mib(grew))
	}
	for live := uint32(1); live < 2*limit; live += 2 {
		must(t, h.put(pingOn(live, 2)))
		if got := h.packet(t, live); got.Req != -2 || got.Flags != 0x02 {
			t.Fatalf("stream %d: got %+v", live, got)
		}
	}
	p.alive(t)
	report(t, "F26", "%d opens over the %d lanes there are: each reset, the server grew by %s; every lane answers", over, limit, mib(max(0, grew)))
}
