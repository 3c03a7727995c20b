//go:build fault

package fault_test

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// F28, when only the application behind the callee's session stops: the windows
// fill, the callee's own memory holds them, the server holds nothing and resets
// nothing, and when windows are granted all goes on.
func TestF28StuckApplication(t *testing.T) {
	const channels = 1024
	d, p := startDaemon(t)
	near := p.neighbour(t, "org.example.near")
	callee, caller := p.newTaker(t, "org.example.full"), p.newFeeder(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer caller.Conn.Close()
	defer callee.Conn.Close()
	wg.Go(func() { callee.take(func() bool { return true }) })
	wg.Go(caller.listen)
	ids := caller.call(t, "org.example.full", channels)
	before := resetPeak(t, d.cmd.Process.Pid)
	near.during(func() { caller.feed(ids, 16<<10, time.Second) })
	grew := peak(t, d.cmd.Process.Pid) - before
	// The offer was larger than the connect, so the callee's window is a little
	// smaller than the caller's.
	filled := callee.came()
	for last := -1; filled > last; filled = callee.came() { // what is on its way
		last = filled
		rest(500 * time.Millisecond)
	}
	if held := caller.sent - filled; held < 0 || held > channels*1000 {
		t.Errorf("%d bytes were sent and %d came", caller.sent, filled)
	}
	caller.mu.Lock()
	if caller.ended || len(caller.resets) > 0 || callee.resets > 0 {
		t.Errorf("the session ended: %v, resets by reason: %v", caller.ended, caller.resets)
	}
	caller.mu.Unlock()
	if grew > 32<<20 {
		t.Errorf("the server grew by %s", mib(grew))
	}
	callee.mu.Lock()
	for id := range callee.channels {
		must(t, callee.put(grant(id, 10_000)))
	}
	callee.mu.Unlock()
	if !eventually(10*time.Second, func() bool {
		caller.feed(ids, 16<<10, 200*time.Millisecond)
		return callee.came() == filled+channels*10_000
	}) {
		t.Errorf("%d bytes came after windows were granted, want %d", callee.came()-filled, channels*10_000)
	}
	p.alive(t)
	report(t, "F28", "a callee that grants nothing, %d channels: %s sent and taken, then 10,000 bytes each when they were granted; no reset, the server grew by %s",
		channels, mib(int64(filled)), mib(max(0, grew)))
}

// F29: 200 channels of one session carry what they can, and one of them stalls
// again and again: meanwhile the others carry as much as before.
func TestF29StalledChannel(t *testing.T) {
	const others = 199
	_, p := startDaemon(t)
	c := newCouple(t, "org.example.many", client.Config{Address: shs.Address{Network: "unix", Addr: p.unix, Key: p.key}.String()},
		shs.GenerateKey(), shs.GenerateKey())
	ends := c.halves(t, others+1)
	var carried atomic.Int64 // by the others
	var stalled, altered atomic.Bool
	turn := make(chan struct{}) // the stalled one reads on a token, or while not stalled
	var wg sync.WaitGroup
	for i, e := range ends {
		wg.Go(func() { _, _ = flow(i).send(e[0], nil) })
		wg.Go(func() {
			if i == others {
				stall(e[1], &stalled, turn)
				return
			}
			n := int64(0)
			for buf := make([]byte, 32<<10); ; {
				m, err := e[1].Read(buf)
				if m > 0 && n%(1<<20) < 32<<10 && !flow(i).check(buf[:m], n) { // some: to check takes its time
					altered.Store(true)
				}
				n += int64(m)
				carried.Add(int64(m))
				if err != nil {
					return
				}
			}
		})
	}
	least := float64(times(50, 90)) / 100 // the full form has the machine to itself
	window := time.Duration(times(150, 3000)) * time.Millisecond
	during := func() int64 {
		before, began := carried.Load(), time.Now()
		<-time.After(window)
		return int64(float64(carried.Load()-before) / time.Since(began).Seconds())
	}
	during() // until all windows have settled
	var ratios []float64
	median := 0.0
	for try := 0; try < 3 && median < least; try++ { // the machine has other things to do, too
		ratios = nil
		for range 10 {
			free := during()
			stalled.Store(true)
			during() // its window fills
			beside := during()
			stalled.Store(false)
			turn <- struct{}{}
			ratios = append(ratios, float64(beside)/float64(max(1, (free+during())/2)))
		}
		slices.Sort(ratios)
		median = (ratios[4] + ratios[5]) / 2
	}
	for _, e := range ends {
		e[0].Abort()
		e[1].Abort()
	}
	close(turn)
	wg.Wait()
	if median < least || altered.Load() {
		t.Errorf("beside a stalled channel %d others carry %.2f of what they carry without; %.2f", others, median, ratios)
	}
	p.alive(t)
	report(t, "F29", "one stalled channel of 200, 10 times for %v: the others carried %.2f of what they carry without (median; %.2f to %.2f)",
		2*window, median, ratios[0], ratios[9])
}

// stall reads, but for the times when it is stalled.
func stall(r io.Reader, stalled *atomic.Bool, turn <-chan struct{}) {
	for buf := make([]byte, 32<<10); ; {
		if stalled.Load() {
			<-turn
		}
		select {
		case <-turn:
		default:
		}
		if _, err := r.Read(buf); err != nil {
			for range turn { // until the test is over
			}
			return
		}
	}
}
