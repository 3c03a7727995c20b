//go:build fault

package fault_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// What a server of the defaults holds of connections that have not logged in.
const (
	halfOpenCap = 1024
	perSource   = 16
)

// crowd gives B many addresses, and returns them.
func (w *world) crowd(n int) (addrs []string) {
	w.t.Helper()
	var batch strings.Builder
	for i := range n {
		addr := fmt.Sprintf("10.213.0.%d", 3+i)
		addrs = append(addrs, addr)
		fmt.Fprintf(&batch, "addr add %s/24 dev wire\n", addr)
	}
	cmd := exec.Command("ip", "-n", w.b, "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	if got := run(w.t, cmd); got.code != 0 {
		w.t.Fatalf("ip: %s", got.stderr)
	}
	return addrs
}

// place is that of the world's server, over the Unix socket.
func (w *world) place() place { return place{key: w.d.key.Public(), unix: w.d.sock} }

// logins are those of one address of B, with the first key.
func (w *world) logins(a *agent, from string, n int) (s LoginState) {
	w.t.Helper()
	a.call("Login", LoginArgs{Address: hostA + ":" + w.d.port, From: from, Server: w.d.key.Public(), Seed: w.seeds[0], N: n}, &s)
	if len(s.Errs) > 0 {
		w.t.Errorf("%d of %d logins did not succeed: %s", len(s.Errs), n, s.Errs[0])
	}
	return s
}

// state is that of a flood.
func (a *agent) besieged() (s SiegeState) {
	a.t.Helper()
	a.call("Besieged", None{}, &s)
	return s
}

// fds is how many descriptors a process has.
func fds(t testing.TB, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	must(t, err)
	return len(all)
}

// mostFDs is the most descriptors that a process has while f runs.
func mostFDs(t testing.TB, pid int, f func()) (most int) {
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, fds(t, pid))
			select {
			case <-over:
				return
			case <-tick.C:
			}
		}
	})
	f()
	close(over)
	wg.Wait()
	return most
}

// tallied is a counter in the server's last line that sums up.
func (d *daemon) tallied(name string) int {
	all := regexp.MustCompile(`turned away so far".* `+name+`=(\d+)`).FindAllStringSubmatch(d.log(), -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1][1]) // of digits
	return n
}

// locals times n logins over the Unix socket, each with a call, one after the
// other.
func (p place) locals(t testing.TB, n int) (took []time.Duration) {
	t.Helper()
	for range n {
		began := time.Now()
		c := p.client(t, "unix")
		_, err := c.WhoAmI(within(t, 10*time.Second))
		must(t, err)
		took = append(took, time.Since(began))
		must(t, c.Close())
	}
	return took
}

