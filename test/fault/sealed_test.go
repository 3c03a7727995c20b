//go:build fault

package fault_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// inMemory counts where needle stands in what a process may write to.
func inMemory(t *testing.T, pid int, needle []byte) (hits int, searched int64) {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	must(t, err)
	defer maps.Close()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	must(t, err)
	defer mem.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		buf := make([]byte, 4<<20)
		for at := from; at < to; at += int64(len(buf) - len(needle)) { // pieces overlap
			n, err := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			if n == 0 && err != nil {
				break // not there, as of [vvar]
			}
			hits += bytes.Count(buf[:n], needle)
			searched += int64(n)
		}
	}
	return hits, searched
}

// tell sends text through a new channel, again and again, and back.
func tell(t *testing.T, caller *client.Client, ln net.Listener, opts client.OpenOptions, text string) (end func()) {
	t.Helper()
	var served sync.WaitGroup
	served.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn) // the caller sees how it goes
	})
	conn, err := caller.Open(within(t, 20*time.Second), ln.Addr().String(), opts)
	must(t, err)
	back := make([]byte, len(text))
	for range 200 {
		_, err := io.WriteString(conn, text)
		must(t, err)
		_, err = io.ReadFull(conn, back)
		must(t, err)
		if string(back) != text {
			t.Fatal("another text came back")
		}
	}
	return func() { conn.Close(); served.Wait() }
}

// F21: what goes over a sealed channel is nowhere in the memory of the server
// that relays it, while the channel is open and after it; what goes over one
// that is not sealed is.
func TestF21Canary(t *testing.T) {
	d, p := startDaemon(t)
	found, searched := 0, int64(0)
	for _, mode := range []client.Mode{client.ModePlain, client.ModeBox} {
		with := func(c *client.Config) { c.Mode, c.Direct = mode, client.DirectNever }
		caller, callee := p.client(t, "unix", with), p.client(t, "unix", with)
		ln, err := callee.Listen(within(t, 10*time.Second), fmt.Sprintf("org.example.secret%d", mode))
		must(t, err)
		for _, sealed := range []bool{true, false} {
			secret := make([]byte, 24)
			rand.Read(secret)
			needle := hex.EncodeToString(secret)
			end := tell(t, caller, ln, client.OpenOptions{Sealed: sealed}, needle)
			hits, n := inMemory(t, d.cmd.Process.Pid, []byte(needle))
			searched += n
			end()
			after, n := inMemory(t, d.cmd.Process.Pid, []byte(needle))
			searched += n
			switch {
			case sealed && hits+after > 0:
				t.Errorf("mode %v: what went over a sealed channel stands %d times in the server's memory, and %d times after it", mode, hits, after)
			case !sealed && hits == 0:
				t.Errorf("mode %v: what went over a channel that is not sealed was not found: the search finds nothing", mode)
			case !sealed:
				found += hits
			}
		}
	}
	report(t, "F21", "%s of a server's memory searched: 0 canaries of sealed channels, %d of others", mib(searched), found)
}

// The bytes of a sealed channel that carries one message each way and one more
// out: hello, proof, a box for each, and the goodbye, each a chunk of plain mode,
// and the goodbye of that.
const (
	lieText   = "a message of some bytes"
	chunkHead = 4
	sealedOut = 64 + 112 + 34 + len(lieText) + 34 + 1 + 34 + 6*chunkHead
	sealedIn  = 64 + 80 + 34 + len(lieText) + 34 + 5*chunkHead
	sealedEnd = chunkHead + 34 + chunkHead // the goodbyes
)

// F21, a relay that changes bytes: each byte of a sealed channel, handshake and
// goodbye included, flipped once. No end reads anything but what was written,
// whoever reads the change gets an error, and so does the other end unless it
// was through.
func TestF21LyingRelay(t *testing.T) {
	_, p := startDaemon(t)
	callee := p.client(t, "unix")
	ln, err := callee.Listen(within(t, 10*time.Second), "org.example.sealed")
	must(t, err)
	heard := newHearing(ln)
	l := newLiar(t, p)
	caller := l.client(t, func(*client.Config) {})
	must(t, lie(t, caller, 0))
	l.mu.Lock()
	total := l.count
	l.mu.Unlock()
	type place struct{ dir, at int }
	places, ours := []place{{}}, []error{nil}
	for dir, n := range []int{sealedOut, sealedIn} {
		for at := total[dir] - n; at < total[dir]; at += times(5, 1) {
			l.mu.Lock()
			l.flip = [2]int{-1, -1}
			l.flip[dir] = at
			l.mu.Unlock()
			ours = append(ours, lie(t, caller, len(places)))
			places = append(places, place{dir, at})
		}
	}
	theirs := heard.end(ln)
	if theirs[0] != "" {
		t.Fatalf("with nothing changed the callee got %s", theirs[0])
	}
	for i, pl := range places[1:] {
		mine, other := ours[i+1], theirs[i+1]
		if other == "" && !heard.delivered(i+1) {
			other = "never delivered"
		}
		end := total[1] - sealedEnd                 // the callee's goodbye
		head := end - 34 - len(lieText) - chunkHead // a longer chunk swallows that
		through := pl.dir == 1 && (pl.at >= end || pl.at >= head && pl.at < head+chunkHead)
		if pl.dir == 0 && other == "" || pl.dir == 1 && mine == nil || !through && (mine == nil || other == "") {
			t.Errorf("byte %d of %d flipped in direction %d: the caller got %v, the callee %q", pl.at, total[pl.dir], pl.dir, mine, other)
		}
	}
	report(t, "F21", "%d bytes of a sealed channel flipped by the relay, one at a time: each an error, at both ends where both still had to read", len(places)-1)
}

