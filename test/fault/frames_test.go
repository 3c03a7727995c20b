//go:build fault

package fault_test

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// Types and flags of yamux frames, and codes and reasons, written once more
// from PROTOCOL.md §3.
const (
	ofData, ofWindow, ofPing, ofGoAway        = 0, 1, 2, 3
	withSYN, withACK, withFIN, withRST        = 1, 2, 4, 8
	brokeRules, enhanceCalm                   = 1, 11
	becauseReset, becauseGone                 = 1, 2
	becauseQuota, becauseBusy                 = 3, 4
	firstWindow                        uint32 = 256 << 10
)

// frame is one yamux frame; its length is what it claims, whatever the body.
type frame struct {
	version, typ byte
	flags        uint16
	id, length   uint32
	body         string
}

func open(id uint32) frame              { return frame{typ: ofWindow, flags: withSYN, id: id} }
func flagged(id uint32, f uint16) frame { return frame{typ: ofWindow, flags: f, id: id} }
func grant(id, n uint32) frame          { return frame{typ: ofWindow, id: id, length: n} }
func claim(id, n uint32) frame          { return frame{id: id, length: n} }
func pinging(v uint32) frame            { return frame{typ: ofPing, flags: withSYN, length: v} }
func content(id uint32, s string) frame { return frame{id: id, length: uint32(len(s)), body: s} }

// packetOn is a muxrpc packet in a data frame.
func packetOn(id uint32, flags byte, req int32, body string) frame {
	b := binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(body)))
	return content(id, string(binary.BigEndian.AppendUint32(b, uint32(req)))+body)
}

// connectOn is the first packet of a caller's lane.
func connectOn(id uint32, to string) frame {
	return packetOn(id, 0x0a, 1, `{"name":["connect"],"args":[{"to":"`+to+`","timeout_ms":60000}],"type":"duplex"}`)
}

// pingOn is a call that every lane may make.
func pingOn(id uint32, req int32) frame {
	return packetOn(id, 0x02, req, `{"name":["ping"],"args":[]}`)
}

func (f frame) String() string {
	return fmt.Sprintf("type %d flags %x stream %d length %d %.40q", f.typ, f.flags, f.id, f.length, f.body)
}

// wired is frames as they stand on the wire.
func wired(frames ...frame) (b []byte) {
	for _, f := range frames {
		b = append(b, f.version, f.typ)
		b = binary.BigEndian.AppendUint16(b, f.flags)
		b = binary.BigEndian.AppendUint32(b, f.id)
		b = binary.BigEndian.AppendUint32(b, f.length)
		b = append(b, f.body...)
	}
	return b
}

// hand is a yamux session in the hands of an attacker: handshake, boxes and
// frames are its own, and it keeps no rule. One goroutine may write while
// another reads.
type hand struct {
	net.Conn // below the boxes
	party    *party
	plain    *bufio.Reader // of chunks, in plain mode; else nil
	chunk    int           // bytes left of one
	opened   []byte        // and not yet read
}

// hand logs a fresh key in over the Unix socket, in box mode.
func (p place) hand(t testing.TB) *hand {
	t.Helper()
	return p.handIn(t, nil, someSeed())
}

// plainHandOf is hand in plain mode and with a key, for much at little cost.
func (p place) plainHandOf(t testing.TB, seed [32]byte) *hand {
	t.Helper()
	me := uint32(os.Geteuid())
	network := shs.DefaultNetworkKey().Plain(me, me)
	return p.handIn(t, network[:], seed)
}

func someSeed() (seed [32]byte) {
	rand.Read(seed[:])
	return seed
}

func (p place) handIn(t testing.TB, network []byte, seed [32]byte) *hand {
	t.Helper()
	h := &hand{Conn: p.dial(t, "unix"), party: newParty(seed, p.key)}
	if network != nil {
		h.party.network = network
		h.plain = bufio.NewReaderSize(h.Conn, 64<<10)
	}
	must(t, h.party.client(h.Conn))
	return h
}

// Write sends p at once, in boxes or in one chunk.
func (h *hand) Write(p []byte) (int, error) {
	var sealed []byte
	if h.plain != nil {
		sealed = append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(p)), uint32(len(p))), p...)
	} else {
		for rest := p; len(rest) > 0; {
			n := min(len(rest), 4096)
			sealed = append(sealed, h.party.out.seal(rest[:n], n)...)
			rest = rest[n:]
		}
	}
	if _, err := h.Conn.Write(sealed); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Read reads what is in the boxes or chunks.