// F01: thousands of connections of 250 addresses that send a byte and stall: one
// other address logs in, 20 times at once, and so does who is local; the server
// holds no more than it may, and nothing 6 s later.
func TestF01Stalls(t *testing.T) {
	w := newWorld(t)
	crowd := w.crowd(250)
	flood, honest := w.stranger(w.b), w.stranger(w.b)
	w.logins(honest, hostB, 1)
	p, pid := w.place(), w.d.cmd.Process.Pid
	p.locals(t, 150) // it has worked before
	n := times(6000, 10_000)
	base, before := fds(t, pid), resetPeak(t, pid)
	var far LoginState
	var near []time.Duration
	var last time.Time
	most := mostFDs(t, pid, func() {
		flood.call("Siege", SiegeArgs{Address: hostA + ":" + w.d.port, From: crowd, N: n, Say: []byte{1}}, &None{})
		eventually(20*time.Second, func() bool { s := flood.besieged(); return s.Open >= halfOpenCap*9/10 || s.Over })
		var wg sync.WaitGroup
		wg.Go(func() { near = p.locals(t, 10) })
		far = w.logins(honest, hostB, 20)
		wg.Wait()
		eventually(60*time.Second, func() bool { return flood.besieged().Over })
		last = time.Now()
	})
	grew := peak(t, pid) - before
	s := flood.besieged()
	slowestFar, _ := slowest(far.Took)
	slowestNear, _ := slowest(near)
	if s.Made < int64(n)*9/10 || s.Heard > 0 {
		t.Errorf("the flood: %+v", s)
	}
	if slowestFar > atMost(time.Second) || slowestNear > atMost(time.Second) || percentile(near, 50) > atMost(100*time.Millisecond) {
		t.Errorf("logins of another address took up to %v, local ones %v", slowestFar, near)
	}
	if held := most - base; held > halfOpenCap+32 || held < halfOpenCap*8/10 {
		t.Errorf("%d descriptors at most, %d before", most, base)
	}
	if grew > 20<<20 { // 16, and what the collector has not come to
		t.Errorf("the server grew by %s", mib(grew))
	}
	if !eventually(atMost(8*time.Second), func() bool { return fds(t, pid) <= base && flood.besieged().Open == 0 }) {
		t.Errorf("8 s later %d descriptors, %d before; %+v", fds(t, pid), base, flood.besieged())
	}
	took := time.Since(last)
	if took > atMost(7*time.Second) {
		t.Errorf("all gone after %v, want 6 s", took)
	}
	flood.call("Lift", None{}, &None{})
	report(t, "F01", "%d connections of 250 addresses that stall: 20 logins at once of another took %v at most (%d tries), local ones %v; %d descriptors more, the server grew by %s; all gone %v after the last",
		s.Made, slowestFar, far.Tries, slowestNear, most-base, mib(max(grew, 0)), took.Round(100*time.Millisecond))
}

// F02: the same of one address: it has 16 connections in handshake, is barred
// soon, and nobody else feels it.
func TestF02OneSource(t *testing.T) {
	w := newWorld(t)
	crowd := w.crowd(1)
	flood, honest := w.stranger(w.b), w.stranger(w.b)
	w.logins(honest, hostB, 1)
	p, pid := w.place(), w.d.cmd.Process.Pid
	n := times(3000, 10_000)
	base := fds(t, pid)
	var far LoginState
	most := mostFDs(t, pid, func() {
		flood.call("Siege", SiegeArgs{Address: hostA + ":" + w.d.port, From: crowd, N: n, Say: []byte{1}}, &None{})
		far = w.logins(honest, hostB, 10)
		eventually(60*time.Second, func() bool { return flood.besieged().Over })
	})
	slowestFar, _ := slowest(far.Took)
	if held := most - base; held > perSource+10+8 || slowestFar > atMost(time.Second) { // 10 are the other's; those on the way to their refusal
		t.Errorf("%d descriptors more, want %d and the other's 10; the other's logins took up to %v", held, perSource, slowestFar)
	}
	var barred bool
	flood.call("Barred", LoginArgs{Address: hostA + ":" + w.d.port, From: crowd[0]}, &barred)
	if !barred || strings.Count(w.d.log(), `msg="source barred" source=`+crowd[0]+" ") != 1 {
		t.Errorf("barred: %t", barred)
	}
	if !eventually(5*time.Second, func() bool { return w.d.tallied("refused_penalty") > n/2 && w.d.tallied("barred") == 1 }) {
		t.Errorf("the counters do not show it: %s", w.d.log())
	}
	flood.call("Lift", None{}, &None{})
	p.alive(t)
	report(t, "F02", "%d connections of one address: %d descriptors more, the 10 of another's logins among them, which took %v at most; barred after the first %d, %d refused unread",
		n, most-base, slowestFar, 40+16, w.d.tallied("refused_penalty"))
}

