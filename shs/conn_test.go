package shs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/cad2f06c/switchboard/shs/internal/salsa"
)

func TestNettest(t *testing.T) {
	for _, mode := range []Mode{Box, Plain} {
		for _, tr := range transports {
			t.Run(mode.String()+"/"+tr.name, func(t *testing.T) {
				t.Parallel()
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					a, b := tr.pipe(t)
					client, server := connect(t, mode, a, b)
					return client, server, func() { client.Abort(); server.Abort() }, nil
				})
			})
		}
	}
}

// inBubble runs a test for both modes over net.Pipe under fake time.
func inBubble(t *testing.T, f func(t *testing.T, client, server *Conn)) {
	for _, mode := range []Mode{Box, Plain} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := net.Pipe()
				client, server := connect(t, mode, a, b)
				f(t, client, server)
			})
		})
	}
}

func TestBothEnds(t *testing.T) {
	eachConn(t, func(t *testing.T, client, server *Conn) {
		if client.RemoteKey() != bob.Public() || server.RemoteKey() != alice.Public() {
			t.Errorf("the client sees %v, the server %v", client.RemoteKey(), server.RemoteKey())
		}
		if client.Mode() != server.Mode() {
			t.Errorf("modes %v and %v", client.Mode(), server.Mode())
		}
		if client.LocalAddr() != client.NetConn().LocalAddr() || client.RemoteAddr() != client.NetConn().RemoteAddr() {
			t.Errorf("addresses %v, %v", client.LocalAddr(), client.RemoteAddr())
		}
		if err := client.Handshake(t.Context()); err != nil {
			t.Errorf("a second handshake: %v", err)
		}
	})
}

// TestGoodbye ends one direction and goes on in the other.
func TestGoodbye(t *testing.T) {
	eachConn(t, func(t *testing.T, client, server *Conn) {
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			client.Write([]byte("hello"))
			for range 2 { // the second does nothing
				if err := client.CloseWrite(); err != nil {
					t.Errorf("CloseWrite: %v", err)
				}
			}
			if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write after CloseWrite: got %v, want %v", err, net.ErrClosed)
			}
		})
		if got, err := io.ReadAll(server); string(got) != "hello" || err != nil {
			t.Errorf("the server reads %q, %v", got, err)
		}
		wg.Go(func() {
			server.Write([]byte("and back"))
			server.Close()
		})
		if got, err := io.ReadAll(client); string(got) != "and back" || err != nil {
			t.Errorf("the client reads %q, %v", got, err)
		}
		if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("again: got %d, %v", n, err)
		}
	})
}

func TestAbort(t *testing.T) {
	eachConn(t, func(t *testing.T, client, server *Conn) {
		go func() {
			server.Write([]byte("half"))
			server.Abort()
		}()
		if got, err := io.ReadAll(client); string(got) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %q, %v", got, err)
		}
		for _, err := range []error{server.Abort(), server.Close()} {
			if err != nil {
				t.Errorf("closing again: %v", err)
			}
		}
		_, rerr := server.Read(make([]byte, 1))
		_, werr := server.Write([]byte("x"))
		for _, err := range []error{rerr, werr, server.CloseWrite(), server.SetDeadline(time.Time{})} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("after our own close: got %v, want %v", err, net.ErrClosed)
			}
		}
	})
}

// TestCloseStuckPeer closes while the peer reads nothing: the goodbye has 1 s,
// and readers and writers in progress are woken.
func TestCloseStuckPeer(t *testing.T) {
	inBubble(t, func(t *testing.T, client, _ *Conn) {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if _, err := client.Write(make([]byte, 1<<20)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Write: got %v, want %v", err, net.ErrClosed)
				}
			})
		}
		begin := time.Now()
		wg.Go(func() {
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) || time.Since(begin) > 0 {
				t.Errorf("Read: got %v after %v, want %v at once", err, time.Since(begin), net.ErrClosed)
			}
		})
		synctest.Wait()
		if err := client.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wg.Wait()
		if took := time.Since(begin); took != closeTimeout {
			t.Errorf("Close took %v, want %v", took, closeTimeout)
		}
	})
}

// TestReadDeadline meets its deadline at every byte of a frame, and loses
// nothing.
func TestReadDeadline(t *testing.T) {
	for _, mode := range []Mode{Box, Plain} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wire, _ := frames(mode, testHalf, "one", "two")
				a, b := net.Pipe()
				defer a.Close()
				conn := &Conn{raw: b, in: newReader(b, decoderFor(mode))}
				conn.shaken.Store(true)
				go func() {
					for _, c := range join(wire...) {
						a.Write([]byte{c})
						time.Sleep(time.Second)
					}
				}()
				var got []byte
				timeouts := 0
				buf := make([]byte, 2)
				for {
					conn.SetReadDeadline(time.Now().Add(700 * time.Millisecond))
					n, err := conn.Read(buf)
					got = append(got, buf[:n]...)
					if err == io.EOF {
						break
					}
					if errors.Is(err, os.ErrDeadlineExceeded) {
						timeouts++
					} else if err != nil {
						t.Fatal(err)
					}
				}
				if string(got) != "onetwo" || timeouts < len(join(wire...))-1 {
					t.Errorf("got %q after %d timeouts", got, timeouts)
				}
				time.Sleep(time.Second) // the writer's last
			})
		})
	}
}

