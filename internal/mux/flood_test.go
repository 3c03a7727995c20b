package mux_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// F24: pings whose answers nobody reads cost no goroutines, and end the
// session.
func TestPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := rawClient(t, mux.Config{})
		synctest.Wait()
		base := runtime.NumGoroutine()
		for v := uint32(0); s.Err() == nil; v++ {
			if _, err := peer.Write(pinged(syn, v).encode()); err != nil {
				t.Fatal(err)
			}
			if n := runtime.NumGoroutine(); n > base+2 { // who writes, and who says why it ends
				t.Fatalf("%d goroutines more", n-base)
			}
			if v == 1_000_000 {
				t.Fatal("a million pings are waiting")
			}
		}
		<-s.Done()
		if !errors.Is(s.Err(), mux.ErrFlood) {
			t.Errorf("got %v, want ErrFlood", s.Err())
		}
	})
}

// Whoever reads its answers may ping for long.
func TestPings(t *testing.T) {
	_, peer := rawClient(t, mux.Config{})
	for v := range uint32(10_000) {
		peer.send(pinged(syn, v))
		peer.want(pinged(ack, v))
	}
}

// F26: opens over the limit are reset, each, and disturb no stream.
func TestOpenFlood(t *testing.T) {
	const limit, opens = 64, 100_000
	s, peer := rawClient(t, mux.Config{MaxStreams: limit})
	var live []*mux.Stream
	for i := range uint32(limit) {
		peer.send(open(2*i + 1))
		st, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		peer.want(flags(2*i+1, ack))
		live = append(live, st)
	}
	before := heap()
	var wg sync.WaitGroup
	wg.Go(func() {
		var b []byte
		for i := uint32(limit); i < opens; i++ {
			if b = append(b, open(2*i+1).encode()...); len(b) > 30_000 {
				peer.Write(b)
				b = b[:0]
			}
		}
		peer.Write(b)
	})
	for i := uint32(limit); i < opens; i++ {
		if f, err := peer.next(); f != refused(2*i+1) || err != nil {
			t.Fatalf("open %d: got %v, %v, want a reset", i, f, err)
		}
	}
	wg.Wait()
	peer.alive()
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if _, err := s.Open(t.Context()); !errors.Is(err, mux.ErrStreams) {
		t.Errorf("Open: got %v, want ErrStreams", err)
	}
	p := make([]byte, 8)
	for i, st := range live {
		peer.send(text(st.ID(), "hello"))
		if n, err := st.Read(p); string(p[:n]) != "hello" || err != nil {
			t.Fatalf("stream %d: got %q, %v", i, p[:n], err)
		}
	}
}

// Resets that nobody reads are bounded, too: in a row they are one run of
// ids, with gaps they end the session.
func TestOpenFloodUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := rawClient(t, mux.Config{MaxStreams: 1})
		var b []byte
		for id := uint32(1); id < 1_000_000; id += 4 {
			b = append(b, open(id).encode()...)
		}
		peer.Write(b)
		<-s.Done()
		if !errors.Is(s.Err(), mux.ErrFlood) {
			t.Errorf("got %v, want ErrFlood", s.Err())
		}
	})
}