// F03: while the places of TCP are taken, whoever comes over the Unix socket logs
// in as ever, and so does an administrator: as fast as at a server without a flood,
// whose logins take turns with these, for all share two processors.
func TestF03PoolsApart(t *testing.T) {
	w := newWorld(t)
	crowd := w.crowd(250)
	flood := w.stranger(w.b)
	p, pid := w.place(), w.d.cmd.Process.Pid
	other := newDaemon(t)
	other.start()
	beside := place{key: other.key.Public(), unix: other.sock}
	beside.locals(t, 10)
	p.locals(t, 10)
	base := fds(t, pid)
	const rate = 2000
	length := times(3, 60)
	flood.call("Siege", SiegeArgs{Address: hostA + ":" + w.d.port, From: crowd, N: rate * (length + 60), Rate: rate, Say: []byte{1}}, &None{})
	full := func() bool { return fds(t, pid) >= base+halfOpenCap*9/10 }
	if !eventually(20*time.Second, full) {
		t.Fatalf("the pool is not full: %d descriptors, %d before", fds(t, pid), base)
	}
	var took, admin, calm []time.Duration
	looks := 0
	for began := time.Now(); len(took) < 100 || time.Since(began) < time.Duration(length)*time.Second; looks++ {
		if time.Since(began) > time.Duration(length+60)*time.Second {
			t.Fatalf("the pool was full at %d of %d looks", len(admin), looks)
		}
		if !full() { // only what comes meanwhile counts
			<-time.After(10 * time.Millisecond)
			continue
		}
		for range 10 {
			took, calm = append(took, p.locals(t, 1)...), append(calm, beside.locals(t, 1)...)
		}
		began := time.Now()
		c := p.client(t, "unix", func(cfg *client.Config) { cfg.Key = w.d.key })
		_, err := c.Channels(within(t, 10*time.Second), true)
		must(t, err)
		admin = append(admin, time.Since(began))
		must(t, c.Close())
	}
	_, p99 := slowest(took)
	_, admin99 := slowest(admin)
	_, calm99 := slowest(calm)
	_, all := slowest(append(slices.Clone(took), admin...))
	if all > max(atMost(100*time.Millisecond), atMost(3*calm99)) { // here it shares two processors with what makes the flood
		t.Errorf("p99 of %d logins is %v, of an administrator's %v; at a server without a flood %v", len(took), p99, admin99, calm99)
	}
	if !eventually(3*time.Second, func() bool { return w.d.tallied("evicted") > 0 }) {
		t.Errorf("the pool was full at %d of %d looks, and nothing was evicted", len(admin), looks)
	}
	flood.call("Lift", None{}, &None{})
	report(t, "F03", "the pool of TCP full for %d s: p99 of %d local logins %v, of %d administrators' with a list %v; of those at a server without a flood %v", length, len(took), p99, len(admin), admin99, calm99)
}

