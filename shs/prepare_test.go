package shs

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// prepared are configs with what both ends prepare.
func prepared(mode Mode) (client, server *Config) {
	client, server = configs(mode)
	client.Prepared, server.Prepared = Prepare(client.Key), Prepare(server.Key)
	return client, server
}

// TestPrepared runs handshakes that share what they prepare, and records the
// ephemeral key of each hello: none may come twice.
func TestPrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clientCfg, serverCfg := prepared(Box)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { clientCfg.Prepared.Run(ctx) })
		wg.Go(func() { serverCfg.Prepared.Run(ctx) })
		seen := make(map[[32]byte]bool)
		for i := range 60 {
			if i%20 == 0 {
				time.Sleep(time.Second) // in which keys are made
			}
			a, b := net.Pipe()
			x, y := &recording{Conn: a}, &recording{Conn: b}
			client, server := Client(x, clientCfg), Server(y, serverCfg)
			if err1, err2 := shakeBoth(t.Context(), client, server); err1 != nil || err2 != nil {
				t.Fatalf("handshake %d: client %v, server %v", i, err1, err2)
			}
			if client.RemoteKey() != bob.Public() || server.RemoteKey() != alice.Public() {
				t.Errorf("the client sees %v, the server %v", client.RemoteKey(), server.RemoteKey())
			}
			seen[[32]byte(x.Bytes()[32:])] = true
			seen[[32]byte(y.Bytes()[32:])] = true
			client.Abort()
			server.Abort()
		}
		if len(seen) != 2*60 {
			t.Errorf("%d different ephemeral keys, want %d", len(seen), 2*60)
		}
		stop()
		wg.Wait()
	})
}

// TestPreparedParseAddresses: a weak key is refused as often as it comes, a good
// one can be dialled.
func TestPreparedParseAddresses(t *testing.T) {
	clientCfg, serverCfg := prepared(Box)
	weak := append(smallOrder(), mixedOrder(t, bob.Public())...)
	good := Address{"unix", "/s", bob.Public()}
	for range 2 {
		for _, B := range weak {
			got, err := clientCfg.Prepared.ParseAddresses(FormatAddresses([]Address{good, {"unix", "/t", PublicKey(B)}}))
			if !errors.Is(err, ErrWeakKey) || !errors.Is(err, ErrAddress) || got != nil {
				t.Errorf("%x: got %v, %v", B, got, err)
			}
			a, b := net.Pipe()
			go drain(b)
			rec := &recording{Conn: a}
			cfg := *clientCfg
			cfg.ServerKey = PublicKey(B)
			if err := Client(rec, &cfg).Handshake(t.Context()); !errors.Is(err, ErrWeakKey) || rec.Len() != 0 {
				t.Errorf("%x: got %v after %d bytes, want %v after none", B, err, rec.Len(), ErrWeakKey)
			}
		}
		got, err := clientCfg.Prepared.ParseAddresses(good.String())
		if err != nil || len(got) != 1 || got[0] != good {
			t.Fatalf("got %v, %v, want %v", got, err, good)
		}
		a, b := net.Pipe()
		client, server := Client(a, clientCfg), Server(b, serverCfg)
		if err1, err2 := shakeBoth(t.Context(), client, server); err1 != nil || err2 != nil {
			t.Fatalf("client %v, server %v", err1, err2)
		}
		client.Abort()
		server.Abort()
	}
}

func TestPreparedOtherKey(t *testing.T) {
	a, _ := net.Pipe()
	_, cfg := configs(Box)
	cfg.Prepared = Prepare(alice)
	if err := Server(a, cfg).Handshake(t.Context()); err == nil || !strings.HasSuffix(err.Error(), errOtherKey.Error()) {
		t.Errorf("got %v, want %v", err, errOtherKey)
	}
}

// BenchmarkHandshakePrepared is BenchmarkHandshake between two that know each
// other; with keys made ahead it measures with them, and without the making.
func BenchmarkHandshakePrepared(b *testing.B) {
	clientCfg, serverCfg := prepared(Box)
	b.ReportAllocs()
	for b.Loop() {
		x, y := net.Pipe()
		client, server := Client(x, clientCfg), Server(y, serverCfg)
		if err1, err2 := shakeBoth(b.Context(), client, server); err1 != nil || err2 != nil {
			b.Fatal(err1, err2)
		}
		client.Abort()
		server.Abort()
	}
}
