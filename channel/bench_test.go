//go:build unix

package channel_test

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
)

// socketPair is what the kernel makes: two ends of a Unix socket.
func socketPair(b testing.TB) (net.Conn, net.Conn) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	end := func(fd int) net.Conn {
		f := os.NewFile(uintptr(fd), "socketpair")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	return end(fds[0]), end(fds[1])
}

// rung is one of the things that are compared: the next is made of the one
// before it.
type rung struct {
	name string
	a, b net.Conn
	took time.Duration
}

// ladder makes the bare socket, the shs.Conn over one, the Path over one.
func ladder(b *testing.B) []*rung {
	bare, bareEnd := socketPair(b)
	x, y := socketPair(b)
	conn, connEnd := shake(b, x, y, true)
	x, y = socketPair(b)
	link, linkEnd := shake(b, x, y, true)
	e := newEnds(b, muxRelay(b))
	if !e.callee.Register() {
		b.Fatal("not registered")
	}
	e.wg.Go(func() {
		if err := e.callee.Move(b.Context(), linkEnd); err != nil {
			b.Error(err)
		}
	})
	if err := e.caller.Move(b.Context(), link); err != nil {
		b.Fatal(err)
	}
	e.wg.Wait()
	e.reset()
	if st, _, _ := e.callee.Stage(); st != channel.Direct {
		b.Fatal("not moved")
	}
	b.Cleanup(func() {
		for _, c := range []net.Conn{bare, bareEnd, conn, connEnd} {
			c.Close()
		}
	})
	return []*rung{{name: "bare", a: bare, b: bareEnd}, {name: "shs", a: conn, b: connEnd}, {name: "path", a: e.caller, b: e.callee}}
}

// compare runs all rungs in turn, a slice of the work each, and reports how
// much time the Path takes for what the others do.
func compare(b *testing.B, slice int, run func(r *rung, n int)) {
	all := ladder(b)
	for _, r := range all {
		run(r, slice) // warm
	}
	n := 0
	for b.Loop() {
		for i := range all {
			r := all[(i+n)%len(all)]
			began := time.Now()
			run(r, slice)
			r.took += time.Since(began)
		}
		n++
	}
	per := func(r *rung) float64 { return float64(r.took.Nanoseconds()) / float64(n*slice) }
	b.ReportMetric(0, "ns/op")
	for _, r := range all {
		b.ReportMetric(per(r), r.name+"-ns")
	}
	b.ReportMetric(per(all[2])/per(all[0]), "path/bare")
	b.ReportMetric(per(all[2])/per(all[1]), "path/shs")
}

// BenchmarkRoundTrip is one byte there and one back. The goal is at most 1.10
// of the bare socket.
func BenchmarkRoundTrip(b *testing.B) {
	compare(b, 2000, func(r *rung, n int) {
		var wg sync.WaitGroup
		wg.Go(func() { pingPong(b, r.b, n, false) })
		pingPong(b, r.a, n, true)
		wg.Wait()
	})
}

func pingPong(b *testing.B, c net.Conn, n int, first bool) {
	buf := make([]byte, 64)
	if first {
		c.Write(buf[:1])
	}
	for i := range n {
		if _, err := c.Read(buf); err != nil {
			b.Error(err)
			return
		}
		if !first || i < n-1 {
			if _, err := c.Write(buf[:1]); err != nil {
				b.Error(err)
				return
			}
		}
	}
}

// BenchmarkBulk is one direction in pieces of 64 KiB. The goal is at most 1.25
// of the time of the bare socket: 0.80 of its speed.
func BenchmarkBulk(b *testing.B) {
	compare(b, 1000, func(r *rung, n int) {
		var wg sync.WaitGroup
		wg.Go(func() {
			buf := make([]byte, 64<<10)
			for range n {
				if _, err := r.a.Write(buf); err != nil {
					b.Error(err)
					return
				}
			}
		})
		buf := make([]byte, 64<<10)
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(r.b, int64(n)<<16), buf); err != nil {
			b.Error(err)
		}
		wg.Wait()
	})
}
