package muxrpc_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/muxrpc"
)

// floodConn reads as unit n times and then tail; what is written to it comes out of answers.
type floodConn struct {
	*conn
	unit, tail []byte
	n          int
	rest       []byte
}

func (c *floodConn) Read(b []byte) (int, error) {
	for len(c.rest) == 0 {
		switch {
		case c.n > 0:
			c.rest = c.unit
			c.n--
		case c.tail != nil:
			c.rest, c.tail = c.tail, nil
		default:
			return c.conn.Read(b)
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// F11: a million packets that nobody asked for.
func TestUnaskedAnswers(t *testing.T) {
	const n = 1_000_000
	unit := raw(t, "02 -1 {}\n0e -2 true\n0e 3 true\n0a -4 1\n06 5 {}\n02 0 {}\n02 -2147483648 {}\n0e -2 true\n0e 3 true\n01 -9 x")
	x, y := pipe(64 << 10)
	var s *muxrpc.Session
	grown := allocated(func() {
		s = muxrpc.NewSession(&floodConn{conn: y, n: n / 10, unit: unit, tail: raw(t, `02 1 {"name":"echo","args":["alive"]}`)},
			muxrpc.Config{Handler: muxrpc.HandlerFunc(serveTest)})
		if p, err := muxrpc.ReadPacket(x, 1<<16); err != nil || string(p.Body) != `"alive"` {
			t.Fatalf("got %+v, %v", p, err)
		}
	})
	defer s.Close()
	if got := s.Stats().Dropped; got != n {
		t.Errorf("dropped %d, want %d", got, n)
	}
	if grown/n > 64 {
		t.Errorf("%d bytes allocated for each packet", grown/n)
	}
}

// F09: a body of 4 GiB is no reason to wait.
func TestSessionHugeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := against(t, muxrpc.Config{})
		grown := allocated(func() {
			peer.Write([]byte{2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1})
			<-s.Done()
		})
		if !errors.Is(s.Err(), muxrpc.ErrTooLarge) || !peer.peerCut.Load() {
			t.Errorf("ended with %v, aborted %v", s.Err(), peer.peerCut.Load())
		}
		if grown > 128<<10 {
			t.Errorf("%d bytes allocated", grown)
		}
	})
}

// F10: hostile JSON is answered, and the session lives.
func TestSessionHostileJSON(t *testing.T) {
	for name, body := range hostile() {
		bubble(t, name, func(t *testing.T) {
			s, peer := against(t, muxrpc.Config{Handler: muxrpc.HandlerFunc(serveTest)})
			muxrpc.WritePacket(peer, muxrpc.Packet{Flags: 2, Req: 1, Body: body})
			want := `"name":"bad_request"`
			if name == "many keys" {
				want = `"name":"Error"`
			}
			if got, _ := peer.taken(t); !bytes.Contains(got, []byte(want)) {
				t.Errorf("got %s, want %s", cooked(got), want)
			}
			peer.give(t, `02 2 {"name":"echo","args":[1]}`)
			peer.expect(t, "02 -2 1")
			if s.Err() != nil {
				t.Error(s.Err())
			}
		})
	}
}

// F12: a peer that pipelines calls and never reads is not read either, and cut after ten seconds.
func TestPeerNeverReads(t *testing.T) {
	for _, method := range []string{"echo", "wait", "src", "nix"} {
		bubble(t, method, func(t *testing.T) {
			limit := muxrpc.NewLimit(64)
			served, most := 0, 0
			s, peer := against(t, muxrpc.Config{Limit: limit, MaxPending: 64 << 10, Handler: muxrpc.HandlerFunc(func(c *muxrpc.Call) {
				served++
				most = max(most, limit.InUse())
				serveTest(c)
			})})
			begin := time.Now()
			sent := 0
			flags, typ := byte(2), "async"
			if method == "src" {
				flags, typ = 10, "source"
			}
			for sent < 1_000_000 {
				var many []byte
				for range 50 {
					sent++
					body := fmt.Sprintf(`{"name":"%s","args":["%s"],"type":"%s"}`, method, strings.Repeat("x", 1000), typ)
					many = append(many, packet(flags, int32(sent), body)...)
				}
				if _, err := peer.Write(many); err != nil {
					break
				}
			}
			<-s.Done()
			if d := time.Since(begin); d != 10*time.Second || !errors.Is(s.Err(), os.ErrDeadlineExceeded) {
				t.Errorf("ended after %v with %v", d, s.Err())
			}
			s.Close()
			if most > 64 || limit.InUse() != 0 {
				t.Errorf("%d calls in flight, %d in the end", most, limit.InUse())
			}
			t.Logf("took %d of them, served %d", sent, served)
			if sent > 10_000 {
				t.Errorf("read %d calls of a peer that does not read", sent)
			}
		})
	}
}