// F04: hellos that are under the network key, and stall: no more handshakes
// compute at once than there are processors, a login of an address that nobody
// knows takes less than a second, and a relay goes on beside them. What the relay
// carries is compared with what it does beside the same flood of somebody who only
// accepts, in turns with it: for here all share two processors, and neither the
// making of a flood nor the kernel's part of taking it is the server's doing.
func TestF04Hellos(t *testing.T) {
	w := newWorld(t)
	crowd := w.crowd(250)
	flood, honest, sink := w.stranger(w.b), w.stranger(w.b), w.stranger(w.a)
	const sinkPort = "9"
	sink.call("Sink", hostA+":"+sinkPort, &None{})
	rate, length, round := times(2000, 5000), time.Duration(times(3, 30))*time.Second, time.Duration(times(1, 2))*time.Second
	hello := newParty([32]byte{4}, w.d.key.Public()).hello1()
	besiege := func(port string, f func()) {
		flood.call("Storm", SiegeArgs{Address: hostA + ":" + port, From: crowd, N: rate * 60, Rate: rate, Say: hello}, &None{})
		defer flood.call("Lift", None{}, &None{})
		eventually(10*time.Second, func() bool { return flood.besieged().Made > int64(rate)/2 })
		f()
	}
	var logins []time.Duration
	var first, slowestLogin, p99, each time.Duration // each: of a processor, for one hello
	tries, reached := 0, 0.0
	for try := 0; try == 0 || try < 3 && p99 > atMost(time.Second); try++ { // the machine has other things to do, too
		logins, tries = nil, 0
		besiege(w.d.port, func() {
			pid := w.d.cmd.Process.Pid
			used, made, began := cpu(t, pid), flood.besieged().Made, time.Now()
			for time.Since(began) < length {
				s := w.logins(honest, hostB, 1)
				logins, tries = append(logins, s.Took...), tries+s.Tries
				<-time.After(200 * time.Millisecond) // less often than a source may
			}
			made = flood.besieged().Made - made
			each, reached = (cpu(t, pid)-used)/time.Duration(max(1, made)), float64(made)/time.Since(began).Seconds()
		})
		if try == 0 && len(logins) > 0 {
			first = logins[0]
		}
		slowestLogin, p99 = slowest(logins)
	}
	load := w.place().load(t, "org.example.load")
	quiet := load.during(round)
	share, least := 0.0, times(0.3, 0.7)
	var here, there []float64
	for try := 0; try < 3 && share < least; try++ {
		var shares []float64
		for range times(3, 7) {
			besiege(sinkPort, func() { there = append(there, load.during(round)) })
			besiege(w.d.port, func() { here = append(here, load.during(round)) })
			shares = append(shares, here[len(here)-1]/there[len(there)-1])
		}
		share = percentile(shares, 50)
	}
	if share < least {
		t.Errorf("the relay carries %.2f of what it does beside a flood that is only accepted: %.0f and %.0f MiB/s", share, here, there)
	}
	if p99 > atMost(time.Second) || len(logins) < 2 || each > atMost(500*time.Microsecond) {
		t.Errorf("p99 of %d logins is %v; a hello takes %v of a processor", len(logins), p99, each)
	}
	if !eventually(5*time.Second, func() bool { return w.d.tallied("evicted") > 0 && w.d.tallied("delayed") > 0 }) {
		t.Errorf("nothing was evicted or delayed: %s", w.d.log())
	}
	if most := w.d.tallied("most_handshakes"); most < 1 || most > runtime.GOMAXPROCS(0) {
		t.Errorf("%d handshakes computed at once", most)
	}
	report(t, "F04", "%.0f hellos a second of %d addresses: %d handshakes computed at once at most, each hello took %v of a processor; the first login of another address took %v, %d more %v at most (p99 %v, %d tries); the relay carried %.2f of what it does beside the same flood of who only accepts (medians %.0f of %.0f MiB/s; without a flood %.0f)",
		reached, len(crowd), w.d.tallied("most_handshakes"), each.Round(time.Microsecond), first.Round(time.Millisecond), len(logins)-1, slowestLogin.Round(time.Millisecond), p99.Round(time.Millisecond), tries,
		share, percentile(here, 50), percentile(there, 50), quiet)
}

// F05: who fails to log in four times is refused before anything is read for 20 s,
// and admitted then.
func TestF05Penalty(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.stranger(w.b)
	address := hostA + ":" + w.d.port
	bad := LoginArgs{Address: address, From: hostB, Server: w.d.key.Public(), Seed: [32]byte{5}, N: 1, Once: true}
	began := time.Now()
	for range 4 {
		var s LoginState
		a.call("Login", bad, &s)
		if len(s.Errs) != 1 {
			t.Errorf("a stranger logged in: %+v", s)
		}
	}
	barred, looks := true, 0
	if !eventually(40*time.Second, func() bool {
		<-time.After(250 * time.Millisecond)
		looks++
		a.call("Barred", LoginArgs{Address: address, From: hostB}, &barred)
		return !barred
	}) {
		t.Error("still barred after 40 s")
	}
	took := time.Since(began)
	if took < 19*time.Second || took > 20*time.Second+atMost(2*time.Second) {
		t.Errorf("admitted again after %v, want 20 s", took)
	}
	if s := w.logins(a, hostB, 1); len(s.Took) != 1 || s.Tries != 1 {
		t.Errorf("then a login: %+v", s)
	}
	w.d.logged(`msg="source barred" source=`+hostB+" for=20s reason=failed_auth", 1)
	report(t, "F05", "four refused logins: %d connections closed unread, admitted again after %v", looks-1, took.Round(100*time.Millisecond))
}
