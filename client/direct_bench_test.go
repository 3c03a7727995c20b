//go:build linux

package client_test

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
)

// socketPair returns two Unix sockets that are connected to each other.
func socketPair(b *testing.B) (pair [2]net.Conn) {
	b.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		if pair[i], err = net.FileConn(f); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	b.Cleanup(func() { pair[0].Close(); pair[1].Close() })
	return pair
}

// BenchmarkFD sends messages there and back, or 64 KiB pieces one way, over a
// channel on a passed socket, and over bare sockets in turn. It reports the
// fastest round of the channel, and the fastest rounds' ratio: of the times of
// a round trip, and of the bytes a second.
func BenchmarkFD(b *testing.B) {
	cfg := client.Config{Address: serve(b), DirectKinds: []channel.Kind{channel.FD}}
	x, y := dial(b, cfg), dial(b, cfg)
	call, accepted := open(b, x, listen(b, y, "org.example.fast"), client.OpenOptions{Direct: client.DirectRequire})
	bare, fd := socketPair(b), [2]net.Conn{call, accepted}
	for _, bench := range []struct {
		name   string
		round  func(*testing.B, [2]net.Conn)
		report func(b *testing.B, bare, fd time.Duration)
	}{
		{"roundtrip", pingPong, func(b *testing.B, bare, fd time.Duration) {
			b.ReportMetric(float64(fd.Nanoseconds())/rounds, "ns/trip")
			b.ReportMetric(float64(fd)/float64(bare), "time/bare")
		}},
		{"bulk", bulk, func(b *testing.B, bare, fd time.Duration) {
			b.ReportMetric(rounds*bulkPiece/1e6/fd.Seconds(), "MB/s")
			b.ReportMetric(float64(bare)/float64(fd), "speed/bare")
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var fastest [2]time.Duration
			for b.Loop() {
				for i, ends := range [][2]net.Conn{bare, fd} {
					begin := time.Now()
					bench.round(b, ends)
					if took := time.Since(begin); fastest[i] == 0 || took < fastest[i] {
						fastest[i] = took
					}
				}
			}
			bench.report(b, fastest[0], fastest[1])
			b.ReportMetric(0, "ns/op")
		})
	}
}

const (
	rounds    = 500 // messages, or pieces, of one round
	bulkPiece = 64 << 10
)

func pingPong(b *testing.B, ends [2]net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 64)
		for range rounds {
			if _, err := io.ReadFull(ends[1], buf); err != nil {
				b.Error(err)
				return
			}
			if _, err := ends[1].Write(buf); err != nil {
				b.Error(err)
				return
			}
		}
	})
	buf := make([]byte, 64)
	for range rounds {
		if _, err := ends[0].Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(ends[0], buf); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}

func bulk(b *testing.B, ends [2]net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, bulkPiece)
		for range rounds {
			if _, err := ends[0].Write(buf); err != nil {
				b.Error(err)
				return
			}
		}
	})
	buf := make([]byte, bulkPiece)
	for left := rounds * bulkPiece; left > 0; {
		n, err := ends[1].Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		left -= n
	}
	wg.Wait()
}