// hearing is the callee of TestF21LyingRelay.
type hearing struct {
	wg  sync.WaitGroup
	mu  sync.Mutex
	got map[int]string // by number, what it met; guarded by mu
}

func newHearing(ln net.Listener) *hearing {
	h := &hearing{got: make(map[int]string)}
	h.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			h.wg.Go(func() { h.serve(conn.(*channel.Conn)) })
		}
	})
	return h
}

func (h *hearing) serve(conn *channel.Conn) {
	defer conn.Abort()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	err := hearOnly(conn, lieText)
	if err == nil {
		_, err = io.WriteString(conn, lieText)
	}
	if err == nil {
		err = hearOnly(conn, "!")
	}
	if err == nil {
		if _, err = conn.Read(make([]byte, 1)); err == io.EOF {
			err = conn.Close()
		} else {
			err = errors.Join(err, errAltered)
		}
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n, _ := strconv.Atoi(string(conn.Info().Meta))
	h.got[n] = text
}

// end returns what came of all.
func (h *hearing) end(ln net.Listener) map[int]string {
	ln.Close()
	h.wg.Wait()
	return h.got
}

func (h *hearing) delivered(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.got[n]
	return ok
}

// lie opens a sealed channel with a number, says what is to be said, and returns
// what the caller met.
func lie(t *testing.T, caller *client.Client, n int) error {
	t.Helper()
	conn, err := caller.Open(within(t, 10*time.Second), "org.example.sealed", client.OpenOptions{Sealed: true, Meta: n})
	if err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	err = sayOnce(conn)
	if err == nil {
		return conn.Close()
	}
	conn.Abort()
	return err
}

// sayOnce is the caller's side.
func sayOnce(conn *channel.Conn) error {
	_, err := io.WriteString(conn, lieText)
	if err == nil {
		err = hearOnly(conn, lieText)
	}
	if err == nil {
		_, err = io.WriteString(conn, "!")
	}
	if err == nil {
		err = conn.CloseWrite()
	}
	if err == nil {
		if _, err = conn.Read(make([]byte, 1)); err == io.EOF {
			return nil
		}
		err = errors.Join(err, errAltered)
	}
	return err
}

// hearOnly reads a text, of which no other may come.
func hearOnly(r io.Reader, want string) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(r, got)
	if string(got[:n]) != want[:n] {
		panic("a sealed channel has given out other bytes than were written") // no test goes on behind this
	}
	return err
}

// F22: a relay that lies about whose key a name's is. The name is Mallory's; the
// relay says that it is Bob's, and lets Mallory answer. With a pin, given or in a
// file, the caller finds out; without one it has the relay's word, and says so.
func TestF22LiedKey(t *testing.T) {
	_, p := startDaemon(t)
	mallory, bob := shs.GenerateKey(), shs.GenerateKey().Public()
	callee := p.client(t, "unix", func(c *client.Config) { c.Key = mallory })
	ln, err := callee.Listen(within(t, 10*time.Second), "org.example.bob")
	must(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	})
	defer served.Wait()
	defer ln.Close()
	l := newLiar(t, p)
	swap := func(on bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.swap = [2][][2][]byte{}
		if m, b := []byte(mallory.Public().String()), []byte(bob.String()); on {
			l.swap = [2][][2][]byte{{{b, m}}, {{m, b}}}
		}
	}
	pins := filepath.Join(t.TempDir(), "pins")
	must(t, os.WriteFile(pins, []byte("org.example.bob "+bob.String()+"\n"), 0o600))
	fresh := filepath.Join(t.TempDir(), "pins")
	for _, row := range []struct {
		what string
		pins string
		key  shs.PublicKey
		lies bool
		want error
		logs string
	}{
		{"a key, honest relay", "", bob, false, client.PeerMismatch, ""},
		{"a key", "", bob, true, client.PeerMismatch, ""},
		{"a pins file, honest relay", pins, shs.PublicKey{}, false, client.PeerMismatch, ""},
		{"a pins file", pins, shs.PublicKey{}, true, client.PeerMismatch, ""},
		{"no pin, and Mallory cannot be Bob", "", shs.PublicKey{}, true, client.PeerMismatch, ""},
		{"no pin", "", shs.PublicKey{}, false, nil, "key taken on the server's word"},
		{"first use", fresh, shs.PublicKey{}, false, nil, "key taken on first use"},
		{"second use", fresh, shs.PublicKey{}, false, nil, ""},
		{"third use, with another key", fresh, shs.PublicKey{}, true, client.PeerMismatch, ""},
	} {
		var log bytes.Buffer
		l.mu.Lock()
		l.turn = 1 // no connection is honest
		l.mu.Unlock()
		c := l.client(t, func(c *client.Config) {
			c.Pins, c.SingleLane = row.pins, false // on a lane of its own a refusal looks like any cut
			c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		swap(row.lies)
		conn, err := c.Open(within(t, 10*time.Second), "org.example.bob", client.OpenOptions{Sealed: true, Key: row.key})
		swap(false)
		if err == nil {
			conn.Abort()
		}
		c.Close()
		if !errors.Is(err, row.want) || !strings.Contains(log.String(), row.logs) || row.logs == "" && log.Len() > 0 {
			t.Errorf("%s: got %v and the log %q, want %v and %q", row.what, err, log.String(), row.want, row.logs)
		}
	}
	report(t, "F22", "a relay that lies about the callee's key: peer_mismatch with a key, with a pin and without; without a pin its word is taken, and the log says so; first use is written down")
}
