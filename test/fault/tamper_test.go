//go:build fault

package fault_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/shs"
)

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
