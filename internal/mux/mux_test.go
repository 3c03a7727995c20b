package mux_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/internal/testnet"
)

// pair returns two sessions that are connected by a pipe in memory, or by TCP.
func pair(t testing.TB, tcp bool, cc, sc mux.Config) (client, server *mux.Session) {
	t.Helper()
	var a, b net.Conn = testnet.Pipe()
	if tcp {
		a, b = tcpPair(t)
	}
	client, server = mux.Client(a, cc), mux.Server(b, sc)
	t.Cleanup(func() {
		client.Abort(nil)
		server.Abort(nil)
	})
	return client, server
}

func tcpPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// streams opens a stream on a and accepts it on b.
func streams(t testing.TB, a, b *mux.Session) (*mux.Stream, *mux.Stream) {
	t.Helper()
	x, err := a.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return x, y
}

func TestConn(t *testing.T) {
	for _, c := range []struct {
		name          string
		tcp, byServer bool
	}{
		{"memory", false, false},
		{"memory, server opens", false, true},
		{"tcp", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				client, server := pair(t, c.tcp, mux.Config{}, mux.Config{})
				if c.byServer {
					client, server = server, client
				}
				x, y := streams(t, client, server)
				return x, y, func() { client.Close(); server.Close() }, nil
			})
		})
	}
}
