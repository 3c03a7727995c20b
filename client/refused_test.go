package client_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// remote is a server that admits listed keys alone, as over TCP. It is in memory,
// so that it may run in a bubble.
type remote struct {
	srv  *switchboard.Server
	ln   *testnet.Listener
	addr string
}

// serveRemote serves until the test's context ends, which stop is for.
func serveRemote(t *testing.T, admitted ...shs.PrivateKey) (r *remote, stop func()) {
	t.Helper()
	key := shs.GenerateKey()
	srv, err := switchboard.New(switchboard.Config{Key: key, Policy: list(t, admitted...)})
	if err != nil {
		t.Fatal(err)
	}
	a := shs.Address{Network: "net", Addr: "far:7483", Key: key.Public()}
	r = &remote{srv, testnet.Listen(), a.String()}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, r.ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r, func() { cancel(); wg.Wait() }
}

// list is a policy that trusts some keys and no others.
func list(t testing.TB, keys ...shs.PrivateKey) *switchboard.Policy {
	t.Helper()
	var all []shs.PublicKey
	for _, k := range keys {
		all = append(all, k.Public())
	}
	return trusting(t, all...)
}

// admit replaces the list.
func (r *remote) admit(t testing.TB, keys ...shs.PrivateKey) {
	t.Helper()
	if err := r.srv.SetPolicy(list(t, keys...)); err != nil {
		t.Fatal(err)
	}
}

func (r *remote) config(key shs.PrivateKey) client.Config {
	return client.Config{Address: r.addr, Key: key, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return r.ln.Dial(ctx)
	}}
}

// wantHints fails unless an error names all that a refused login may be due to.
func wantHints(t *testing.T, err error, r *remote, key shs.PrivateKey) {
	t.Helper()
	wantErr(t, err, shs.ErrRefused)
	hints := []string{"net:far:7483", "address", "server key " + r.srv.Key().String(), "network key", "mode", "authorized_peers", key.Public().String()}
	for _, hint := range hints {
		if !strings.Contains(err.Error(), hint) {
			t.Errorf("the error says nothing of %q: %v", hint, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has two lines: %v", err)
	}
}

// TestRefusedReconnect: a key leaves the server's list, and its session ends. The
// Client says that it is refused, and of what that may come, keeps on trying, and
// has its names back when the key is admitted again; meanwhile calls wait and
// listeners stay.
func TestRefusedReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plugin, other := shs.GenerateKey(), shs.GenerateKey()
		r, stop := serveRemote(t, plugin, other)
		defer stop()
		st := newStates()
		var log bytes.Buffer // read after Close
		cfg := r.config(plugin)
		cfg.OnState, cfg.Log = st.add, slog.New(slog.NewTextHandler(&log, nil))
		c := bubbleDial(t, cfg)
		defer c.Close()
		ln := listen(t, c, "test.refused")
		peer := bubbleDial(t, r.config(other))
		defer peer.Close()

		r.admit(t, other)
		if got := st.await(t, client.Disconnected); got.Err == nil {
			t.Error("disconnected without a reason")
		}
		st.await(t, client.Reconnecting) // for why the session ended
		for i := range 20 {              // for more than a minute
			got := st.await(t, client.Reconnecting)
			wantHints(t, got.Err, r, plugin)
			if i > 0 && got.After < 2500*time.Millisecond {
				t.Errorf("tries again after %v, though it is refused", got.After)
			}
		}
		select {
		case <-c.Done():
			t.Errorf("it has given up: %v", c.Err())
		default:
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Names(ctx, "")
		wantErr(t, err, context.DeadlineExceeded)
		_, err = peer.Lookup(t.Context(), "test.refused")
		wantErr(t, err, client.NotFound)

		r.admit(t, other, plugin)
		st.await(t, client.Connected)
		call, accepted := connect(t, peer, ln)
		call.Close()
		accepted.Close()
		c.Close()
		if n := strings.Count(log.String(), "the server refuses the login"); n != 1 {
			t.Errorf("the log says %d times that it is refused, want once:\n%s", n, &log)
		}
	})
}

// TestRefusedClose: a Client that nobody admits any more is closed at once, in
// the middle of its longest pause.
func TestRefusedClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := shs.GenerateKey()
		r, stop := serveRemote(t, key)
		defer stop()
		st := newStates()
		cfg := r.config(key)
		cfg.OnState = st.add
		c := bubbleDial(t, cfg)
		ln := listen(t, c, "test.refused")
		r.admit(t)
		for range 5 {
			st.await(t, client.Reconnecting)
		}
		asked := make(chan error, 1)
		go func() {
			_, err := c.WhoAmI(t.Context())
			asked <- err
		}()
		synctest.Wait()
		began := time.Now()
		c.Close()
		if d := time.Since(began); d != 0 {
			t.Errorf("Close took %v", d)
		}
		wantErr(t, <-asked, net.ErrClosed)
		_, err := ln.Accept()
		wantErr(t, err, net.ErrClosed)
		wantErr(t, c.Err(), net.ErrClosed)
		if got := st.await(t, client.Closed); got.Err != nil {
			t.Errorf("closed with %v", got.Err)
		}
	})
}

// TestRefusedForGood: without reconnects the end of the session is the Client's,
// and a login that is refused is Dial's error.
func TestRefusedForGood(t *testing.T) {
	for _, single := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			key := shs.GenerateKey()
			r, stop := serveRemote(t, key)
			defer stop()
			cfg := r.config(key)
			cfg.NoReconnect, cfg.SingleLane = true, single
			c := bubbleDial(t, cfg)
			defer c.Close()
			ln := listen(t, c, "test.refused")
			r.admit(t)
			<-c.Done()
			if c.Err() == nil {
				t.Error("it has ended without a reason")
			}
			_, err := c.WhoAmI(t.Context())
			wantErr(t, err, client.ErrNotConnected)
			_, err = ln.Accept()
			wantErr(t, err, client.ErrNotConnected)
			_, err = client.Dial(t.Context(), cfg)
			wantHints(t, err, r, key)
		})
	}
}
