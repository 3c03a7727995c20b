//go:build fault

package fault_test

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// F28: 1,024 channels into a session that takes nothing more from its socket,
// and a caller that writes whatever it may. What the server holds stays within
// the budget of the stuck key: channel after channel of it is reset for quota,
// and nothing of anybody else, not even of the caller.
func TestF28StuckSession(t *testing.T) {
	const budget = 64 << 20
	channels := times(511, 1023) // and one elsewhere; the callee is cut in 10 s
	d, p := startDaemon(t)
	healthy := newWitness(t, p)
	near := p.neighbour(t, "org.example.near")
	var most int64
	var quota, sent int
	for range times(1, 3) { // again: what was held is given back
		callee, caller := p.newTaker(t, "org.example.stuck"), p.newFeeder(t)
		var wg, echo sync.WaitGroup
		var stuck atomic.Bool
		wg.Go(func() { callee.take(func() bool { return callee.open() < channels }); stuck.Store(true) })
		wg.Go(caller.listen)
		ids := caller.call(t, "org.example.stuck", channels)
		echo.Go(func() { healthy.echo(t) })
		well := caller.call(t, "org.example.witness", 1)[0]
		if !eventually(5*time.Second, stuck.Load) {
			t.Fatal("the callee reads on")
		}
		before := resetPeak(t, d.cmd.Process.Pid)
		near.during(func() {
			caller.feed(ids, 16<<10, 300*time.Millisecond)
			must(t, caller.put(content(well, "still there")))
			if !caller.wait(10*time.Second, func() bool { return caller.echoed[well] == "still there" }) {
				t.Error("a channel of the same caller to somebody else is dead")
			}
		})
		most = max(most, peak(t, d.cmd.Process.Pid)-before)
		// What is not reset is held.
		if !caller.wait(time.Second, func() bool { return caller.resets[becauseQuota]*int(firstWindow) >= caller.sent-budget*3/2 }) {
			t.Errorf("%s were sent, and %v are the resets by reason some seconds later", mib(int64(caller.sent)), caller.resets)
		}
		caller.mu.Lock()
		quota, sent = caller.resets[becauseQuota], caller.sent
		if len(caller.resets) != 1 || quota == 0 || quota == channels || caller.first < budget/2 || caller.ended {
			t.Errorf("%d bytes were sent, %d before the first reset; resets by reason: %v; the caller's session ended: %v",
				sent, caller.first, caller.resets, caller.ended)
		}
		caller.mu.Unlock()
		if times(0, 1) == 0 { // else it is cut, having taken nothing for 10 s
			callee.Conn.Close()
		}
		if !caller.wait(20*time.Second, func() bool { return caller.resets[becauseGone] > 0 && len(caller.windows) == 1 }) || len(caller.resets) > 2 {
			t.Errorf("%d channels are left after the end of the callee; resets by reason: %v", len(caller.windows)-1, caller.resets)
		}
		must(t, caller.put(flagged(well, withFIN)))
		echo.Wait()
		caller.Conn.Close()
		callee.Conn.Close()
		wg.Wait()
	}
	if most > budget*3/2 {
		t.Errorf("the server grew by %s, want at most 1.5 times the budget of 64 MiB", mib(most))
	}
	p.alive(t)
	report(t, "F28", "a callee that reads nothing, %d channels: the server grew by %s at most, %d channels were reset for quota after %s, the others when the callee was gone; the caller's other channel and another key's lived",
		channels, mib(most), quota, mib(int64(sent)))
}

// echo sends back what comes on the next channel.
func (w *witness) echo(t *testing.T) {
	conn, err := w.ln.Accept()
	if err != nil {
		t.Errorf("a healthy callee: %v", err)
		return
	}
	defer conn.Close()
	if _, err := io.Copy(conn, conn); err != nil {
		t.Errorf("a healthy callee's channel: %v", err)
	}
}