func (h *hand) Read(p []byte) (int, error) {
	if h.plain != nil {
		return h.readPlain(p)
	}
	for len(h.opened) == 0 {
		var err error
		if h.opened, err = h.party.in.open(h.Conn); err != nil {
			return 0, err
		}
	}
	n := copy(p, h.opened)
	h.opened = h.opened[n:]
	return n, nil
}

func (h *hand) readPlain(p []byte) (int, error) {
	if h.chunk == 0 {
		var header [4]byte
		if _, err := io.ReadFull(h.plain, header[:]); err != nil {
			return 0, err
		}
		if h.chunk = int(binary.BigEndian.Uint32(header[:])); h.chunk == 0 {
			return 0, io.EOF
		}
	}
	n, err := h.plain.Read(p[:min(len(p), h.chunk)])
	h.chunk -= n
	return n, err
}

// put sends frames.
func (h *hand) put(frames ...frame) error {
	_, err := h.Write(wired(frames...))
	return err
}

// next reads a frame.
func (h *hand) next() (frame, error) {
	var b [12]byte
	if _, err := io.ReadFull(h, b[:]); err != nil {
		return frame{}, err
	}
	f := frame{
		version: b[0], typ: b[1], flags: binary.BigEndian.Uint16(b[2:]),
		id: binary.BigEndian.Uint32(b[4:]), length: binary.BigEndian.Uint32(b[8:]),
	}
	if f.typ == ofData {
		body := make([]byte, f.length)
		if _, err := io.ReadFull(h, body); err != nil {
			return f, err
		}
		f.body = string(body)
	}
	return f, nil
}

// until reads frames up to one that fits.
func (h *hand) until(t testing.TB, what string, fits func(frame) bool) frame {
	t.Helper()
	for {
		f, err := h.next()
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		if fits(f) {
			return f
		}
	}
}

// bytes reads n bytes of a stream.
func (h *hand) bytes(t testing.TB, id uint32, n int) string {
	t.Helper()
	var got strings.Builder
	for got.Len() < n {
		f := h.until(t, fmt.Sprintf("data of stream %d", id), func(f frame) bool { return f.id == id && f.typ != ofGoAway })
		if f.flags&(withRST|withFIN) != 0 {
			t.Fatalf("stream %d ended after %q, want %d bytes: %v", id, got.String(), n, f)
		}
		got.WriteString(f.body)
	}
	return got.String()
}

// packet reads a muxrpc packet from a stream.
func (h *hand) packet(t testing.TB, id uint32) muxrpc.Packet {
	t.Helper()
	var got string
	for len(got) < 9 || len(got) < 9+int(binary.BigEndian.Uint32([]byte(got[1:]))) {
		got += h.bytes(t, id, 1)
	}
	p, err := muxrpc.ReadPacket(strings.NewReader(got), 1<<20)
	must(t, err)
	return p
}

// lane opens a stream, makes a call on it, and waits for the answer.
func (h *hand) lane(t testing.TB, id uint32, body string) muxrpc.Packet {
	t.Helper()
	must(t, h.put(open(id), packetOn(id, 0x02, 1, body)))
	return h.packet(t, id)
}

// owner claims a name on stream 1.
func (h *hand) owner(t testing.TB, name string) {
	t.Helper()
	if got := h.lane(t, 1, `{"name":["names","claim"],"args":[{"name":"`+name+`"}]}`); got.Flags != 0x02 {
		t.Fatalf("claim: got %s", got.Body)
	}
}

// downfall is how a session in an attacker's hands went down.
type downfall struct {
	code  uint32 // of the server's go-away
	away  bool   // there was one
	err   error
	after time.Duration // from the call to the go-away, or to the end if there was none
	whole time.Duration // to the end of the connection
}

// fall reads to the end of the connection, which must come within d; on, if
// there, sees each frame.
func (h *hand) fall(t testing.TB, d time.Duration, on func(frame)) (how downfall) {
	t.Helper()
	began := time.Now()
	must(t, h.SetReadDeadline(began.Add(slow*d)))
	for {
		f, err := h.next()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the session lives on after %v", slow*d)
			}
			how.err, how.whole = err, time.Since(began)
			if !how.away {
				how.after = how.whole
			}
			return how
		}
		if f.typ == ofGoAway && !how.away {
			how.away, how.code, how.after = true, f.length, time.Since(began)
		}
		if on != nil {
			on(f)
		}
	}
}

// resetPeak makes the kernel forget the peak of a process's resident memory, and
// returns what is resident now.
func resetPeak(t testing.TB, pid int) int64 {
	t.Helper()
	must(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0))
	return rss(t, pid)
}

// peak returns the largest resident memory of a process since resetPeak.
func peak(t testing.TB, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64)
			must(t, err)
			return n << 10
		}
	}
	t.Fatalf("process %d has no VmHWM", pid)
	return 0
}
