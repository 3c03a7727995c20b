package switchboard

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// Before Serve, while it serves, while the books are locked, and after it.
func TestHealth(t *testing.T) {
	srv, err := New(Config{Key: shs.GenerateKey()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := srv.Health(t.Context()); !errors.Is(err, ErrNotServing) {
		t.Errorf("before Serve: %v, want ErrNotServing", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ln := NewLocal()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	conn, err := ln.DialContext(t.Context(), "", "") // taken by the accept loop
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if h, err := srv.Health(t.Context()); err != nil || h != (Health{}) {
		t.Errorf("while it serves: %+v, %v", h, err)
	}
	srv.mu.Lock()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := srv.Health(over); !errors.Is(err, context.Canceled) {
		t.Errorf("with the books locked: %v, want the context's error", err)
	}
	srv.mu.Unlock()
	stop()
	wg.Wait()
	if _, err := srv.Health(t.Context()); err != nil {
		t.Errorf("after an end in order: %v", err)
	}
}

// A loop that has come back from Accept and does not return to it is seen after
// 5 s, one that ended is not.
func TestHeartsStop(t *testing.T) {
	srv, err := New(Config{Key: shs.GenerateKey()})
	if err != nil {
		t.Fatal(err)
	}
	ln := NewLocal()
	ln.Close()
	srv.hearts.expect(2)
	h := srv.hearts.begin(ln)
	if err := srv.hearts.check(0); !errors.Is(err, ErrNotServing) {
		t.Errorf("with one loop of two: %v, want ErrNotServing", err)
	}
	srv.hearts.begin(ln)
	if _, err := srv.acceptOn(ln, h); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	back := time.Since(srv.started)
	if err := srv.hearts.check(back + 4*time.Second); err != nil {
		t.Errorf("after 4 s: %v", err)
	}
	if err := srv.hearts.check(back + 6*time.Second); err == nil || !strings.Contains(err.Error(), "no accept for") {
		t.Errorf("after 6 s: %v, want the listener's name and time", err)
	}
	h.over.Store(true)
	if err := srv.hearts.check(back + time.Hour); err != nil {
		t.Errorf("after its end: %v", err)
	}
}
