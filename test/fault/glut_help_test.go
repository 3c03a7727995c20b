//go:build fault

package fault_test

import (
	"encoding/binary"
	"strings"
	"sync"
	"testing"
	"time"
)

// taker is a callee by hand: it takes every offer, reads what comes as long as
// it is told to, and never grants more than the first window.
type taker struct {
	*hand
	mu       sync.Mutex
	offers   map[uint32]string // what has come of those that are not answered
	channels map[uint32]int    // bytes that have come
	resets   int
}

// newTaker logs in, claims name, and leaves no lane open.
func (p place) newTaker(t testing.TB, name string) *taker {
	t.Helper()
	return p.newTakerOf(t, name, someSeed())
}

func (p place) newTakerOf(t testing.TB, name string, seed [32]byte) *taker {
	t.Helper()
	k := &taker{hand: p.plainHandOf(t, seed), offers: make(map[uint32]string), channels: make(map[uint32]int)}
	must(t, k.SetDeadline(time.Now().Add(5*time.Minute)))
	k.owner(t, name)
	must(t, k.put(flagged(1, withFIN)))
	k.until(t, "the end of the control lane", func(f frame) bool { return f.id == 1 && f.flags&withFIN != 0 })
	return k
}

// take reads frames while more says so, or until the connection ends.
func (k *taker) take(more func() bool) {
	for more() {
		f, err := k.next()
		if err != nil || k.took(f) != nil {
			return
		}
	}
}

func (k *taker) took(f frame) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, asked := k.offers[f.id]
	switch {
	case f.flags&withSYN != 0:
		k.offers[f.id] = f.body
	case f.flags&withRST != 0:
		k.resets++
	case asked && f.typ == ofData:
		k.offers[f.id] += f.body
	case f.typ == ofData:
		k.channels[f.id] += len(f.body)
	}
	if got := k.offers[f.id]; len(got) >= 9 && len(got) == 9+int(binary.BigEndian.Uint32([]byte(got[1:]))) {
		delete(k.offers, f.id)
		k.channels[f.id] = 0
		return k.put(flagged(f.id, withACK), packetOn(f.id, 0x0a, -1, "{}"))
	}
	return nil
}

// open is how many channels there are.
func (k *taker) open() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.channels)
}

// came is how many bytes have come.
func (k *taker) came() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.channels {
		n += m
	}
	return n
}

// feeder is a caller by hand that writes as much as it may.
type feeder struct {
	*hand
	id uint32 // of the next stream

	mu      sync.Mutex
	changed chan struct{}     // closed by the next frame that matters
	windows map[uint32]int    // of the channels
	asked   map[uint32]int    // bytes of the request; not answered yet
	sent    int               // bytes in channels
	resets  map[uint32]int    // of channels, by reason
	first   int               // sent before the first reset
	echoed  map[uint32]string // what came back
	away    *frame            // the go-away
	ended   bool              // the session
}

func (p place) newFeeder(t testing.TB) *feeder {
	t.Helper()
	return p.newFeederOf(t, someSeed())
}

func (p place) newFeederOf(t testing.TB, seed [32]byte) *feeder {
	t.Helper()
	f := &feeder{
		hand: p.plainHandOf(t, seed), id: 1, changed: make(chan struct{}), windows: make(map[uint32]int),
		asked: make(map[uint32]int), resets: make(map[uint32]int), echoed: make(map[uint32]string),
	}
	must(t, f.SetDeadline(time.Now().Add(5*time.Minute)))
	return f
}

// listen reads what the server says until the connection ends.
func (f *feeder) listen() {
	for {
		g, err := f.next()
		f.mu.Lock()
		if err != nil {
			f.ended = true
			f.note()
			f.mu.Unlock()
			return
		}
		_, there := f.windows[g.id]
		asked, waits := f.asked[g.id]
		switch {
		case g.typ == ofGoAway:
			f.away = &g
		case g.flags&withRST != 0 && (there || waits):
			if len(f.resets) == 0 {
				f.first = f.sent
			}
			f.resets[g.length]++
			delete(f.windows, g.id)
			delete(f.asked, g.id)
		case g.typ == ofWindow && waits:
			f.asked[g.id] = asked - int(g.length)
		case g.typ == ofWindow && there:
			f.windows[g.id] += int(g.length)
		case g.typ == ofData && waits && strings.HasPrefix(g.body, "\x0a"):
			f.windows[g.id] = int(firstWindow) - asked
			delete(f.asked, g.id)
		case g.typ == ofData && there:
			f.echoed[g.id] += g.body
		}
		f.note()
		f.mu.Unlock()
	}
}

func (f *feeder) note() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait waits until ok, which is called with mu held and usually true within d.
func (f *feeder) wait(d time.Duration, ok func() bool) bool {
	late := time.NewTimer(slow * d)
	defer late.Stop()
	for {
		f.mu.Lock()
		done, changed := ok() || f.ended, f.changed
		f.mu.Unlock()
		if done {
			return ok()
		}
		select {
		case <-changed:
		case <-late.C:
			return false
		}
	}
}

// call opens n channels to a name, a few at a time, and returns their ids.
func (f *feeder) call(t testing.TB, to string, n int) (ids []uint32) {
	t.Helper()
	for range n {
		if !f.wait(20*time.Second, func() bool { return len(f.asked) < 32 }) {
			t.Fatalf("%d channels are open, and no more come", len(f.windows))
		}
		request := connectOn(f.id, to)
		f.mu.Lock()
		f.asked[f.id] = len(request.body)
		f.mu.Unlock()
		must(t, f.put(open(f.id), request))
		ids = append(ids, f.id)
		f.id += 2
	}
	if !f.wait(20*time.Second, func() bool { return len(f.asked) == 0 }) || len(f.resets) > 0 {
		t.Fatalf("of %d channels %d are not open, and %v were reset", n, len(f.asked), f.resets)
	}
	return ids
}

// feed writes into the channels whatever their windows allow, until that has
// been nothing for idle, or the session has ended. piece is the size of frames.
func (f *feeder) feed(ids []uint32, piece int, idle time.Duration) {
	body := strings.Repeat("f", piece)
	for last := time.Now(); time.Since(last) < idle; {
		f.mu.Lock()
		changed, ended := f.changed, f.ended
		f.mu.Unlock()
		for _, id := range ids {
			for batch := f.portion(id, body); len(batch) > 0; batch = f.portion(id, body) {
				last = time.Now()
				if _, err := f.Write(batch); err != nil {
					return
				}
			}
		}
		if ended {
			return
		}
		select {
		case <-changed:
		case <-time.After(idle - time.Since(last)):
		}
	}
}

// portion is what may go into a channel now, up to 64 KiB, in frames of body.
func (f *feeder) portion(id uint32, body string) (batch []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := 0; f.windows[id] > 0 && n < 64<<10; {
		g := content(id, body[:min(len(body), f.windows[id], 64<<10-n)])
		f.windows[id] -= len(g.body)
		f.sent += len(g.body)
		n += len(g.body)
		batch = append(batch, wired(g)...)
	}
	return batch
}
