package mux_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// TestTwoReads: of two Reads of a stream that wait, the first to end leaves the
// second what there is: the rest of the bytes, or the end.
func TestTwoReads(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(x, y *mux.Stream) // x is read
		n    int                    // bytes that the Reads return together
		err  error                  // of one that returns none
	}{
		{"bytes", func(_, y *mux.Stream) { y.Write([]byte("abcdef")) }, 6, nil},
		{"bytes and FIN", func(_, y *mux.Stream) { y.Write([]byte("abc")); y.CloseWrite() }, 3, io.EOF},
		{"FIN", func(_, y *mux.Stream) { y.CloseWrite() }, 0, io.EOF},
		{"reset", func(_, y *mux.Stream) { y.Abort() }, 0, mux.ErrReset},
		{"deadline", func(x, _ *mux.Stream) { x.SetReadDeadline(time.Unix(1, 0)) }, 0, nil},
		{"Close", func(x, _ *mux.Stream) { x.Close() }, 0, net.ErrClosed},
	} {
		for _, lead := range []bool{false, true} {
			t.Run(c.name+map[bool]string{true: ", leading"}[lead], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { twoReads(t, lead, c.do, c.n, c.err) })
			})
		}
	}
}

func twoReads(t *testing.T, lead bool, do func(x, y *mux.Stream), n int, want error) {
	client, server := pair(t, false, mux.Config{Lead: lead}, mux.Config{})
	if lead {
		mux.LeadAlways(client)
	}
	x, y := streams(t, client, server)
	y.Write([]byte("xxx"))
	io.ReadFull(x, make([]byte, 3))
	type result struct {
		n   int
		err error
	}
	results := make(chan result, 2)
	var reads sync.WaitGroup
	for range 2 {
		reads.Go(func() {
			n, err := x.Read(make([]byte, 3))
			results <- result{n, err}
		})
		synctest.Wait()
	}
	do(x, y)
	for range 2 {
		select {
		case r := <-results:
			n -= r.n
			if r.n == 0 && want != nil && !errors.Is(r.err, want) {
				t.Errorf("got %v, want %v", r.err, want)
			}
		case <-time.After(time.Second):
			t.Fatal("a Read still waits")
		}
	}
	if n != 0 {
		t.Errorf("%d bytes are missing", n)
	}
}

// TestReadExpired: what comes behind the deadline of a Read that waits is left
// for the next, though that Read has not run yet.
func TestReadExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, false, mux.Config{}, mux.Config{})
		x, _ := streams(t, client, server)
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := x.Read(make([]byte, 3)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("behind its deadline: %d, %v", n, err)
			}
		})
		synctest.Wait()
		mux.ExpireAndArrive(x, []byte("abc"))
		wg.Wait()
		x.SetReadDeadline(time.Now().Add(time.Second))
		b := make([]byte, 3)
		if n, err := x.Read(b); err != nil || string(b[:n]) != "abc" {
			t.Errorf("then %q, %v", b[:n], err)
		}
	})
}
