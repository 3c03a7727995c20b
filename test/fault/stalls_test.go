//go:build fault

package fault_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// storm changes what one name says, by 400 bytes each time.
type storm struct {
	t testing.TB
	c *client.Client
	n int
}

func (p place) storm(t testing.TB) *storm {
	t.Helper()
	s := &storm{t: t, c: p.client(t, "unix")}
	_, err := s.c.Claim(within(t, 10*time.Second), "org.example.storm", client.ClaimOptions{Info: 0})
	must(t, err)
	return s
}

// blow makes n changes, no more than 1,000 a second.
func (s *storm) blow(n int) {
	s.t.Helper()
	ctx := within(s.t, time.Minute)
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for range n {
		if s.n++; s.n%20 == 0 {
			<-pace.C
		}
		must(s.t, s.c.Update(ctx, "org.example.storm", fmt.Sprintf("%0400d", s.n)))
	}
}

// F49: a watcher that takes a byte a second, once of its socket and once of its
// yamux window: what waits for it is bounded, it is told that it lagged as soon
// as it reads so far, and is cut when it has taken nothing whole for 10 s.
func TestF49SlowWatcher(t *testing.T) {
	t.Parallel()
	d, p := startDaemon(t)
	near := p.neighbour(t, "org.example.near")
	weather := p.storm(t)
	weather.blow(times(500, 5000)) // the registry keeps the last 4,096 changes
	before := resetPeak(t, d.cmd.Process.Pid)
	sloth, events := p.watcher(t)
	weather.blow(times(1500, 5000)) // less than 10 s
	must(t, sloth.put(grant(1, 1<<20)))
	lagged := watchUntil(t, events, "lagged")
	watchUntil(t, events, "synced")
	weather.blow(1)
	watchUntil(t, events, "updated")

	deaf, _ := p.watcher(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { near.knock(stop) })
	var took [2]time.Duration
	began := time.Now()
	for i, h := range []*hand{sloth, deaf} {
		wg.Go(func() {
			pace := time.NewTicker(time.Second)
			defer pace.Stop()
			var err error
			for err == nil {
				<-pace.C
				if i == 0 {
					err = h.put(grant(1, 1))
				} else {
					_, err = h.Conn.Read(make([]byte, 1))
				}
				took[i] = time.Since(began)
			}
		})
	}
	for !d.sawEnds(2) && time.Since(began) < slow*40*time.Second {
		weather.blow(50)
	}
	weather.blow(times(100, 4000)) // nobody waits for it any more
	grew := peak(t, d.cmd.Process.Pid) - before
	sloth.Close()
	deaf.Close()
	close(stop)
	wg.Wait()
	for i, d := range took {
		if d < 8*time.Second || d > slow*35*time.Second {
			t.Errorf("watcher %d was cut after %v, want some 10 s", i, d)
		}
	}
	if grew > 32<<20 {
		t.Errorf("the server grew by %s", mib(grew))
	}
	if !strings.Contains(d.log(), "session ends") || strings.Contains(d.log(), "panic") {
		t.Errorf("the log does not say why: %s", d.log())
	}
	p.alive(t)
	report(t, "F49", "%d changes of 400 bytes past a watcher that takes a byte a second: told that it lagged after %d events, right again after the snapshot; cut after %v, one that does not read its socket after %v; the server grew by %s",
		weather.n, lagged, took[0].Round(time.Second), took[1].Round(time.Second), mib(max(0, grew)))
}

// sawEnds says whether n sessions have ended with an error.
func (d *daemon) sawEnds(n int) bool {
	ends := 0
	for line := range strings.Lines(d.log()) {
		if strings.Contains(line, "session ends") && strings.Contains(line, "err=") {
			ends++
		}
	}
	return ends >= n
}