// TestWriteDeadline leaves a Write in its middle: what it says it wrote arrives,
// once and in order, before anything else.
func TestWriteDeadline(t *testing.T) {
	for _, finish := range []struct {
		name string
		act  func(*Conn) error
		more string
	}{
		{"write", func(c *Conn) error {
			c.Write([]byte("and more"))
			return c.CloseWrite()
		}, "and more"},
		{"close write", (*Conn).CloseWrite, ""},
		{"close", (*Conn).Close, ""},
	} {
		t.Run(finish.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, client, server *Conn) {
				text := bytes.Repeat([]byte("0123456789"), 50_000)
				got := make([]byte, 10_001)
				var wg sync.WaitGroup
				wg.Go(func() { io.ReadFull(server, got) }) // and then nothing for 10 s
				client.SetWriteDeadline(time.Now().Add(time.Second))
				n, err := client.Write(text)
				if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(text) {
					t.Fatalf("Write: got %d, %v", n, err)
				}
				m, err := client.Write(text)
				if m != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Write after the deadline: got %d, %v, want 0 and a timeout", m, err)
				}
				if err := client.CloseWrite(); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("CloseWrite after the deadline: got %v, want a timeout", err)
				}
				wg.Wait()

				client.SetWriteDeadline(time.Time{})
				wg.Go(func() {
					if err := finish.act(client); err != nil {
						t.Errorf("%s: %v", finish.name, err)
					}
				})
				rest, err := io.ReadAll(server)
				if want := string(text[:n]) + finish.more; string(got)+string(rest) != want || err != nil {
					t.Errorf("got %d bytes, %v, want %d", len(got)+len(rest), err, len(want))
				}
				wg.Wait()
			})
		})
	}
}

// TestStuckWritersShareDeadline has a Write that waits for another one: both
// end when the deadline is set.
func TestStuckWritersShareDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, client, _ *Conn) {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := client.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v, want a timeout", err)
				}
			})
		}
		time.Sleep(time.Minute)
		client.SetWriteDeadline(time.Now())
		wg.Wait()
	})
}

// TestConcurrentWrites shows that no Write is mixed with another.
func TestConcurrentWrites(t *testing.T) {
	eachConn(t, func(t *testing.T, client, server *Conn) {
		const size = 100_000
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				p := bytes.Repeat([]byte{byte(i)}, size)
				if n, err := client.WriteBuffers(p[:10], nil, p[10:]); n != size || err != nil {
					t.Errorf("got %d, %v", n, err)
				}
			})
		}
		buf := make([]byte, size)
		for range 8 {
			if _, err := io.ReadFull(server, buf); err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(buf, buf[:1]); n != size {
				t.Errorf("%d bytes of one Write stand together, want %d", n, size)
			}
		}
		wg.Wait()
	})
}

// counting counts the writes of a connection.
type counting struct {
	net.Conn
	writes []int
}

func (c *counting) Write(p []byte) (int, error) {
	c.writes = append(c.writes, len(p))
	return c.Conn.Write(p)
}

// TestWriteBuffers looks at boxes and raw writes.
func TestWriteBuffers(t *testing.T) {
	for _, tt := range []struct {
		sizes  []int
		boxes  []int
		writes int
	}{
		{[]int{}, nil, 0},
		{[]int{0}, nil, 0},
		{[]int{9, 5000}, []int{9, 4096, 904}, 1},
		{[]int{9, 0, 9}, []int{9, 9}, 1},
		{[]int{4096, 4097}, []int{4096, 4096, 1}, 1},
		{[]int{16 * 4096}, nil, 1},
		{[]int{16*4096 + 1}, nil, 2},
	} {
		t.Run(fmt.Sprint(tt.sizes), func(t *testing.T) {
			a, b := net.Pipe()
			count := &counting{Conn: a}
			w := newWriter(count, newBoxWriter(testHalf, salsa.Best()))
			total := 0
			bufs := make([][]byte, len(tt.sizes))
			for i, size := range tt.sizes {
				bufs[i] = make([]byte, size)
				total += size
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				defer a.Close()
				if n, err := w.write(bufs); n != total || err != nil {
					t.Errorf("got %d, %v, want %d", n, err, total)
				}
			})
			ref := refHalf{key: testHalf.Key, nonce: testHalf.Nonce}
			for i := 0; ; i++ {
				body, err := ref.open(b)
				if err != nil {
					break
				}
				if tt.boxes != nil && (i >= len(tt.boxes) || len(body) != tt.boxes[i]) {
					t.Errorf("box %d has %d bytes, want sizes %v", i, len(body), tt.boxes)
				}
			}
			wg.Wait()
			if len(count.writes) != tt.writes {
				t.Errorf("raw writes of %v bytes, want %d", count.writes, tt.writes)
			}
		})
	}
}

// TestSteadyAllocs counts the allocations of a write and a read.
func TestSteadyAllocs(t *testing.T) {
	for _, mode := range []Mode{Box, Plain} {
		a, b := socketPair(t, "tcp", "127.0.0.1:0")
		client, server := connect(t, mode, a, b)
		text, buf := make([]byte, 32<<10), make([]byte, 32<<10)
		got := testing.AllocsPerRun(100, func() {
			if _, err := client.Write(text); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(server, buf); err != nil {
				t.Fatal(err)
			}
		})
		if got > 0 && !raceEnabled { // the race detector allocates
			t.Errorf("%v: %v allocations, want none", mode, got)
		}
	}
}
