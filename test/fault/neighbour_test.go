//go:build fault

package fault_test

import (
	"cmp"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
)

// neighbour is a channel between two keys that have no part in what goes on:
// nothing may happen to it.
type neighbour struct {
	t    testing.TB
	conn *channel.Conn
	n    atomic.Int64 // bytes that have come back
}

// neighbour opens the channel; the test's end closes it, and fails if it broke.
func (p place) neighbour(t testing.TB, name string) *neighbour {
	t.Helper()
	ln, err := p.client(t, "unix").Listen(within(t, 10*time.Second), name)
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			t.Errorf("a neighbour: %v", err)
			return
		}
		defer conn.Close()
		if _, err := io.Copy(conn, conn); err != nil {
			t.Errorf("a neighbour's echo: %v", err)
		}
		conn.(*channel.Conn).CloseWrite()
	})
	conn, err := p.client(t, "unix").Open(within(t, 10*time.Second), name, client.OpenOptions{})
	must(t, err)
	n := &neighbour{t: t, conn: conn}
	t.Cleanup(func() {
		conn.CloseWrite()
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("a neighbour's channel ended with %v, want its end", err)
		}
		wg.Wait()
		conn.Close()
	})
	return n
}

// knock sends something there and back until stop is closed, and returns what
// each round took. It leaves the processors to others for a while in between.
func (n *neighbour) knock(stop <-chan struct{}) (took []time.Duration) {
	buf, sent := make([]byte, 100), make([]byte, 100)
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-stop:
			return took
		case <-pace.C:
		}
		began := time.Now()
		flow(7).fill(sent, n.n.Load())
		if _, err := n.conn.Write(sent); err != nil {
			n.t.Errorf("a neighbour: %v", err)
			return took
		}
		if _, err := io.ReadFull(n.conn, buf); err != nil || !flow(7).check(buf, n.n.Load()) {
			n.t.Errorf("a neighbour got something else, or %v", err)
			return took
		}
		n.n.Add(100)
		took = append(took, time.Since(began))
	}
}

// during knocks while f runs.
func (n *neighbour) during(f func()) (took []time.Duration) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { took = n.knock(stop) })
	f()
	close(stop)
	wg.Wait()
	return took
}

// percentile returns that of some times.
func percentile[T cmp.Ordered](took []T, n int) (p T) {
	if len(took) == 0 {
		return p
	}
	slices.Sort(took)
	return took[(len(took)*n-1)/100]
}
