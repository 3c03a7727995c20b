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
	cfg := &shs1.Config{Key: bob.pair[:], Networks: [][32]byte{DefaultNetworkKey()}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := shs1.Server(&script{Reader: bytes.NewReader(junk)}, cfg); err == nil {
			b.Fatal("content")
		}
	}
}

// The throughput benchmarks report their time as a ratio to that of bare
// secretbox over the same bytes, which is what no box stream can be faster than.

func rawSeal(text, out []byte) time.Duration {
	const rounds = 200
	key, nonce := new([32]byte), new([24]byte)
	begin := time.Now()
	for range rounds {
		for p := text; len(p) > 0; p = p[min(maxBody, len(p)):] {
			secretbox.Seal(out[:0], p[:min(maxBody, len(p))], nonce, key)
		}
	}
	return time.Since(begin) / rounds
}

func rawOpen(text, out []byte) time.Duration {
	const rounds = 200
	key, nonce := new([32]byte), new([24]byte)
	box := secretbox.Seal(nil, make([]byte, maxBody), nonce, key)
	begin := time.Now()
	for range rounds {
		for range len(text) / maxBody {
			secretbox.Open(out[:0], box, nonce, key)
		}
	}
	return time.Since(begin) / rounds
}

func BenchmarkSeal(b *testing.B) {
	text, out := make([]byte, 64<<10), make([]byte, 0, 80<<10)
	raw := rawSeal(text, out)
	w := &boxWriter{half: testHalf}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		out = out[:0]
		for p := text; len(p) > 0; {
			var n int
			out, n = w.appendFrame(out, p)
			p = p[n:]
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(raw), "x-secretbox")
}

func BenchmarkOpen(b *testing.B) {
	text, out := make([]byte, 64<<10), make([]byte, 80<<10)
	raw := rawOpen(text, out)
	w := &boxWriter{half: testHalf}
	var wire []byte
	for p := text; len(p) > 0; {
		var n int
		wire, n = w.appendFrame(wire, p)
		p = p[n:]
	}
	src := make([]byte, len(wire))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		copy(src, wire) // decode changes it
		r := boxReader{half: testHalf}
		if n, _, err := r.decode(out, src); n != len(text) || err != nil {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(raw), "x-secretbox")
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