// F25 in small: opens that are reset at once do not pile up before Accept.
func TestOpenResetFlood(t *testing.T) {
	s, peer := rawClient(t, mux.Config{Rates: mux.Rates{Opens: mux.NoRate, Resets: mux.NoRate}})
	var b []byte
	for id := uint32(1); id < 1000; id += 2 { // more would end the session
		b = append(b, bytesOf(open(id), text(id, "x"), flags(id, rst))...)
	}
	b = append(b, open(1001).encode()...)
	peer.Write(b)
	st, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.NumStreams(); n > 65 {
		t.Errorf("%d streams are left", n)
	}
	for st.ID() != 1001 { // one may have been accepted before its reset came
		if st, err = s.Accept(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBacklog(t *testing.T) {
	s, peer := rawClient(t, mux.Config{Backlog: 3})
	peer.send(open(1), open(3), open(5), open(7))
	peer.want(refused(7))
	for _, id := range []uint32{1, 3, 5} {
		st, err := s.Accept(t.Context())
		if err != nil || st.ID() != id {
			t.Fatalf("got %v, want %d", err, id)
		}
		peer.want(flags(id, ack))
	}
	peer.send(open(9))
	if st, err := s.Accept(t.Context()); err != nil || st.ID() != 9 {
		t.Errorf("after Accept there is room again: %v", err)
	}
}

// F28 in small: over MaxHeld the fullest stream goes, and only that.
func TestMaxHeld(t *testing.T) {
	const full = 3                   // 512 KiB; the others 60,000 bytes, and over 1 MiB in all
	wide := func(id uint32) uint32 { // only two of the larger windows fit half of the budget
		if id <= full {
			return initial
		}
		return 0
	}
	s, peer := rawClient(t, mux.Config{Budget: mux.NewBudget(1 << 20), Window: 2 * initial})
	var all []*mux.Stream
	for i := range uint32(11) {
		peer.send(open(2*i + 1))
		st, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		peer.want(frame{window, ack, 2*i + 1, wide(2*i + 1), ""})
		all = append(all, st)
	}
	for _, st := range all {
		n := 60_000
		if st.ID() == full {
			n = 2 * initial
		}
		peer.send(text(st.ID(), strings.Repeat("x", n)))
	}
	peer.want(reset(full, mux.ReasonQuota))
	peer.alive()
	if held, _, _ := mux.Accounts(s); held > 1<<20 {
		t.Errorf("%d bytes are held", held)
	}
	for _, st := range all {
		n, err := st.Read(make([]byte, 1))
		if st.ID() == full && !errors.Is(err, mux.ErrHeld) || st.ID() != full && n != 1 {
			t.Errorf("stream %d: got %d, %v", st.ID(), n, err)
		}
	}
}

// An end that comes before the reset has left does not hide what was dropped.
func TestMaxHeldThenEnd(t *testing.T) {
	s, peer := rawClient(t, mux.Config{Budget: mux.NewBudget(16 << 10)})
	peer.send(open(1))
	st, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	peer.want(flags(1, ack))
	peer.send(text(1, strings.Repeat("x", 40_000)), flags(1, fin))
	peer.want(reset(1, mux.ReasonQuota))
	if _, err := io.ReadAll(st); !errors.Is(err, mux.ErrHeld) {
		t.Errorf("got %v, want ErrHeld", err)
	}
}

// F31 (a): a length that is claimed costs nothing.
func TestClaimedLength(t *testing.T) {
	const sessions = 200
	synctest.Test(t, func(t *testing.T) {
		var peers []*raw
		for range sessions {
			s, peer := rawClient(t, mux.Config{})
			peer.send(open(1))
			if _, err := s.Accept(t.Context()); err != nil {
				t.Fatal(err)
			}
			peer.want(flags(1, ack))
			peers = append(peers, peer)
		}
		before := heap()
		for _, peer := range peers {
			peer.Write(append(claim(1, initial).encode(), 'x'))
		}
		synctest.Wait() // all has been taken
		if grown := heap() - before; grown > sessions*4<<10 {
			t.Errorf("%d bytes a session", grown/sessions)
		}
	})
}

// F31 (b): windows filled with frames of one byte hold at most twice that.
func TestTinyFrames(t *testing.T) {
	const n = 8
	s, peer := rawClient(t, mux.Config{})
	var all []*mux.Stream
	for i := range uint32(n) {
		peer.send(open(2*i + 1))
		st, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		peer.want(flags(2*i+1, ack))
		all = append(all, st)
	}
	before := heap()
	for i := range uint32(n) {
		peer.Write(bytes.Repeat(text(2*i+1, "x").encode(), initial))
	}
	peer.alive()
	if grown := heap() - before; grown > 2*n*initial {
		t.Errorf("%d bytes hold %d", n*initial, grown)
	}
	for _, st := range all {
		if got, err := io.CopyN(io.Discard, st, initial); got != initial || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
	}
}

// heap returns the bytes in live objects.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// F29: one stream that nobody reads among 200 does not stop the others.
func TestStalledStream(t *testing.T) {
	const others, each = 199, 300 << 10
	client, server := pair(t, true, mux.Config{}, mux.Config{})
	stalled, far := streams(t, client, server)
	var wg sync.WaitGroup
	wg.Go(func() { stalled.Write(make([]byte, 10<<20)) }) // until the window is full
	wg.Go(func() {
		for range others {
			st, err := server.Accept(t.Context())
			if err != nil {
				t.Errorf("accepting: %v", err)
				return
			}
			wg.Go(func() {
				defer st.Close()
				if n, err := io.Copy(st, st); n != each || err != nil {
					t.Errorf("echo: %d, %v", n, err)
				}
			})
		}
	})
	var pairs sync.WaitGroup
	for i := range others {
		pairs.Go(func() {
			st, err := client.Open(t.Context())
			if err != nil {
				t.Errorf("opening: %v", err)
				return
			}
			defer st.Close()
			want := bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), each/8)
			var w sync.WaitGroup
			w.Go(func() {
				st.Write(want)
				st.CloseWrite()
			})
			if got, err := io.ReadAll(st); !bytes.Equal(got, want) || err != nil {
				t.Errorf("stream %d: %d bytes, %v", i, len(got), err)
			}
			w.Wait()
		})
	}
	pairs.Wait()
	if n, err := io.CopyN(io.Discard, far, 1<<20); n != 1<<20 || err != nil {
		t.Errorf("the stalled stream, read at last: %d, %v", n, err)
	}
	stalled.Abort()
	wg.Wait()
}

// F32 in small.
func TestLargeWrite(t *testing.T) {
	const size = 64 << 20
	client, server := pair(t, true, mux.Config{}, mux.Config{})
	x, y := streams(t, client, server)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer x.Close()
		if n, err := x.Write(make([]byte, size)); n != size || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
	})
	if n, err := io.Copy(io.Discard, y); n != size || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	wg.Wait()
}
