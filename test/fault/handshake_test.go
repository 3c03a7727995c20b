//go:build fault

package fault_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"filippo.io/edwards25519"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/shs"
)

// F07: a peer that sends one byte each half second, or none, is closed after
// 5 s in all, not after 5 s from its last byte.
func TestF07SlowLoris(t *testing.T) {
	_, p := startDaemon(t, shs.GenerateKey().Public())
	hello := newParty([32]byte{1}, p.key).hello1() // nothing is wrong with it but its pace
	took := make([]time.Duration, 6)
	var wg sync.WaitGroup
	for i := range took {
		wg.Go(func() {
			began := time.Now()
			conn := p.dial(t, networks()[i%2])
			if i >= 2 {
				wg.Go(func() {
					pace := time.NewTicker(500 * time.Millisecond)
					defer pace.Stop()
					for _, b := range hello {
						if _, err := conn.Write([]byte{b}); err != nil {
							return
						}
						<-pace.C
					}
				})
			}
			if got := ended(t, conn, 30*time.Second); len(got) > 0 {
				t.Errorf("got %d bytes, want none", len(got))
			}
			took[i] = time.Since(began)
		})
	}
	wg.Wait()
	for _, d := range took {
		if d < 4900*time.Millisecond || d > 5*time.Second+slow*time.Second { // the hello takes 32 s
			t.Errorf("closed after %v, want 5 s and what the machine needs", d)
		}
	}
	p.alive(t)
	report(t, "F07", "closed after %v", took)
}

// F08: message 3 arrives byte by byte at the server; message 4 and the first
// boxes arrive in one segment at the client, cut anywhere.
func TestF08Segments(t *testing.T) {
	_, p := startDaemon(t)
	t.Run("trickle", func(t *testing.T) {
		conn := p.login(t, testnet.Trickle(p.dial(t, "unix")), shs.GenerateKey())
		send(t, conn, 0x02, 1, `{"name":["ping"],"args":[]}`)
		if got := receive(t, conn); got.Req != -1 {
			t.Errorf("got %+v", got)
		}
		must(t, conn.Close())
	})
	const first = "the first box, and a second one"
	cuts := 0
	for cut := 0; cut <= 80+2*34+len(first); cut += times(3, 1) {
		cuts++
		ours, theirs := tcpPair(t)
		server := shs.Server(&coalesce{Conn: theirs, hold: 64, cut: cut}, &shs.Config{Key: shs.NewPrivateKey([32]byte{2})})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := server.WriteBuffers([]byte(first[:14]), []byte(first[14:]))
			if err := errors.Join(err, server.NetConn().(*coalesce).flush()); err != nil {
				t.Error(err)
			}
		})
		conn := shs.Client(ours, &shs.Config{Key: shs.GenerateKey(), ServerKey: shs.NewPrivateKey([32]byte{2}).Public()})
		must(t, conn.Handshake(t.Context()))
		got := make([]byte, len(first))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != first {
			t.Errorf("cut at %d: got %q, %v", cut, got, err)
		}
		wg.Wait()
		ours.Close()
		theirs.Close()
	}
	report(t, "F08", "message 3 byte by byte; %d cuts of message 4 with the first boxes behind it", cuts)
}

// coalesce lets the first hold bytes through, and keeps the others until flush,
// which sends them in two segments.
type coalesce struct {
	net.Conn
	hold, cut int
	kept      []byte
}

func (c *coalesce) Write(p []byte) (int, error) {
	if c.hold > 0 {
		c.hold -= len(p)
		return c.Conn.Write(p)
	}
	c.kept = append(c.kept, p...)
	return len(p), nil
}

func (c *coalesce) flush() error {
	cut := min(c.cut, len(c.kept))
	_, err := c.Conn.Write(c.kept[:cut])
	_, err2 := c.Conn.Write(c.kept[cut:])
	return errors.Join(err, err2)
}

