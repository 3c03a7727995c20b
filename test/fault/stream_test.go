//go:build fault

package fault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/shs"
)

// pieces are what the tests of this file send, one box or chunk each.
func pieces() [][]byte { return [][]byte{[]byte("first"), []byte("second, longer"), []byte("3")} }

// F16: a channel between two processes' worth of peers, whose caller's
// connection is cut after each of its bytes: whoever reads gets what came whole
// and an error, and io.EOF only if the goodbye came whole.
func TestF16Cuts(t *testing.T) {
	_, p := startDaemon(t)
	plugin := p.client(t, "unix")
	ln, err := plugin.Listen(within(t, 10*time.Second), "org.example.cut")
	must(t, err)
	all := bytes.Join(pieces(), nil)
	total := 0
	for _, mode := range []shs.Mode{shs.Box, shs.Plain} {
		t.Run(mode.String(), func(t *testing.T) {
			// The first run is whole and counts the bytes.
			sizes := &meter{Conn: p.dial(t, "unix")}
			call(t, p, mode, sizes)
			other, err := ln.Accept()
			must(t, err)
			up, down := sizes.written, sizes.read.Load()
			say(t, sizes.lane, pieces())
			say(t, other.(channelLane), pieces())
			heard(t, "whole", other, all, true)
			heard(t, "whole", sizes.lane, all, true)
			upEnd, downEnd := sizes.written, sizes.read.Load()
			for n := up; n <= upEnd; n++ {
				total++
				caller := &meter{Conn: p.dial(t, "unix"), sends: n}
				call(t, p, mode, caller)
				callee, err := ln.Accept()
				must(t, err)
				for _, b := range pieces() {
					caller.lane.Write(b) // fails at the cut
				}
				caller.lane.CloseWrite()
				heard(t, fmt.Sprint("sent bytes ", n-up), callee, all, n == upEnd)
				caller.Conn.Close()
				callee.Close()
			}
			for n := down; n <= downEnd; n++ {
				total++
				caller := &meter{Conn: p.dial(t, "unix"), takes: n}
				call(t, p, mode, caller)
				callee, err := ln.Accept()
				must(t, err)
				say(t, callee.(channelLane), pieces())
				heard(t, fmt.Sprint("received bytes ", n-down), caller.lane, all, n == downEnd)
				caller.Conn.Close()
				callee.Close()
			}
		})
	}
	report(t, "F16", "%d cuts, one after each byte of a box and a plain stream, both ways; EOF only after the goodbye", total)
}

// meter counts what is read and written, and cuts either direction after some
// bytes, 0 being no cut: it ends what is read, and sends the bare end of the
// connection in place of what is written.
type meter struct {
	net.Conn
	lane         *shs.Conn
	written      int64
	read         atomic.Int64
	sends, takes int64
}

func (m *meter) Write(p []byte) (int, error) {
	if left := m.sends - m.written; m.sends > 0 && left < int64(len(p)) {
		n, err := m.Conn.Write(p[:left])
		m.written += int64(n)
		return n, errors.Join(err, m.Conn.(*net.UnixConn).CloseWrite(), io.ErrClosedPipe)
	}
	n, err := m.Conn.Write(p)
	m.written += int64(n)
	return n, err
}

func (m *meter) Read(p []byte) (int, error) {
	if m.takes > 0 {
		left := m.takes - m.read.Load()
		if left == 0 {
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), left)]
	}
	n, err := m.Conn.Read(p)
	m.read.Add(int64(n))
	return n, err
}

// call opens a channel on a connection that is its only lane.
func call(t *testing.T, p place, mode shs.Mode, m *meter) {
	t.Helper()
	cfg := &shs.Config{Key: shs.GenerateKey(), ServerKey: p.key}
	if mode == shs.Plain {
		uid := uint32(os.Geteuid())
		cfg.PlainKey = shs.DefaultNetworkKey().Plain(uid, uid)
	}
	m.lane = shs.Client(m, cfg)
	must(t, m.lane.Handshake(t.Context()))
	send(t, m.lane, 0x0a, 1, `{"name":["connect"],"args":[{"to":"org.example.cut"}],"type":"duplex"}`)
	if got := receive(t, m.lane); got.Flags != 0x0a {
		t.Fatalf("connect: got %s", got.Body)
	}
}

// say writes pieces and ends the direction.
func say(t *testing.T, lane channelLane, pieces [][]byte) {
	t.Helper()
	for _, b := range pieces {
		_, err := lane.Write(b)
		must(t, err)
	}
	must(t, lane.CloseWrite())
}

// heard reads to the end and compares.
func heard(t *testing.T, what string, conn net.Conn, all []byte, whole bool) {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	got, err := io.ReadAll(conn)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.Errorf("%s: no end came", what)
	case !bytes.HasPrefix(all, got):
		t.Errorf("%s: got %q", what, got)
	case whole && (err != nil || len(got) != len(all)):
		t.Errorf("%s: got %q, %v, want all of it and a clean end", what, got, err)
	case !whole && err == nil:
		t.Errorf("%s: got %q and a clean end", what, got)
	}
}

