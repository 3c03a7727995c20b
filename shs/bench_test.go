package shs

import (
	"bytes"
	"io"
	"net"
	"testing"

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
