//go:build fault

package fault_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
)

// What has to become of a session whose peer breaks a rule (PROTOCOL.md §7).
type verdict int

const (
	either verdict = iota // it ends, or lives
	lives                 // what was sent is dropped
	over                  // go-away 1
	calm                  // go-away 11
)

// breach is one way to break the rules of yamux, on a stream that is there or
// beside it. It may say "right" on the stream, and "wrong" anywhere else.
type breach struct {
	what   string
	want   verdict
	frames func(id uint32) []frame
}

// free is a stream id that no breach has opened.
const free = 4001

func breaches() []breach {
	one := func(f frame) func(uint32) []frame { return func(uint32) []frame { return []frame{f} } }
	on := func(f ...func(id uint32) frame) func(uint32) []frame {
		return func(id uint32) (all []frame) {
			for _, g := range f {
				all = append(all, g(id))
			}
			return all
		}
	}
	flags := func(f uint16) func(uint32) frame { return func(id uint32) frame { return flagged(id, f) } }
	says := func(s string) func(uint32) frame { return func(id uint32) frame { return content(id, s) } }
	gets := func(n uint32) func(uint32) frame { return func(id uint32) frame { return grant(id, n) } }
	many := func(n int, f func(id uint32) frame) func(uint32) []frame {
		return func(id uint32) (all []frame) {
			for range n {
				all = append(all, f(id))
			}
			return all
		}
	}
	much := strings.Repeat("right", 50_000) // less than any window; the largest is 1 MiB
	return []breach{
		{"nothing", lives, on(says("right"))},
		{"a stream of the other parity is opened", over, one(open(2))},
		{"a stream of the other parity, not there", over, one(content(4000, "wrong"))},
		{"stream 0 is opened", over, one(open(0))},
		{"data on stream 0", over, one(content(0, "wrong"))},
		{"a window for stream 0", over, one(grant(0, 1))},
		{"a ping with a stream", over, one(frame{typ: ofPing, flags: withSYN, id: 1})},
		{"a go-away with a stream", over, one(frame{typ: ofGoAway, id: 1})},
		{"opened twice", over, on(flags(withSYN))},
		{"opened twice by data", over, on(func(id uint32) frame { return frame{flags: withSYN, id: id, length: 5, body: "wrong"} })},
		{"a stream that was, opened again", over, one(open(3))},
		{"data on a stream that was", lives, one(content(3, "wrong"))},
		{"the end of a stream that was", lives, one(flagged(3, withFIN))},
		{"data on a stream that never was", either, one(content(free, "wrong"))},
		{"a reset of a stream that never was", either, one(flagged(free, withRST))},
		{"a window for a stream that never was", either, one(grant(free, 1))},
		{"ended twice", lives, on(flags(withFIN), flags(withFIN))},
		{"data after the end", either, on(says("right"), flags(withFIN), says("wrong"))},
		{"reset twice", lives, on(flags(withRST), flags(withRST))},
		{"data after a reset", lives, on(flags(withRST), says("wrong"))},
		{"all flags at once", either, on(flags(15))},
		{"flags that do not exist", lives, on(func(id uint32) frame { return frame{flags: 0xfff0, id: id, length: 5, body: "right"} })},
		{"opened and reset in one frame", lives, one(flagged(free, withSYN|withRST))},
		{"opened and ended in one frame", lives, one(flagged(free, withSYN|withFIN))},
		{"a storm of ACK", either, many(100_000, flags(withACK))},
		{"a storm of windows", calm, many(100_000, gets(1))},
		{"a storm of empty data", calm, many(1000, says(""))},
		{"a storm of answers to no ping", calm, many(1000, func(uint32) frame { return frame{typ: ofPing, flags: withACK, length: 7} })},
		{"more than the window", over, many(5, says(much))},
		{"more than the window in one frame", over, on(says(strings.Repeat(much, 5)))},
		{"length 2³²-1", over, on(func(id uint32) frame { return claim(id, 1<<32-1) })},
		{"length 2³¹", over, on(func(id uint32) frame { return claim(id, 1<<31) })},
		{"length 2³²-1 on a stream that was", over, one(claim(3, 1<<32-1))},
		{"length 2³²-1 with a new stream", over, one(frame{flags: withSYN, id: free, length: 1<<32 - 1})},
		{"a window that wraps", over, on(gets(1<<32-1), gets(1<<32-1))},
		{"a window of 2³²-1", over, on(gets(1<<32 - 1))},
		{"a window that wraps in steps", over, on(gets(1<<31), gets(1<<31-1), gets(1<<31))},
		{"version 1", over, on(func(id uint32) frame { return frame{version: 1, id: id, length: 5, body: "wrong"} })},
		{"version 255", over, on(func(id uint32) frame { return frame{version: 255, typ: ofWindow, id: id} })},
		{"type 4", over, on(func(id uint32) frame { return frame{typ: 4, id: id} })},
		{"type 255", over, on(func(id uint32) frame { return frame{typ: 255, id: id, length: 1<<32 - 1} })},
		{"a go-away, then more", either, on(func(uint32) frame { return frame{typ: ofGoAway} }, says("right"), func(uint32) frame { return open(free) })},
		{"a go-away of no known code", either, one(frame{typ: ofGoAway, length: 1<<32 - 1})},
		{"a reset with a reason that is none", lives, on(func(id uint32) frame { return frame{typ: ofWindow, flags: withRST, id: id, length: 1<<32 - 1} })},
	}
}

