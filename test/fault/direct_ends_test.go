//go:build fault

package fault_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// F33 on direct channels: half-closes, closes and aborts as in F33Schedules, and
// deaths, which take the links as well as the sessions. One channel at a time,
// because links are told from one another by nobody.
func TestF33Direct(t *testing.T) {
	_, p := startDaemon(t)
	seed, only := faultSeed(t)
	const batch = 20
	batches := times(400, 20_000) / batch
	var whole, cut atomic.Int64
	for i := range batches {
		if t.Failed() {
			break
		}
		if only < 0 || only == i {
			directSchedules(t, p, i, batch, rand.New(rand.NewPCG(seed, uint64(i))), &whole, &cut)
		}
	}
	p.alive(t)
	report(t, "F33", "%d schedules on direct channels, half of them sealed: %d directions read to the end of file, each whole; %d cut, each an exact prefix and an error", batches*batch, whole.Load(), cut.Load())
}

// directSchedules is schedules for direct channels.
func directSchedules(t *testing.T, p place, batch, n int, r *rand.Rand, whole, cut *atomic.Int64) {
	var two *twosome
	for i := range n {
		if two == nil {
			two = newTwosome(t, p, fmt.Sprintf("org.example.direct%d.n%d", batch, i), false, client.Mode(r.IntN(3)))
		}
		if two == nil {
			return
		}
		ends := two.open(t, r, client.OpenOptions{Direct: client.DirectRequire, Sealed: r.IntN(2) == 0})
		if ends[0] == nil {
			two.close()
			return
		}
		for _, e := range ends {
			session := e.die
			e.die = func() {
				killLinks(rand.New(rand.NewPCG(0, 0)), 1, 0)
				session()
			}
		}
		if !schedule(t, fmt.Sprintf("batch %d, direct schedule %d", batch, i), ends, r, whole, cut) {
			two.close()
			two = nil
		}
	}
	if two != nil {
		two.close()
	}
}

// F44 on direct channels: 50 of them stream while the server is killed. They go
// on without it and after it, the next server has them in its books, and can end
// them.
func TestF44DirectOutlivesServer(t *testing.T) {
	rounds := times(3, 50)
	keys := make([]shs.PrivateKey, 10)
	var public []shs.PublicKey
	for i := range keys {
		keys[i] = shs.GenerateKey()
		public = append(public, keys[i].Public())
	}
	d := newDaemon(t, public...)
	d.start()
	var couples []*couple
	for i, cfg := range []client.Config{
		{Address: d.unix(), Mode: client.ModePlain},
		{Address: d.unix(), Mode: client.ModePlain},
		{Address: d.unix(), Mode: client.ModeBox},
		{Address: d.tcp()},
		{Address: d.tcp()},
	} {
		cfg.Direct = client.DirectRequire
		couples = append(couples, newCouple(t, fmt.Sprintf("org.example.direct%d", i), cfg, keys[2*i], keys[2*i+1]))
	}
	var listed []time.Duration
	var total int64
	for range rounds {
		took, n := outlive(t, d, couples)
		if t.Failed() {
			return
		}
		listed = append(listed, took)
		total += n
	}
	longest, p99 := slowest(listed)
	report(t, "F44", "%d kills of the server beside 50 direct channels: none was cut, 0 altered bytes of %d MiB; all in the books of the next server after %v at most (p99 %v), which ended them",
		rounds, total>>20, longest, p99)
}

// outlive is one round: how long it took from the kill until the books had all
// channels again, and how much was read.
func outlive(t *testing.T, d *daemon, couples []*couple) (took time.Duration, total int64) {
	t.Helper()
	var running sync.WaitGroup
	var streams []*stream
	var conns []*channel.Conn
	seen := new(atomic.Int64)
	var all [][2]*channel.Conn
	for _, c := range couples {
		all = append(all, c.halves(t, 10)...)
	}
	for i, ends := range all {
		conns = append(conns, ends[0], ends[1])
		defer ends[0].Abort()
		defer ends[1].Abort()
		for k := range ends {
			s, f := &stream{}, flow(2*i+k)
			streams = append(streams, s)
			running.Go(func() { s.written, s.wrote = f.send(paced{ends[k]}, nil) })
			running.Go(func() { s.received, s.read = f.receive(counted{ends[1-k], seen}, nil) })
		}
	}
	on := func(what string) {
		t.Helper()
		before := seen.Load()
		if !eventually(10*time.Second, func() bool { return seen.Load() > before+1<<20 }) {
			t.Errorf("%s nothing is carried", what)
		}
		for _, c := range conns {
			if c.Link() == "" {
				t.Errorf("%s a channel is on no link", what)
			}
		}
	}
	on("before the kill")
	killed := time.Now()
	d.kill()
	on("without a server")
	d.start()
	admin, err := dialUntil(t.Context(), client.Config{Address: d.unix(), Key: d.key})
	must(t, err)
	defer admin.Close()
	var books []client.Channel
	if !eventually(20*time.Second, func() bool {
		books, err = admin.Channels(within(t, 10*time.Second), true)
		return err == nil && len(books) == len(all) && bothBound(books)
	}) {
		t.Errorf("the next server lists %d channels: %v", len(books), books)
	}
	took = time.Since(killed)
	on("with the next server")
	for _, ch := range books {
		if err := admin.CloseChannel(within(t, 10*time.Second), ch.Channel, "round_over"); err != nil {
			t.Error(err)
		}
	}
	running.Wait()
	for _, s := range streams {
		total += s.received
		if s.read == nil || s.read == io.EOF || errors.Is(s.read, errAltered) || s.wrote == nil || s.received > s.written+16<<10 {
			t.Errorf("a stream ended with %v after %d bytes, of which %d were written until %v", s.read, s.received, s.written, s.wrote)
		}
	}
	return took, total
}

// bothBound says whether every channel has both its sessions.
func bothBound(all []client.Channel) bool {
	for _, ch := range all {
		if ch.Caller.Session == "" || ch.Callee.Session == "" {
			return false
		}
	}
	return true
}

// paced leaves the processors to others: 100 streams in one process need not be
// fast.
type paced struct{ io.Writer }

func (p paced) Write(b []byte) (int, error) {
	rest(20 * time.Millisecond)
	return p.Writer.Write(b)
}

// counted adds up what is read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
