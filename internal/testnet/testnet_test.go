package testnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/cad2f06c/switchboard/internal/testnet"
)

func TestConn(t *testing.T) {
	wraps := []struct {
		name string
		wrap func(net.Conn) net.Conn
	}{
		{"plain", func(c net.Conn) net.Conn { return c }},
		{"stallable", func(c net.Conn) net.Conn { return testnet.Stallable(c) }},
		{"cut far away", func(c net.Conn) net.Conn { return testnet.Cut(c, 1<<40) }},
	}
	for _, w := range wraps {
		t.Run(w.name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				a, b := testnet.Pipe()
				stop := func() { a.Close(); b.Close() }
				return w.wrap(a), w.wrap(b), stop, nil
			})
		})
	}
}

func TestHalfClose(t *testing.T) {
	a, b := testnet.Pipe()
	defer a.Close()
	defer b.Close()
	fmt.Fprint(a, "request")
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after CloseWrite: got %v, want net.ErrClosed", err)
	}
	if got, err := io.ReadAll(b); string(got) != "request" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	fmt.Fprint(b, "answer")
	b.Close()
	if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestTryWrite fills the buffer, and gives way to a Write in progress.
func TestTryWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := testnet.PipeSize(10)
		for i, want := range []int{8, 2, 0} {
			if n, err := a.TryWrite([]byte("12345678")); n != want || err != nil {
				t.Errorf("TryWrite %d: got %d, %v, want %d", i, n, err, want)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() { fmt.Fprint(a, "waits until there is room") })
		synctest.Wait()
		p := make([]byte, 100)
		b.Read(p[:1])
		if n, err := a.TryWrite([]byte("x")); n != 0 || err != nil {
			t.Errorf("beside a Write: got %d, %v", n, err)
		}
		b.Close()
		wg.Wait()
		if _, err := a.TryWrite([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("to a closed end: got %v, want EPIPE", err)
		}
		a.Close()
		if _, err := a.TryWrite([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: got %v, want net.ErrClosed", err)
		}
	})
}

func TestCloseEndsOther(t *testing.T) {
	a, b := testnet.Pipe()
	b.Close()
	if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Write to a closed end: got %v, want EPIPE", err)
	}
	if _, err := a.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read from a closed end: got %v, want io.EOF", err)
	}
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: got %v, want net.ErrClosed", err)
	}
}

// Writers that wait for each other must not stop a bubble's clock.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := testnet.PipeSize(10)
		a.SetWriteDeadline(time.Now().Add(time.Hour))
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := a.Write(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v, want a timeout", err)
				}
			})
		}
		start := time.Now()
		wg.Wait()
		if d := time.Since(start); d != time.Hour {
			t.Errorf("timed out after %v, want 1h", d)
		}
		a.Close()
		b.Close()
	})
}

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := testnet.Pipe()
		b := testnet.Stallable(far)
		defer a.Close()
		defer b.Close()
		b.Stall()
		fmt.Fprint(a, "late")
		b.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := b.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("stalled Read: got %v, want a timeout", err)
		}
		b.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Minute, b.Unstall)
		start := time.Now()
		p := make([]byte, 8)
		n, err := b.Read(p)
		if string(p[:n]) != "late" || err != nil || time.Since(start) != time.Minute {
			t.Errorf("got %q, %v after %v", p[:n], err, time.Since(start))
		}
		b.Stall()
		time.AfterFunc(time.Minute, func() { b.Close() })
		if _, err := b.Write(p); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write closed while stalled: got %v, want net.ErrClosed", err)
		}
	})
}

func TestTrickle(t *testing.T) {
	a, b := testnet.Pipe()
	defer b.Close()
	slow := testnet.Trickle(a)
	if n, err := slow.Write([]byte("abc")); n != 3 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	slow.Close()
	p := make([]byte, 8)
	if n, _ := testnet.Trickle(b).Read(p); n != 1 {
		t.Errorf("Read returned %d bytes, want 1", n)
	}
}

func TestCut(t *testing.T) {
	for _, at := range []int{0, 1, 5, 6} {
		a, b := testnet.Pipe()
		c := testnet.Cut(a, int64(at))
		n1, err1 := c.Write([]byte("abc"))
		n2, err2 := c.Write([]byte("def"))
		if n1+n2 != at {
			t.Errorf("cut at %d: wrote %d", at, n1+n2)
		}
		if at < 6 && err1 == nil && err2 == nil {
			t.Errorf("cut at %d: no error", at)
		}
		if got, err := io.ReadAll(b); string(got) != "abcdef"[:at] || err != nil {
			t.Errorf("cut at %d: got %q, %v", at, got, err)
		}
		b.Close()
	}
}

func TestListener(t *testing.T) {
	l := testnet.Listen()
	near, err := l.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(near, "hello")
	near.Close()
	if got, _ := io.ReadAll(far); string(got) != "hello" {
		t.Errorf("got %q", got)
	}
	left, err := l.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := left.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("unaccepted conn after Close: got %v, want io.EOF", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: got %v, want net.ErrClosed", err)
	}
	if _, err := l.Dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial after Close: got %v, want ECONNREFUSED", err)
	}
}

func ExampleListen() {
	l := testnet.Listen()
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.Copy(conn, conn) // echo until the half-close
	})
	conn, err := l.Dial(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(conn, "over memory")
	conn.CloseWrite()
	got, err := io.ReadAll(conn)
	fmt.Println(string(got), err)
	wg.Wait()
	// Output: over memory <nil>
}
