//go:build fault

package fault_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// F30: channels to names that nobody owns, and to a callee that refuses, a
// million of them: nothing is left of any.
func TestF30Refused(t *testing.T) {
	const fast = 1 << 30 // the rates are those of F25
	p := serveHere(t, switchboard.Limits{CallRate: fast, CallBurst: fast, OpenRate: fast, OpenBurst: fast})
	shy := mux.Client(p.enter(t), mux.Config{Rates: mux.Rates{Opens: mux.NoRate}})
	defer shy.Close()
	lane, err := shy.Open(t.Context())
	must(t, err)
	send(t, lane, 0x02, 1, `{"name":["names","claim"],"args":[{"name":"org.example.shy"}]}`)
	receive(t, lane)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			offer, err := shy.Accept(t.Context())
			if err != nil {
				return
			}
			receive(t, offer)
			send(t, offer, 0x0e, -1, `{"name":"no","message":"not today","stack":""}`)
			offer.Close()
		}
	})
	defer wg.Wait()
	defer shy.Close()
	var sessions []*mux.Session
	for range 8 {
		s := mux.Client(p.enter(t), mux.Config{})
		defer s.Close()
		sessions = append(sessions, s)
	}
	run := func(n int) {
		var asked atomic.Int64
		var workers sync.WaitGroup
		for _, s := range sessions {
			workers.Go(func() {
				for i := asked.Add(1); i <= int64(n) && !t.Failed(); i = asked.Add(1) {
					if i%2 == 0 {
						askFor(t, s, "org.example.shy", "refused")
					} else {
						askFor(t, s, fmt.Sprintf("org.example.nobody%d", i), "not_found")
					}
				}
			})
		}
		workers.Wait()
	}
	run(2000)
	base := settle(t, measure(t), 1<<20)
	total := times(20_000, 1_000_000)
	run(total)
	now := settle(t, base, 1<<20)
	report(t, "F30", "%d channels refused, half by the registry and half by a callee: heap %+d KiB, goroutines %d, at the start %d",
		total, (int64(now.heap)-int64(base.heap))>>10, now.goroutines, base.goroutines)
}