// tcpPair is a TCP connection of this process with itself.
func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	a, err = net.Dial("tcp", ln.Addr().String())
	must(t, err)
	b, err = ln.Accept()
	must(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// F13: keys of small, low and mixed order in every place where a key or a point
// is sent, to a server that admits the key that is claimed.
func TestF13WeakKeys(t *testing.T) {
	seed := [32]byte{13}
	_, p := startDaemon(t, shs.NewPrivateKey(seed).Public())
	honest := newParty(seed, p.key)
	secret := secretScalar(t, honest.key)
	n := 0
	attack := func(what string, sent int, change func(*party)) {
		t.Helper()
		n++
		conn := p.dial(t, networks()[n%2])
		attacker := newParty(seed, p.key)
		change(attacker)
		heard := &tap{Conn: conn}
		if err := attacker.client(heard); err == nil {
			t.Errorf("%s: the server sent message 4", what)
		}
		ended(t, heard, 10*time.Second)
		if got := len(heard.bytes()); got != sent {
			t.Errorf("%s: the server sent %d bytes, want %d", what, got, sent)
		}
	}
	for _, u := range lowOrder(t) {
		attack("weak ephemeral key", 0, func(a *party) { a.ephPublic, a.zero = u, true })
		for _, A := range smallOrder(t) {
			attack("weak ephemeral and long-term key", 0, func(a *party) {
				a.ephPublic, a.zero, a.key, a.public, a.sign = u, true, nil, A, forge(t, A, nil)
			})
		}
	}
	for _, A := range smallOrder(t) {
		attack("weak long-term key", 64, func(a *party) { a.key, a.public, a.sign = nil, A, forge(t, A, nil) })
		attack("weak point in the signature", 64, func(a *party) {
			a.sign = func(m []byte) []byte {
				return signature(t, A, edwards25519.NewScalar(), a.public, secret, m)
			}
		})
	}
	for _, A := range mixedOrder(t, honest.public) {
		attack("long-term key of mixed order", 64, func(a *party) { a.key, a.public, a.sign = nil, A, forge(t, A, secret) })
	}
	// The same party without a weakness gets in: the attacks fail for their keys.
	must(t, newParty(seed, p.key).client(p.dial(t, "tcp")))
	p.alive(t)
	report(t, "F13", "%d attacks on a server process, which sent no message 4; %d on clients, none of which took the server", n, weakServers(t))
}

// weakServers attacks our client, as a server and by its configuration, and
// returns how many there were.
func weakServers(t *testing.T) (n int) {
	seed := [32]byte{14}
	ln, err := net.Listen("unix", room(t)+"/s")
	must(t, err)
	defer ln.Close()
	dial := func(key shs.PublicKey) error {
		n++
		addr := shs.Address{Network: "unix", Addr: ln.Addr().String(), Key: key}
		_, err := client.Dial(t.Context(), client.Config{Address: addr.String(), Key: shs.GenerateKey(), Mode: client.ModeBox})
		return err
	}
	key := shs.NewPrivateKey(seed).Public()
	attack := func(what string, sent int, change func(*party)) {
		t.Helper()
		var wg sync.WaitGroup
		wg.Go(func() {
			conn, err := ln.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			heard := &tap{Conn: conn}
			attacker := newParty(seed, key)
			change(attacker)
			attacker.serve(heard) // it fails as soon as the client ends the connection
			ended(t, heard, 10*time.Second)
			if got := len(heard.bytes()); got != sent {
				t.Errorf("%s: the client sent %d bytes, want %d", what, got, sent)
			}
		})
		if err := dial(key); !errors.Is(err, shs.ErrWeakKey) && !errors.Is(err, shs.ErrProof) {
			t.Errorf("%s: the client got %v", what, err)
		}
		wg.Wait()
	}
	for _, u := range lowOrder(t) {
		attack("weak ephemeral key", 64, func(a *party) { a.ephPublic, a.zero = u, true })
	}
	for _, R := range smallOrder(t) {
		attack("weak point in the signature", 64+112, func(a *party) {
			secret := secretScalar(t, a.key)
			a.sign = func(m []byte) []byte { return signature(t, R, edwards25519.NewScalar(), a.public, secret, m) }
		})
	}
	for _, B := range append(smallOrder(t), mixedOrder(t, key[:])...) {
		if err := dial(shs.PublicKey(B)); !errors.Is(err, shs.ErrWeakKey) {
			t.Errorf("pinned server key %x: got %v, want %v", B, err, shs.ErrWeakKey)
		}
	}
	return n
}

// tap keeps what it reads.
type tap struct {
	net.Conn
	mu   sync.Mutex
	read bytes.Buffer // guarded by mu
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.Write(p[:n])
	return n, err
}

func (c *tap) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.read.Bytes())
}

// F15: all that a client sent in one session, sent again by somebody who
// recorded it, ends at message 3, and the server says nothing after message 2.
func TestF15Replay(t *testing.T) {
	_, p := startDaemon(t)
	rec := &tap{}
	ours, theirs := tcpPair(t)
	rec.Conn = theirs
	server := p.dial(t, "unix")
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(server, rec); server.(*net.UnixConn).CloseWrite() })
	wg.Go(func() { io.Copy(theirs, server); theirs.Close() })
	conn := p.login(t, ours, shs.GenerateKey())
	send(t, conn, 0x02, 1, `{"name":["whoami"],"args":[]}`)
	if got := receive(t, conn); got.Flags != 0x02 {
		t.Fatalf("got %+v", got)
	}
	must(t, conn.Close())
	wg.Wait()
	if len(rec.bytes()) < 64+112+34 {
		t.Fatalf("only %d bytes were recorded", len(rec.bytes()))
	}
	for range 20 {
		again := p.dial(t, "unix")
		if _, err := again.Write(rec.bytes()); err != nil {
			t.Fatal(err)
		}
		if got := ended(t, again, 10*time.Second); len(got) != 64 {
			t.Errorf("the server answered a replay with %d bytes, want 64", len(got))
		}
	}
	p.alive(t)
	report(t, "F15", "20 replays of %d bytes: each got message 2 and nothing else", len(rec.bytes()))
}