// F17: boxes that are changed in any bit, left out, repeated, exchanged, sent
// back, or taken from another session are an error at the first changed one.
func TestF17Tampering(t *testing.T) {
	t.Run("server process", tamperRequests)
	n := times(1000, 1_000_000)
	var undetected, changed atomic.Int64
	var wg sync.WaitGroup
	for w := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(17, uint64(w)))
			var old [2][][]byte
			for changed.Load() < int64(n) && !t.Failed() {
				old = tamperPair(t, r, old, &changed, &undetected)
			}
		})
	}
	wg.Wait()
	if bad := undetected.Load(); bad > 0 {
		t.Errorf("%d of %d changes were not detected", bad, changed.Load())
	}
	report(t, "F17", "%d changed streams, %d undetected", changed.Load(), undetected.Load())
}

// tamperPair makes a connection, changes what goes over it in each direction,
// and returns the boxes as they were.
func tamperPair(t *testing.T, r *rand.Rand, old [2][][]byte, changed, undetected *atomic.Int64) (frames [2][][]byte) {
	a, b := testnet.Pipe()
	key := shs.NewPrivateKey([32]byte{17})
	raw := [2]*framer{{a, false, nil}, {b, false, nil}}
	ends := [2]*shs.Conn{
		shs.Client(raw[0], &shs.Config{Key: key, ServerKey: key.Public()}), // one key at both ends: both directions share a box key
		shs.Server(raw[1], &shs.Config{Key: key}),
	}
	var shaken sync.WaitGroup
	for _, end := range ends {
		shaken.Go(func() {
			if err := end.Handshake(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	shaken.Wait()
	if t.Failed() {
		return
	}
	defer a.Close()
	defer b.Close()
	for i, end := range ends {
		raw[i].catch = true
		for _, p := range pieces() {
			end.Write(p) // caught, so it cannot fail
		}
		end.CloseWrite()
		frames[i] = raw[i].frames
	}
	for i := range ends {
		bad, intact := tamper(r, frames[i], frames[1-i], old[i])
		if bad == nil {
			continue
		}
		changed.Add(1)
		raw[i].halfCloser.Write(bad)
		raw[i].CloseWrite()
		got, err := io.ReadAll(ends[1-i])
		if want := bytes.Join(pieces()[:min(intact, len(pieces()))], nil); err == nil || !bytes.Equal(got, want) {
			undetected.Add(1)
			t.Errorf("after %d intact boxes: got %q, %v, want %q and an error", intact, got, err, want)
		}
	}
	return frames
}

// halfCloser is a connection of which one direction can end.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// framer catches each write as one frame, once it is told to.
type framer struct {
	halfCloser
	catch  bool
	frames [][]byte
}

func (f *framer) Write(p []byte) (int, error) {
	if !f.catch {
		return f.halfCloser.Write(p)
	}
	f.frames = append(f.frames, bytes.Clone(p))
	return len(p), nil
}

// tamper returns the stream of frames with one change, and how many frames at
// its beginning are intact; nil if the change is none.
func tamper(r *rand.Rand, frames, mirror, old [][]byte) (bad []byte, intact int) {
	out := slices.Clone(frames)
	i, j := r.IntN(len(out)), r.IntN(len(out))
	intact = i
	switch r.IntN(8) {
	case 0, 1, 2: // most of them: there are many bits
		out[i] = bytes.Clone(out[i])
		out[i][r.IntN(len(out[i]))] ^= 1 << r.IntN(8)
	case 3:
		out = slices.Delete(out, i, i+1)
	case 4:
		out = slices.Insert(out, i+1, out[i])
		intact = i + 1
	case 5:
		if i == j {
			return nil, 0
		}
		out[i], out[j] = out[j], out[i]
		intact = min(i, j)
	case 6:
		out[i] = mirror[i]
	default:
		if old == nil {
			return nil, 0
		}
		out[i] = old[i]
	}
	return bytes.Join(out, nil), intact
}

// tamperRequests sends a request to a server process with each of its bits
// flipped, and its boxes in every wrong order: it is never answered.
func tamperRequests(t *testing.T) {
	_, p := startDaemon(t)
	const header, body = "\x02\x00\x00\x00\x1b\x00\x00\x00\x01", `{"name":["ping"],"args":[]}`
	tries := 0
	answered := func(change func(frames [][]byte) []byte) bool {
		tries++ // a key may only have so many sessions, those that are ending included
		attacker := newParty([32]byte{17, byte(tries), byte(tries >> 8)}, p.key)
		conn := p.dial(t, "unix")
		must(t, attacker.client(conn))
		frames := [][]byte{attacker.out.seal([]byte(header), len(header)), attacker.out.seal([]byte(body), len(body))}
		if _, err := conn.Write(change(frames)); err != nil {
			return false
		}
		_, err := attacker.in.open(conn) // the goodbye is an error, too
		conn.Close()
		return err == nil
	}
	if !answered(func(f [][]byte) []byte { return join(f...) }) {
		t.Fatal("the unchanged request was not answered")
	}
	bits := 8 * (34 + len(header) + 34 + len(body))
	for bit := 0; bit < bits; bit += times(7, 1) {
		if answered(func(f [][]byte) []byte {
			all := join(f...)
			all[bit/8] ^= 1 << (bit % 8)
			return all
		}) {
			t.Errorf("the server answered a request with bit %d flipped", bit)
		}
	}
	for what, change := range map[string]func(f [][]byte) []byte{
		"the first box left out": func(f [][]byte) []byte { return f[1] },
		"the first box twice":    func(f [][]byte) []byte { return join(f[0], f[0], f[1]) },
		"the boxes exchanged":    func(f [][]byte) []byte { return join(f[1], f[0]) },
		"the boxes run together": func(f [][]byte) []byte { return join(f[0][:43], f[1][1:], f[1]) },
	} {
		if answered(change) {
			t.Errorf("%s: the server answered", what)
		}
	}
	p.alive(t)
}

// F18: boxes at the edges of what is allowed, and deadlines in the middle.
func TestF18Edges(t *testing.T) {
	_, p := startDaemon(t)
	const header, body = "\x02\x00\x00\x00\x1b\x00\x00\x00\x01", `{"name":["ping"],"args":[]}`
	big := make([]byte, 4097)
	for _, row := range []struct {
		what     string
		boxes    func(a *party) []byte
		answered bool
	}{
		{"a ping", func(a *party) []byte { return nil }, true},
		{"empty boxes", func(a *party) []byte { return join(a.out.seal(nil, 0), a.out.seal(nil, 0)) }, true},
		{"a box of 4,097 bytes", func(a *party) []byte { return a.out.seal(big, len(big)) }, false},
		{"a box that claims more", func(a *party) []byte { return a.out.seal([]byte("x"), 2) }, false},
		{"a box that claims 65,535", func(a *party) []byte { return a.out.seal(big, 65535) }, false},
		{"data after the goodbye", func(a *party) []byte { return a.out.goodbye() }, false},
	} {
		attacker := newParty([32]byte{18}, p.key)
		conn := p.dial(t, "unix")
		must(t, attacker.client(conn))
		bytes := join(row.boxes(attacker), attacker.out.seal([]byte(header), len(header)), attacker.out.seal([]byte(body), len(body)))
		if _, err := conn.Write(bytes); err != nil && row.answered {
			t.Errorf("%s: %v", row.what, err)
		}
		if got, err := attacker.in.open(conn); (err == nil) != row.answered {
			t.Errorf("%s: got %q, %v, want an answer: %v", row.what, got, err, row.answered)
		}
	}
	p.alive(t)
	report(t, "F18", "six edges; %d deadlines inside a frame, after each of which reading went on", deadlines(t))
}

// deadlines lets a read time out after each byte of some frames, and reads on.
func deadlines(t *testing.T) (n int) {
	a, b := tcpPair(t)
	key := shs.GenerateKey()
	raw := &framer{halfCloser: a.(*net.TCPConn)}
	server := shs.Server(raw, &shs.Config{Key: key})
	conn := shs.Client(b, &shs.Config{Key: key, ServerKey: key.Public()})
	var shaken sync.WaitGroup
	shaken.Go(func() {
		if err := server.Handshake(t.Context()); err != nil {
			t.Error(err)
		}
	})
	must(t, conn.Handshake(t.Context()))
	shaken.Wait()
	raw.catch = true
	all := bytes.Join(pieces(), nil)
	size := 1
	for cut := 0; cut < size; cut++ {
		raw.frames = nil
		for _, p := range pieces() {
			_, err := server.Write(p)
			must(t, err)
		}
		wire := join(raw.frames...)
		size = len(wire)
		_, err := a.Write(wire[:cut])
		must(t, err)
		must(t, conn.SetReadDeadline(time.Now().Add(2*time.Millisecond)))
		got, err := io.ReadAll(conn)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !bytes.HasPrefix(all, got) {
			t.Fatalf("after %d bytes: got %q, %v", cut, got, err)
		}
		_, err = a.Write(wire[cut:])
		must(t, err)
		must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		rest := make([]byte, len(all)-len(got))
		if _, err := io.ReadFull(conn, rest); err != nil || !bytes.Equal(join(got, rest), all) {
			t.Fatalf("after %d bytes and a deadline: got %q, %v", cut, join(got, rest), err)
		}
		n++
	}
	return n
}
