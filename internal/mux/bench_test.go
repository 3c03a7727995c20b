package mux_test

import (
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// echo answers messages of size bytes until the end.
func echo(c net.Conn, size int) {
	p := make([]byte, size)
	for {
		if _, err := io.ReadFull(c, p); err != nil {
			return
		}
		if _, err := c.Write(p); err != nil {
			return
		}
	}
}

// BenchmarkCall is a message and its echo, beside the same on bare TCP.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int{100, 4000} {
		run := func(b *testing.B, x, y net.Conn) {
			var wg sync.WaitGroup
			wg.Go(func() { echo(y, size) })
			p := make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				x.Write(p)
				if _, err := io.ReadFull(x, p); err != nil {
					b.Fatal(err)
				}
			}
			x.Close()
			wg.Wait()
		}
		b.Run("stream/"+strconv.Itoa(size), func(b *testing.B) {
			client, server := pair(b, true, mux.Config{}, mux.Config{})
			x, y := streams(b, client, server)
			run(b, x, y)
		})
		b.Run("bare/"+strconv.Itoa(size), func(b *testing.B) {
			x, y := tcpPair(b)
			run(b, x, y)
		})
	}
}

// BenchmarkCalls is 64 streams that call at once.
func BenchmarkCalls(b *testing.B) {
	client, server := pair(b, true, mux.Config{}, mux.Config{})
	var wg sync.WaitGroup
	work := make(chan struct{})
	for range 64 {
		x, y := streams(b, client, server)
		wg.Go(func() { echo(y, 100) })
		wg.Go(func() {
			defer x.Close()
			p := make([]byte, 100)
			for range work {
				x.Write(p)
				if _, err := io.ReadFull(x, p); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
}

// BenchmarkBulk is one direction of one stream, in pieces of 32 KiB, beside
// bare TCP.
func BenchmarkBulk(b *testing.B) {
	const piece = 32 << 10
	run := func(b *testing.B, x, y net.Conn) {
		var wg sync.WaitGroup
		wg.Go(func() { io.CopyBuffer(io.Discard, struct{ io.Reader }{y}, make([]byte, piece)) })
		p := make([]byte, piece)
		b.SetBytes(piece)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := x.Write(p); err != nil {
				b.Fatal(err)
			}
		}
		x.Close()
		wg.Wait()
	}
	b.Run("stream", func(b *testing.B) {
		client, server := pair(b, true, mux.Config{}, mux.Config{})
		x, y := streams(b, client, server)
		run(b, x, y)
	})
	b.Run("bare", func(b *testing.B) {
		x, y := tcpPair(b)
		run(b, x, y)
	})
}

// BenchmarkOpen is open, one message and its echo, close.
func BenchmarkOpen(b *testing.B) {
	client, server := pair(b, true, mux.Config{}, mux.Config{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			st, err := server.Accept(b.Context())
			if err != nil {
				return
			}
			io.Copy(st, st)
			st.Close()
		}
	})
	p := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		st, err := client.Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		st.Write(p)
		st.CloseWrite()
		if _, err := io.Copy(io.Discard, st); err != nil {
			b.Fatal(err)
		}
		st.Close()
	}
	client.Close()
	wg.Wait()
}