// watcher begins a watch on stream 1, and reads its snapshot.
func (p place) watcher(t *testing.T) (*hand, io.Reader) {
	t.Helper()
	h := p.hand(t)
	must(t, h.SetDeadline(time.Now().Add(slow*time.Minute)))
	must(t, h.put(open(1), packetOn(1, 0x0a, 1, `{"name":["names","watch"],"args":[],"type":"source"}`)))
	events := bufio.NewReader(&streamOf{h: h, t: t, id: 1})
	watchUntil(t, events, "synced")
	return h, events
}

// watchUntil reads the events of a watch up to one of a type, and returns how
// many there were.
func watchUntil(t *testing.T, lane io.Reader, kind string) (n int) {
	t.Helper()
	for {
		n++
		got, err := muxrpc.ReadPacket(lane, 1<<20)
		must(t, err)
		var ev struct{ Type string }
		must(t, json.Unmarshal(got.Body, &ev))
		if ev.Type == kind {
			return n
		}
	}
}

// streamOf reads the data of a stream.
type streamOf struct {
	h    *hand
	t    testing.TB
	id   uint32
	rest string
}

// Read fails the test at any end of the stream.
func (s *streamOf) Read(p []byte) (int, error) {
	if s.rest == "" {
		s.rest = s.h.bytes(s.t, s.id, 1)
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// F48: a plugin, its caller and a watcher, each a process or a key of its own,
// and the plugin and the watcher are stopped: they are cut, the caller is told,
// nobody else notices; and when they run again all is as before, by itself.
func TestF48Stopped(t *testing.T) {
	t.Parallel()
	dir := room(t)
	pluginKey := newKey(t, dir+"/plugin.key")
	newKey(t, dir+"/watcher.key")
	d, p := startDaemon(t)
	source(t, dir+"/source.sock")
	near := p.neighbour(t, "org.example.near")
	weather := p.storm(t)
	c := p.client(t, "unix")
	w := watch(t, c, "org.example.victim")
	address := p.address()
	plugin := spawn(t, command(t, dir, "sbctl", "--address", address, "--key", dir+"/plugin.key", "expose", "org.example.victim", "unix:"+dir+"/source.sock"))
	w.next(t, w.came, w.went, "came")
	watcher := spawn(t, command(t, dir, "sbctl", "--address", address, "--key", dir+"/watcher.key", "watch", "--json", "org.example.storm"))
	watcher.until(t, `"synced"`)

	conn, err := c.Open(within(t, 10*time.Second), "org.example.victim", client.OpenOptions{})
	must(t, err)
	defer conn.Abort()
	idle, err := c.Open(within(t, 10*time.Second), "org.example.victim", client.OpenOptions{})
	must(t, err)
	defer idle.Abort()
	var wg sync.WaitGroup
	var received int64
	var read error
	begun := make(chan struct{})
	wg.Go(func() { _, _ = flow(2).send(conn, nil) })
	wg.Go(func() { received, read = flow(1).receive(conn, func() { close(begun) }) })
	<-begun

	before := resetPeak(t, d.cmd.Process.Pid)
	must(t, errors.Join(plugin.Process.Signal(syscall.SIGSTOP), watcher.Process.Signal(syscall.SIGSTOP)))
	stopped := time.Now()
	// More than fits into its socket, whatever is left of the other channel's window.
	wg.Go(func() { _, _ = flow(2).send(idle, nil) })
	took := near.during(func() {
		for !d.sawEnds(2) && time.Since(stopped) < slow*40*time.Second {
			weather.blow(50)
		}
		wg.Wait() // the channel
	})
	cut := time.Since(stopped)
	grew := peak(t, d.cmd.Process.Pid) - before
	if cut > slow*35*time.Second || cut < 8*time.Second {
		t.Errorf("cut after %v, want some 10 s", cut)
	}
	if read == io.EOF || errors.Is(read, errAltered) {
		t.Errorf("the channel of a stopped plugin ended after %d bytes with %v", received, read)
	}
	w.next(t, w.went, w.came, "was stopped")
	for range times(0, 60) { // longer than anybody may be silent
		<-time.After(time.Second)
	}
	must(t, errors.Join(plugin.Process.Signal(syscall.SIGCONT), watcher.Process.Signal(syscall.SIGCONT)))
	w.next(t, w.came, w.went, "went on")
	if e, err := c.Lookup(within(t, 10*time.Second), "org.example.victim"); err != nil || e.ID != pluginKey.Public() {
		t.Errorf("the name belongs to %v, %v, want the plugin", e.ID, err)
	}
	again, err := c.Open(within(t, 10*time.Second), "org.example.victim", client.OpenOptions{})
	must(t, err)
	buf := make([]byte, 100_000)
	if _, err := io.ReadFull(again, buf); err != nil || !flow(1).check(buf, 0) {
		t.Errorf("a channel to the plugin that went on: %v, or other bytes", err)
	}
	must(t, again.Abort())
	must(t, weather.c.Update(within(t, 10*time.Second), "org.example.storm", "the last"))
	watcher.until(t, `"the last"`)
	longest, p99 := slowest(took)
	if longest > slow*2*time.Second || grew > 32<<20 {
		t.Errorf("a neighbour waited %v; the server grew by %s", longest, mib(grew))
	}
	p.alive(t)
	report(t, "F48", "a plugin and a watcher stopped under load: both cut and the caller told after %v; a neighbour's round took %v (p99 %v); the server grew by %s; when they ran again the name was claimed, a channel opened and the watch up to date, by itself",
		cut.Round(100*time.Millisecond), longest, p99, mib(max(0, grew)))
}

// F48, of those that do nothing: who is silent for 45 s is gone. Only the full
// form takes that long; the short one sees that nobody is gone sooner.
func TestF48Silent(t *testing.T) {
	t.Parallel()
	dir := room(t)
	newKey(t, dir+"/plugin.key")
	d, p := startDaemon(t)
	c := p.client(t, "unix")
	w := watch(t, c, "org.example.silent")
	plugin := spawn(t, command(t, dir, "sbctl", "--address", p.address(), "--key", dir+"/plugin.key", "expose", "org.example.silent", "exec:cat"))
	w.next(t, w.came, w.went, "came")
	conn, err := c.Open(within(t, 10*time.Second), "org.example.silent", client.OpenOptions{}) // it is all there
	must(t, err)
	must(t, conn.Close())
	must(t, plugin.Process.Signal(syscall.SIGSTOP))
	stopped := time.Now()
	length := time.Duration(times(12, 60)) * time.Second
	select {
	case at := <-w.went:
		if took := at.Sub(stopped); took < 29*time.Second || took > 50*time.Second {
			t.Errorf("gone after %v, want 45 s from its last word", took)
		}
		if !d.sawEnds(1) {
			t.Error("the log does not say why it ended")
		}
		report(t, "F48", "a stopped plugin that nobody talks to: gone after %v", at.Sub(stopped).Round(100*time.Millisecond))
	case <-time.After(length):
		if length > 50*time.Second {
			t.Errorf("after %v the plugin is still there", length)
		}
	}
	gone := time.Since(stopped) < length
	must(t, plugin.Process.Signal(syscall.SIGCONT))
	if gone {
		w.next(t, w.came, w.went, "went on")
	}
	p.alive(t)
}

// address is that of the Unix socket.
func (p place) address() string {
	return shs.Address{Network: "unix", Addr: p.unix, Key: p.key}.String()
}

// process is a command that runs until the test ends; it may be stopped.
type process struct {
	*exec.Cmd
	mu   sync.Mutex
	said strings.Builder // the end of what it has said
}

func spawn(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{Cmd: cmd}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var wg sync.WaitGroup
	wg.Go(func() {
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			if p.said.Len() > 1<<20 {
				p.said.Reset()
			}
			p.said.WriteString(line)
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		cmd.Process.Kill()
		wg.Wait()
		cmd.Wait()
	})
	return p
}

// until waits until the process has said something.
func (p *process) until(t *testing.T, what string) {
	t.Helper()
	if !eventually(20*time.Second, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return strings.Contains(p.said.String(), what)
	}) {
		t.Errorf("%q does not say %s", p.Args, what)
	}
}