// askFor asks for a channel, which must be refused with the code.
func askFor(t *testing.T, s *mux.Session, to, code string) {
	lane, err := s.Open(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	defer lane.Close()
	send(t, lane, 0x0a, 1, `{"name":["connect"],"args":[{"to":"`+to+`"}],"type":"duplex"}`)
	var got struct{ Name string }
	if res := receive(t, lane); res.Flags != 0x0e || json.Unmarshal(res.Body, &got) != nil || got.Name != code {
		t.Errorf("%s: got %02x %s, want %s", to, res.Flags, res.Body, code)
	}
}

// F31 (a): a thousand sessions of which each claims 256 KiB and sends a byte.
func TestF31ClaimedLengths(t *testing.T) {
	sessions := times(300, 1000)
	p := serveHere(t, switchboard.Limits{})
	callee := p.newTaker(t, "org.example.taker")
	var wg sync.WaitGroup
	defer wg.Wait()
	defer callee.Conn.Close()
	wg.Go(func() { callee.take(func() bool { return true }) })
	var all []*hand
	for i := range sessions {
		h := p.hand(t)
		must(t, h.SetDeadline(time.Now().Add(5*time.Minute)))
		h.lane(t, 1, `{"name":["ping"],"args":[]}`)
		if i%2 == 0 { // a channel; the others begin a lane
			must(t, h.put(open(3), connectOn(3, "org.example.taker")))
			if got := h.packet(t, 3); got.Flags != 0x0a {
				t.Fatalf("connect: %s", got.Body)
			}
		}
		all = append(all, h)
	}
	before := measure(t).heap
	for i, h := range all {
		first := claim(3, uint32(firstWindow)-1000) // less the connect
		if i%2 == 1 {
			first = claim(3, firstWindow)
			must(t, h.put(open(3)))
		}
		first.body = "\x02"
		must(t, h.put(pingOn(1, 2), first))
	}
	for _, h := range all { // has read what came with the ping
		if got := h.packet(t, 1); got.Req != -2 {
			t.Fatalf("ping: got %+v", got)
		}
	}
	grew := int64(measure(t).heap) - int64(before)
	if most := int64(8<<20) * int64(sessions) / 1000; grew > most {
		t.Errorf("the heap grew by %s, want at most %s", mib(grew), mib(most))
	}
	p.alive(t)
	report(t, "F31", "%d sessions that claim 256 KiB and send a byte: the heap grew by %d bytes a session", sessions, max(0, grew)/int64(sessions))
}

// F31 (b): the windows of 8 or 32 channels filled by frames of one byte, on the way
// to a session that takes nothing.
func TestF31TinyFrames(t *testing.T) {
	channels := times(4, 32) // the callee is cut in 10 s
	p := serveHere(t, switchboard.Limits{})
	callee, caller := p.newTaker(t, "org.example.stuck"), p.newFeeder(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer caller.Conn.Close()
	defer callee.Conn.Close()
	var stuck atomic.Bool
	wg.Go(func() { callee.take(func() bool { return callee.open() < channels }); stuck.Store(true) })
	wg.Go(caller.listen)
	ids := caller.call(t, "org.example.stuck", channels)
	if !eventually(5*time.Second, stuck.Load) {
		t.Fatal("the callee reads on")
	}
	before := measure(t).heap
	caller.feed(ids, 1, 500*time.Millisecond)
	grew := int64(measure(t).heap) - int64(before)
	caller.mu.Lock()
	defer caller.mu.Unlock()
	if caller.ended || len(caller.resets) > 0 {
		t.Errorf("the session ended: %v, resets by reason: %v", caller.ended, caller.resets)
	}
	if caller.sent < channels*int(firstWindow)*9/10 || grew > 2*int64(caller.sent) {
		t.Errorf("%s in frames of a byte hold %s, want at most twice that", mib(int64(caller.sent)), mib(grew))
	}
	report(t, "F31", "%s in frames of a byte on %d channels hold %s", mib(int64(caller.sent)), channels, mib(grew))
}

// F32: a single Write of 5 GiB; it ends, every byte is in its place, and while
// the reader pauses nobody is busy.
func TestF32HugeWrite(t *testing.T) {
	const mark = 64 << 20 // where the offset is written; all else is zero, and costs no memory
	size := times(256<<20, 5<<30)
	d, p := startDaemon(t)
	c := newCouple(t, "org.example.huge", client.Config{Address: shs.Address{Network: "unix", Addr: p.unix, Key: p.key}.String()},
		shs.GenerateKey(), shs.GenerateKey())
	ends := c.halves(t, 1)[0]
	data := make([]byte, size)
	for off := 0; off < size; off += mark {
		binary.BigEndian.PutUint64(data[off:], uint64(off))
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if n, err := ends[0].Write(data); n != size || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		if err := ends[0].CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	buf, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	const most = 200 * time.Millisecond
	busy := most
	for off := 0; off < size; off += len(buf) {
		if off == size/2 {
			for try := 0; try < 5 && busy >= most; try++ { // the first may be while windows fill
				busy = pause(t, d.cmd.Process.Pid)
			}
		}
		if _, err := io.ReadFull(ends[1], buf); err != nil {
			t.Fatalf("after %d bytes: %v", off, err)
		}
		if off%mark == 0 {
			if got := binary.BigEndian.Uint64(buf); got != uint64(off) {
				t.Fatalf("at %d: found what belongs to %d", off, got)
			}
			clear(buf[:8])
		}
		if !bytes.Equal(buf, zero) {
			t.Fatalf("at %d: altered", off)
		}
	}
	if n, err := ends[1].Read(buf); n != 0 || err != io.EOF {
		t.Errorf("behind the last byte: %d, %v", n, err)
	}
	wg.Wait()
	if busy >= most {
		t.Errorf("while the reader paused for a second, %v of processor time went", busy)
	}
	p.alive(t)
	report(t, "F32", "one Write of %d MiB: complete and in order; while its reader paused for 1 s, both processes used %v", size>>20, busy)
}

// pause waits for a second in which this process and another should do nothing.
func pause(t *testing.T, pid int) time.Duration {
	t.Helper()
	<-time.After(200 * time.Millisecond) // windows fill
	before := cpu(t, pid) + cpu(t, os.Getpid())
	<-time.After(time.Second)
	return cpu(t, pid) + cpu(t, os.Getpid()) - before
}
