package shs

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/internal/testnet"
	"github.com/cad2f06c/switchboard/shs/internal/salsa"
)

// pattern is n bytes that say where in a stream they are.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// readNext reads a connection to its end through Next, which must not hand out
// a view twice, nor say that there is more when there is not.
func readNext(t *testing.T, c *Conn) []byte {
	t.Helper()
	var got []byte
	for {
		p, more, err := c.Next()
		if err == io.EOF && len(p) == 0 && !more {
			return got
		}
		if err != nil || len(p) == 0 {
			t.Errorf("Next: got %d bytes, %v, %v after %d", len(p), more, err, len(got))
			return got
		}
		got = append(got, p...)
		clear(p) // ours until the next call
		if more {
			c.in.lock()
			if !c.in.look() && c.in.err == nil {
				t.Error("Next says that there is more")
			}
			c.in.unlock()
		}
	}
}

// TestTryWrite writes more than any connection takes at once.
func TestTryWrite(t *testing.T) {
	eachConn(t, func(t *testing.T, client, server *Conn) {
		want := pattern(3 << 20)
		done := make(chan []byte)
		rest := want
		stuck := 0
		for _, size := range []int{1, 5, minDirect - 1, minDirect, maxDirect + 1, 0, 3 << 19, len(want)} {
			p := rest[:min(size, len(rest))]
			rest = rest[len(p):]
			left, err := client.TryWrite(p)
			if err != nil {
				t.Fatal(err)
			}
			if left {
				stuck++
			}
		}
		if stuck == 0 && client.LocalAddr().Network() != "tcp" { // that one takes megabytes
			t.Error("TryWrite never left anything")
		}
		go func() { done <- readNext(t, server) }()
		if err := client.Flush(); err != nil {
			t.Errorf("Flush: %v", err)
		}
		if client.out.left() || client.out.out != nil {
			t.Error("Flush has left something, or its buffer")
		}
		client.CloseWrite()
		if got := <-done; !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, want %d, or they differ", len(got), len(want))
		}
		if _, err := client.TryWrite([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("TryWrite after CloseWrite: got %v, want %v", err, net.ErrClosed)
		}
		client.Abort()
		if _, err := client.TryWrite([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("TryWrite after Abort: got %v, want %v", err, net.ErrClosed)
		}
		if err := client.Flush(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Flush after Abort: got %v, want %v", err, net.ErrClosed)
		}
	})
}

// TestTryWriteBubble fills a connection in memory, and meets a deadline with
// what is left.
func TestTryWriteBubble(t *testing.T) {
	for _, mode := range []Mode{Box, Plain} {
		synctest.Test(t, func(t *testing.T) {
			a, b := testnet.PipeSize(100_000)
			client, server := connect(t, mode, a, b)
			if left, err := client.TryWrite(pattern(1000)); left || err != nil {
				t.Errorf("into an empty buffer: left %v, %v", left, err)
			}
			want := pattern(200_000)
			if left, err := client.TryWrite(want[1000:]); !left || err != nil {
				t.Errorf("into a small buffer: left %v, %v", left, err)
			}
			client.SetWriteDeadline(time.Now().Add(time.Second))
			for range 2 {
				if err := client.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Flush: got %v, want a timeout", err)
				}
			}
			if left, err := client.TryWrite([]byte("end")); !left || err != nil {
				t.Errorf("after the deadline: left %v, %v", left, err)
			}
			client.SetWriteDeadline(time.Time{})
			go func() {
				client.Flush()
				client.CloseWrite()
			}()
			if got := readNext(t, server); !bytes.Equal(got, append(want, "end"...)) {
				t.Errorf("got %d bytes, or they differ", len(got))
			}
		})
	}
}

// TestTryWriteBroken loses the peer while something is left.
func TestTryWriteBroken(t *testing.T) {
	eachConn(t, func(t *testing.T, client, server *Conn) {
		client.TryWrite(make([]byte, 3<<20))
		server.Abort()
		var err error
		for range 3 { // the kernel may take some before it knows
			if _, err = client.TryWrite(make([]byte, 1)); err != nil {
				break
			}
			if err = client.Flush(); err != nil {
				break
			}
		}
		if err == nil {
			t.Fatal("no error")
		}
		if _, again := client.TryWrite([]byte("x")); again != err {
			t.Errorf("TryWrite again: got %v, want %v", again, err)
		}
		if again := client.Flush(); again != err {
			t.Errorf("Flush again: got %v, want %v", again, err)
		}
	})
}

// TestTryWriteAllocs counts the allocations of a TryWrite and a Next.
func TestTryWriteAllocs(t *testing.T) {
	for _, mode := range []Mode{Box, Plain} {
		for _, size := range []int{64, 32 << 10} {
			a, b := socketPair(t, "tcp", "127.0.0.1:0")
			client, server := connect(t, mode, a, b)
			text := make([]byte, size)
			got := testing.AllocsPerRun(100, func() {
				if left, err := client.TryWrite(text); left || err != nil {
					t.Fatal(left, err)
				}
				for n := 0; n < size; {
					p, _, err := server.Next()
					if err != nil {
						t.Fatal(err)
					}
					n += len(p)
				}
			})
			if got > 0 && !raceEnabled {
				t.Errorf("%v, %d bytes: %v allocations, want none", mode, size, got)
			}
		}
	}
}

// TestReadersMixed reads a stream, cut anywhere, by Read, Next and Peek in any
// order.
func TestReadersMixed(t *testing.T) {
	want := pattern(300_000)
	for _, mode := range []Mode{Box, Plain} {
		for seed := range uint64(20) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			var enc encoder = newBoxWriter(testHalf, salsa.Best())
			if mode == Plain {
				enc = plainWriter{}
			}
			var wire []byte
			for p := want; len(p) > 0; {
				var n int
				wire, n = enc.appendFrame(wire, p[:min(len(p), 1+rnd.IntN(1<<rnd.IntN(17)))])
				p = p[n:]
			}
			wire = enc.appendGoodbye(wire)
			r := newReader(pieces{stream{Reader: bytes.NewReader(wire)}, 1 << rnd.IntN(18)}, decoderFor(mode))
			var got []byte
			var err error
			for err == nil {
				switch rnd.IntN(3) {
				case 0:
					var p []byte
					p, _, err = r.next()
					got = append(got, p...)
				case 1:
					n, buf := 0, make([]byte, 1<<rnd.IntN(17))
					n, err = r.read(buf)
					got = append(got, buf[:n]...)
				case 2:
					p, peekErr := r.peek(1 + rnd.IntN(maxPeek))
					if !bytes.HasPrefix(want[len(got):], p) || peekErr == nil && len(p) == 0 {
						t.Fatalf("%v, seed %d: peek after %d bytes: got %d bytes, %v", mode, seed, len(got), len(p), peekErr)
					}
				}
			}
			if !bytes.Equal(got, want) || err != io.EOF {
				t.Errorf("%v, seed %d: got %d bytes, %v", mode, seed, len(got), err)
			}
		}
	}
}
