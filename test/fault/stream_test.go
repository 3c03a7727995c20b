//go:build fault

package fault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
			always := func() bool { return true }
			heard(t, "whole", other, all, always)
			heard(t, "whole", sizes.lane, all, always)
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
				heard(t, fmt.Sprint("sent bytes ", n-up), callee, all, func() bool { return n == upEnd })
				caller.Conn.Close()
				callee.Close()
			}
			for n := down; n <= downEnd+35; n++ { // the server may put the pieces into more boxes, or fewer, than last time
				total++
				caller := &meter{Conn: p.dial(t, "unix"), takes: n}
				call(t, p, mode, caller)
				callee, err := ln.Accept()
				must(t, err)
				say(t, callee.(channelLane), pieces())
				heard(t, fmt.Sprint("received bytes ", n-down), caller.lane, all, func() bool { return !caller.cut.Load() })
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
	cut          atomic.Bool // something was asked for behind the cut
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
			m.cut.Store(true)
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

// heard reads to the end and compares; complete then says whether all of it must
// have come.
func heard(t *testing.T, what string, conn net.Conn, all []byte, complete func() bool) {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(slow*30*time.Second)))
	got, err := io.ReadAll(conn)
	whole := complete()
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
		must(t, conn.SetReadDeadline(time.Now().Add(slow*10*time.Second)))
		rest := make([]byte, len(all)-len(got))
		if _, err := io.ReadFull(conn, rest); err != nil || !bytes.Equal(join(got, rest), all) {
			t.Fatalf("after %d bytes and a deadline: got %q, %v", cut, join(got, rest), err)
		}
		n++
	}
	return n
}
