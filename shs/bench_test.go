package shs

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

// BenchmarkHandshake is both sides of a handshake.
func BenchmarkHandshake(b *testing.B) {
	clientCfg, serverCfg := configs(Box)
	b.ReportAllocs()
	for b.Loop() {
		x, y := net.Pipe()
		client, server := Client(x, clientCfg), Server(y, serverCfg)
		if err1, err2 := shakeBoth(b.Context(), client, server); err1 != nil || err2 != nil {
			b.Fatal(err1, err2)
		}
		client.Abort()
		server.Abort()
	}
}

// BenchmarkServerHello is a stranger's hello at the server: another network.
func BenchmarkServerHello(b *testing.B) {
	junk := make([]byte, 64)
	cfg := &shs1.Config{Key: shs1.NewIdentity(bob.pair[:]), Networks: [][32]byte{DefaultNetworkKey()}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := shs1.Server(&script{Reader: bytes.NewReader(junk)}, cfg); err == nil {
			b.Fatal("content")
		}
	}
}

// The throughput benchmarks run the box stream and bare secretbox over the same
// bytes in turn. They report the throughput of the fastest round, and how many
// times the time of secretbox's fastest it took: no box stream can be below 1.

// fastest is the shortest of several times.
type fastest time.Duration

func (f *fastest) add(d time.Duration) {
	if *f == 0 || fastest(d) < *f {
		*f = fastest(d)
	}
}

func report(b *testing.B, size int, ours, bare fastest) {
	b.ReportMetric(float64(size)/1e6/time.Duration(ours).Seconds(), "box-MB/s")
	b.ReportMetric(float64(ours)/float64(bare), "x-secretbox")
}

func BenchmarkSeal(b *testing.B) {
	text, out := make([]byte, 64<<10), make([]byte, 0, 80<<10)
	key, nonce := new([32]byte), new([24]byte)
	w := &boxWriter{half: testHalf}
	var ours, bare fastest
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		out = out[:0]
		for p := text; len(p) > 0; {
			var n int
			out, n = w.appendFrame(out, p)
			p = p[n:]
		}
		middle := time.Now()
		out = out[:0]
		for p := text; len(p) > 0; p = p[maxBody:] {
			out = secretbox.Seal(out, p[:maxBody], nonce, key)
		}
		ours.add(middle.Sub(begin))
		bare.add(time.Since(middle))
	}
	report(b, len(text), ours, bare)
}

func BenchmarkOpen(b *testing.B) {
	const boxes = 16
	text := make([]byte, boxes*maxBody)
	w := &boxWriter{half: testHalf}
	var wire []byte
	for p := text; len(p) > 0; {
		var n int
		wire, n = w.appendFrame(wire, p)
		p = p[n:]
	}
	src := make([]byte, len(wire))
	key, nonce := new([32]byte), new([24]byte)
	box := secretbox.Seal(nil, text[:maxBody], nonce, key)
	var ours, bare fastest
	b.ReportAllocs()
	for b.Loop() {
		copy(src, wire) // decode changes it
		r := boxReader{half: testHalf}
		begin := time.Now()
		if n, _, err := r.decode(text, src); n != len(text) || err != nil {
			b.Fatal(n, err)
		}
		middle := time.Now()
		for i := range boxes {
			secretbox.Open(text[:i*maxBody], box, nonce, key)
		}
		ours.add(middle.Sub(begin))
		bare.add(time.Since(middle))
	}
	report(b, len(text), ours, bare)
}

// BenchmarkConn moves 64 KiB over TCP on loopback, one way.
func BenchmarkConn(b *testing.B) {
	for _, mode := range []Mode{Box, Plain} {
		b.Run(mode.String(), func(b *testing.B) {
			rawClient, rawServer := socketPair(b, "tcp", "127.0.0.1:0")
			client, server := connect(b, mode, rawClient, rawServer)
			text := make([]byte, 64<<10)
			done := make(chan struct{})
			go func() {
				defer close(done)
				buf := make([]byte, 32<<10)
				io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{server}, buf)
			}()
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Write(text); err != nil {
					b.Fatal(err)
				}
			}
			client.Close()
			<-done
		})
	}
}
