//go:build fault

package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// end is one end of a channel of F33, and what it does.
type end struct {
	conn   channelLane
	flow   flow
	writes []int  // sizes
	finish finish // after the writes
	stop   int64  // bytes after which it reads no more; negative: reads to the end
	sudden finish // done beside the writes, at a moment of its own; zero: nothing
	wait   int    // until then
	die    func() // what sudden death is

	mu      sync.Mutex
	written int64 // guarded by mu, as are all below
	ended   bool  // CloseWrite or Close succeeded
	closed  bool  // Close, Abort or death: what it reads itself proves nothing
	torn    bool  // Abort or death
	got     int64
	readErr error
}

// finish is how an end ends.
type finish int

const (
	nothing finish = iota
	closeWrite
	closeBoth
	abort
	death
)

// F33: channels by the thousand whose ends write, read, half-close, close and
// abort at random, or die: what is read is an exact prefix of what was written,
// and an end of file stands only behind all of it. FAULT_SEED=seed/batch runs one
// batch of an earlier run again.
func TestF33Schedules(t *testing.T) {
	_, p := startDaemon(t)
	const batch = 20
	seed, only := faultSeed(t)
	batches := times(1000, 100_000) / batch
	var whole, cut atomic.Int64
	var wg sync.WaitGroup
	work := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range work {
				schedules(t, p, i, batch, rand.New(rand.NewPCG(seed, uint64(i))), &whole, &cut)
			}
		})
	}
	for i := range batches {
		if t.Failed() {
			break
		}
		if only < 0 || i == only {
			work <- i
		}
	}
	close(work)
	wg.Wait()
	p.alive(t)
	report(t, "F33", "%d schedules: %d directions read to the end of file, each whole; %d cut, each an exact prefix and an error", batches*batch, whole.Load(), cut.Load())
}

// faultSeed returns the seed of the test's random choices, and which batch of
// them is to be run; negative: all. A test that fails says its seed.
func faultSeed(t *testing.T) (seed uint64, only int) {
	t.Helper()
	seed, only = rand.Uint64(), -1
	if text := os.Getenv("FAULT_SEED"); text != "" {
		first, second, one := strings.Cut(text, "/")
		var err, err2 error
		seed, err = strconv.ParseUint(first, 10, 64)
		if one {
			only, err2 = strconv.Atoi(second)
		}
		must(t, errors.Join(err, err2))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("FAULT_SEED=%d", seed)
		}
	})
	return seed, only
}

// schedules runs n channels, one after the other, between two clients; others
// take their place when one has died.
func schedules(t *testing.T, p place, batch, n int, r *rand.Rand, whole, cut *atomic.Int64) {
	single, mode := r.IntN(2) == 1, client.Mode(r.IntN(3))
	var two *twosome
	for i := range n {
		if two == nil {
			two = newTwosome(t, p, fmt.Sprintf("org.example.schedule%d.n%d", batch, i), single, mode)
		}
		if two == nil {
			return
		}
		ends := two.ends(t, r)
		if ends[0] == nil || !schedule(t, fmt.Sprintf("batch %d, schedule %d", batch, i), ends, r, whole, cut) {
			two.close()
			two = nil
		}
	}
	if two != nil {
		two.close()
	}
}

// schedule runs one channel, and reports whether both clients have lived on.
func schedule(t *testing.T, what string, ends [2]*end, r *rand.Rand, whole, cut *atomic.Int64) (lived bool) {
	var wg sync.WaitGroup
	for _, e := range ends {
		e.plan(r, 100_000)
	}
	for j, e := range ends {
		wg.Go(e.write)
		wg.Go(func() { e.read(ends[1-j].flow) })
		wg.Go(e.surprise)
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(slow * time.Minute):
		t.Errorf("%s: an end still waits after minutes: %v, %v", what, ends[0], ends[1])
		ends[0].die()
		ends[1].die()
		<-done
	}
	for _, e := range ends {
		e.conn.Abort()
	}
	for j, e := range ends {
		e.judge(t, fmt.Sprintf("%s, end %d", what, j), ends[1-j], whole, cut)
	}
	return ends[0].sudden != death && ends[1].sudden != death
}

// twosome is a caller and a callee that can die.
type twosome struct {
	clients [2]*client.Client
	ln      net.Listener
	name    string
	mu      sync.Mutex
	raws    [2][]net.Conn // guarded by mu
}

func newTwosome(t *testing.T, p place, name string, single bool, mode client.Mode) *twosome {
	two := &twosome{name: name}
	for j := range two.clients {
		c, err := client.Dial(within(t, time.Minute), client.Config{
			Address: p.address(), Key: shs.GenerateKey(), Mode: mode, SingleLane: single, NoReconnect: true,
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				var d net.Dialer
				conn, err := d.DialContext(ctx, network, addr)
				two.mu.Lock()
				defer two.mu.Unlock()
				two.raws[j] = append(two.raws[j], conn)
				return conn, err
			},
		})
		if err != nil {
			t.Error(err)
			return nil
		}
		two.clients[j] = c
	}
	var err error
	if two.ln, err = two.clients[1].Listen(within(t, time.Minute), name); err != nil {
		t.Error(err)
		return nil
	}
	return two
}

