package shs1

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func newTestIdentity(t testing.TB) *Identity {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return NewIdentity(key)
}

// TestAheadOnce takes keys from many goroutines while they are made.
func TestAheadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := newTestIdentity(t)
		ctx, stop := context.WithCancel(t.Context())
		var maker, takers sync.WaitGroup
		maker.Go(func() { id.MakeAhead(ctx) })
		var seen sync.Map
		for range 8 {
			takers.Go(func() {
				for range 20 {
					if _, twice := seen.LoadOrStore(id.ephemeral(nil).secret, true); twice {
						t.Error("one key for two handshakes")
					}
					time.Sleep(quietTime - 1)
				}
				time.Sleep(time.Second)
			})
		}
		takers.Wait()
		synctest.Wait()
		if n := len(id.ahead.keys); n != maxAhead {
			t.Errorf("%d keys are ahead when idle, want %d", n, maxAhead)
		}
		stop()
		maker.Wait()
		if n := len(id.ahead.keys); n != 0 {
			t.Errorf("%d keys are left in the end", n)
		}
		if _, twice := seen.Load(id.ephemeral(nil).secret); twice {
			t.Error("after the end: one key for two handshakes")
		}
	})
}

// TestAheadBusy makes no keys while handshakes go on.
func TestAheadBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := newTestIdentity(t)
		ctx, stop := context.WithCancel(t.Context())
		var maker sync.WaitGroup
		maker.Go(func() { id.MakeAhead(ctx) })
		synctest.Wait()
		for i := range 3 * maxAhead {
			if n := len(id.ahead.keys); n != max(0, maxAhead-i) {
				t.Errorf("%d keys before handshake %d", n, i)
			}
			id.ephemeral(nil)
			time.Sleep(quietTime / 2)
		}
		stop()
		maker.Wait()
	})
}

// TestProven fills the set of known keys past its bound.
func TestProven(t *testing.T) {
	var p proven
	var key [32]byte
	for i := range uint64(3 * maxProven) {
		binary.BigEndian.PutUint64(key[:], i)
		p.put(&key, [32]byte{1})
		p.put(&key, [32]byte{1})
		if _, ok := p.get(&key); !ok {
			t.Fatalf("key %d is forgotten at once", i)
		}
	}
	if len(p.keys) != maxProven {
		t.Errorf("%d keys, want %d", len(p.keys), maxProven)
	}
}

// TestPeerCurve: a known key has the form that it had at first, and a weak one
// never gets known.
func TestPeerCurve(t *testing.T) {
	id, peer := newTestIdentity(t), newTestIdentity(t)
	key := [32]byte(peer.public())
	var forms []publicKey
	for range 2 {
		u, err := id.peerCurve(&key)
		if err != nil {
			t.Fatal(err)
		}
		id.remember(&key, u)
		forms = append(forms, u)
	}
	if forms[0] != forms[1] || forms[0] != peer.curve.public {
		t.Errorf("forms %x, want %x", forms, peer.curve.public)
	}
	for _, y := range smallOrderY {
		if _, err := id.peerCurve(&y); !errors.Is(err, ErrWeakKey) {
			t.Errorf("%x: got %v, want %v", y, err, ErrWeakKey)
		}
	}
	if len(id.proven.keys) != 1 {
		t.Errorf("%d keys are known, want 1", len(id.proven.keys))
	}
}

// TestExpect: a key that is expected is known then, in the form that it has, and
// a weak one neither passes nor gets known.
func TestExpect(t *testing.T) {
	id, peer := newTestIdentity(t), newTestIdentity(t)
	key := [32]byte(peer.public())
	for range 2 {
		if err := id.Expect(key); err != nil {
			t.Fatal(err)
		}
		if u, ok := id.proven.get(&key); !ok || u != peer.curve.public {
			t.Errorf("known %v as %x, want %x", ok, u, peer.curve.public)
		}
		for _, y := range smallOrderY {
			if err := id.Expect(y); !errors.Is(err, ErrWeakKey) {
				t.Errorf("%x: got %v, want %v", y, err, ErrWeakKey)
			}
		}
	}
	if len(id.proven.keys) != 1 {
		t.Errorf("%d keys are known, want 1", len(id.proven.keys))
	}
}

// TestAuth compares with crypto/hmac.
func TestAuth(t *testing.T) {
	var key, data [32]byte
	for range 100 {
		rand.Read(key[:])
		rand.Read(data[:])
		h := hmac.New(sha512.New, key[:])
		h.Write(data[:])
		if got, want := auth(&key, &data), h.Sum(nil)[:32]; !bytes.Equal(got[:], want) {
			t.Fatalf("key %x, data %x: got %x, want %x", key, data, got, want)
		}
	}
}

// BenchmarkHandshake is both sides, who know each other, with their ephemeral
// keys made now or ahead.
func BenchmarkHandshake(b *testing.B) {
	for _, ahead := range []bool{false, true} {
		b.Run(map[bool]string{false: "now", true: "ahead"}[ahead], func(b *testing.B) {
			client, server := newTestIdentity(b), newTestIdentity(b)
			networks := [][32]byte{{1}}
			done := make(chan error)
			b.ReportAllocs()
			for b.Loop() {
				if ahead {
					b.StopTimer()
					for _, id := range []*Identity{client, server} {
						id.ahead.keys <- newEphemeral()
					}
					b.StartTimer()
				}
				x, y := net.Pipe()
				go func() {
					_, err := Server(y, &Config{Key: server, Networks: networks})
					done <- err
				}()
				_, err := Client(x, &Config{Key: client, Networks: networks, ServerKey: [32]byte(server.public())})
				if err := errors.Join(err, <-done); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