// F27: every breach, on a control lane and on either end of a channel, sent
// whole and in boxes of a byte: the session ends as the protocol says, or what
// broke the rules is dropped. Nothing arrives where it does not belong, and
// nobody else notices.
func TestF27Breaches(t *testing.T) {
	d, p := startDaemon(t)
	near := p.neighbour(t, "org.example.near")
	other := newWitness(t, p)
	n, ended := 0, 0
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { near.knock(stop) })
	quiet := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer quiet()
	for _, b := range breaches() {
		places := []string{"control lane", "caller", "callee"}
		if strings.HasPrefix(b.what, "more than the window") {
			places = places[1:] // a control lane has read it, or found it to be no packet, before that
		}
		for _, at := range places {
			for _, piece := range []int{1 << 20, 1} {
				n++
				if other.breach(t, p, b, at, piece, fmt.Sprintf("%s, %s, pieces of %d", b.what, at, piece)) {
					ended++
				}
			}
		}
	}
	quiet()
	p.alive(t)
	if log := d.log(); strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
		t.Errorf("the server panicked: %s", log)
	}
	report(t, "F27", "%d breaches of %d kinds on control lanes and both ends of channels, whole and byte by byte: %d ended the session, the others were dropped; nothing came where it does not belong",
		n, len(breaches()), ended)
}

// witness is the honest end of the channels whose other end breaks rules.
type witness struct {
	c  *client.Client
	ln net.Listener
	n  int // rows
}

func newWitness(t *testing.T, p place) *witness {
	t.Helper()
	w := &witness{c: p.client(t, "unix")}
	var err error
	w.ln, err = w.c.Listen(within(t, time.Minute), "org.example.witness")
	must(t, err)
	return w
}

// breach runs one row and reports whether the session ended.
func (w *witness) breach(t *testing.T, p place, b breach, at string, piece int, what string) bool {
	t.Helper()
	h := p.hand(t)
	defer h.Close()
	must(t, h.SetDeadline(time.Now().Add(slow*30*time.Second)))
	w.n++
	name := fmt.Sprintf("org.example.breaker%d", w.n) // the last one may be on its way out
	h.owner(t, name)
	h.lane(t, 3, `{"name":["ping"],"args":[]}`) // a stream that was
	must(t, h.put(flagged(3, withFIN)))
	h.until(t, "the end of stream 3", func(f frame) bool { return f.id == 3 && f.flags&(withFIN|withRST) != 0 })
	h.lane(t, 5, `{"name":["ping"],"args":[]}`)
	id, channel := uint32(5), net.Conn(nil)
	switch at {
	case "caller":
		id = 7
		must(t, h.put(open(id), connectOn(id, "org.example.witness")))
		conn, err := w.ln.Accept()
		must(t, err)
		channel = conn
		if got := h.packet(t, id); got.Flags != 0x0a {
			t.Fatalf("%s: connect: %s", what, got.Body)
		}
	case "callee":
		var wg sync.WaitGroup
		wg.Go(func() {
			conn, err := w.c.Open(within(t, 10*time.Second), name, client.OpenOptions{})
			if err != nil {
				t.Errorf("%s: %v", what, err)
				return
			}
			channel = conn
		})
		id = h.until(t, "an offer", func(f frame) bool { return f.flags&withSYN != 0 }).id
		h.packet(t, id)
		must(t, h.put(flagged(id, withACK), packetOn(id, 0x0a, -1, "{}")))
		wg.Wait()
		if channel == nil {
			return false
		}
	}
	bytes := wired(b.frames(id)...)
	if piece == 1 && len(bytes) > 1000 {
		piece = 911 // cuts headers, in less time
	}
	for rest := bytes; len(rest) > 0; rest = rest[min(len(rest), piece):] {
		if _, err := h.Write(rest[:min(len(rest), piece)]); err != nil {
			break
		}
	}
	ended := h.judge(t, b.want, what)
	h.Close()
	if channel != nil {
		testify(t, channel, what)
	}
	return ended
}

// judge asks whether the session lives, on its first lane.
func (h *hand) judge(t *testing.T, want verdict, what string) (ended bool) {
	t.Helper()
	_ = h.put(pingOn(1, 2)) // fails if the session has ended
	var end error
	var code uint32
	for end == nil {
		var f frame
		f, end = h.next()
		switch {
		case end != nil:
		case f.typ == ofGoAway:
			if code = f.length; code != 0 {
				end = io.EOF // the rest is a matter of time
			}
		case f.id == 1 && f.typ == ofData:
			if want == over || want == calm {
				t.Errorf("%s: the session lives", what)
			}
			return false
		}
	}
	if errors.Is(end, os.ErrDeadlineExceeded) {
		t.Errorf("%s: the session neither answers nor ends", what)
	}
	if want == lives || want == over && code != brokeRules || want == calm && code != enhanceCalm {
		t.Errorf("%s: the session ended with go-away %d, %v", what, code, end)
	}
	return true
}

// testify reads what came through the channel: "right" any number of times, and
// nothing else.
func testify(t *testing.T, conn net.Conn, what string) {
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(slow * 30 * time.Second))
	got, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: the channel does not end", what)
	}
	text := string(got)
	for strings.HasPrefix(text, "right") {
		text = text[5:]
	}
	if text != "" && !strings.HasPrefix("right", text) {
		t.Errorf("%s: %.30q came through the channel", what, text)
	}
}