// ends opens a channel.
func (two *twosome) ends(t *testing.T, r *rand.Rand) (ends [2]*end) {
	return two.open(t, r, client.OpenOptions{})
}

func (two *twosome) open(t *testing.T, r *rand.Rand, opts client.OpenOptions) (ends [2]*end) {
	caller, err := two.clients[0].Open(within(t, time.Minute), two.name, opts)
	if err != nil {
		t.Error(err)
		return ends
	}
	callee, err := two.ln.Accept()
	if err != nil {
		t.Error(err)
		return ends
	}
	for j, conn := range []channelLane{caller, callee.(*channel.Conn)} {
		ends[j] = &end{conn: conn, flow: flow(r.Uint64()), die: func() {
			two.mu.Lock()
			defer two.mu.Unlock()
			for _, raw := range two.raws[j] {
				raw.Close()
			}
		}}
	}
	return ends
}

func (two *twosome) close() {
	two.ln.Close()
	for _, c := range two.clients {
		c.Close()
	}
}

// plan makes up what an end does. Whoever stops reading closes, so that nobody
// waits for it for ever. most bounds a write.
func (e *end) plan(r *rand.Rand, most int) {
	for range r.IntN(8) {
		e.writes = append(e.writes, 1+r.IntN([]int{10, 5000, most}[r.IntN(3)]))
	}
	e.finish = []finish{closeWrite, closeWrite, closeWrite, closeWrite, closeBoth, abort}[r.IntN(6)]
	e.stop = -1
	e.wait = r.IntN(2000)
	switch r.IntN(16) {
	case 0:
		e.stop, e.sudden = int64(r.IntN(1000)), closeBoth
	case 1:
		e.sudden = closeBoth // during a write, perhaps
	case 2:
		e.sudden = abort
	case 3:
		e.sudden = death
	}
}

func (e *end) write() {
	buf := make([]byte, 100_000)
	off := int64(0)
	for _, size := range e.writes {
		e.flow.fill(buf[:size], off)
		n, err := e.conn.Write(buf[:size])
		off += int64(n)
		e.mu.Lock()
		e.written = off
		e.mu.Unlock()
		if err != nil {
			break
		}
	}
	e.act(e.finish)
}

// act ends the end. The note that it tears comes before the deed, the note that
// it ended well after.
func (e *end) act(f finish) {
	e.mu.Lock()
	e.closed = e.closed || f > closeWrite
	e.torn = e.torn || f > closeBoth
	e.mu.Unlock()
	var err error
	switch f {
	case closeWrite:
		err = e.conn.CloseWrite()
	case closeBoth:
		err = e.conn.Close()
	case abort:
		e.conn.Abort()
	case death:
		e.die()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil && (f == closeWrite || f == closeBoth) {
		e.ended = true
	}
}

func (e *end) surprise() {
	if e.sudden == nothing {
		return
	}
	for range e.wait {
		runtime.Gosched()
	}
	e.act(e.sudden)
}

func (e *end) read(f flow) {
	src := io.Reader(e.conn)
	if e.stop >= 0 {
		src = io.LimitReader(src, e.stop)
	}
	n, err := f.receive(src, func() {})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got, e.readErr = n, err
	if e.stop >= 0 {
		e.closed = true // its io.EOF may be its own
	}
}

// judge holds what e read against what other wrote.
func (e *end) judge(t *testing.T, what string, other *end, whole, cut *atomic.Int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	if errors.Is(e.readErr, errAltered) {
		t.Errorf("%s: altered after %d bytes", what, e.got)
	}
	if e.got > other.written {
		t.Errorf("%s: got %d bytes of %d that were written", what, e.got, other.written)
	}
	if e.stop >= 0 || e.closed {
		return
	}
	if e.readErr == io.EOF {
		whole.Add(1)
		if !other.ended && !other.closed || e.got != other.written {
			t.Errorf("%s: end of file after %d bytes; the other end wrote %d, and ended well: %v", what, e.got, other.written, other.ended)
		}
		return
	}
	cut.Add(1)
	if !other.closed { // it did nothing but write and half-close
		t.Errorf("%s: got %v after %d of %d bytes, want all and the end of file", what, e.readErr, e.got, other.written)
	}
}

// String tells where an end hangs.
func (e *end) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return fmt.Sprintf("wrote %d of %v, then %d; beside it %d; read %d, %v", e.written, e.writes, e.finish, e.sudden, e.got, e.readErr)
}
