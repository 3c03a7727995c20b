package shs

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/net/nettest"
)

// alice and bob are the two parties of the tests, made as those of the vector.
var (
	alice = NewPrivateKey(sum("alice"))
	bob   = NewPrivateKey(sum("bob"))
)

// transports are the kinds of connection below.
var transports = []struct {
	name string
	pipe func(t testing.TB) (client, server net.Conn)
}{
	{"pipe", func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }},
	{"tcp", func(t testing.TB) (net.Conn, net.Conn) { return socketPair(t, "tcp", "127.0.0.1:0") }},
	{"unix", func(t testing.TB) (net.Conn, net.Conn) {
		return socketPair(t, "unix", filepath.Join(t.TempDir(), "s"))
	}},
}

func socketPair(t testing.TB, network, addr string) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// configs are those of alice dialling bob in a mode.
func configs(mode Mode) (client, server *Config) {
	client = &Config{Key: alice, ServerKey: bob.Public()}
	server = &Config{Key: bob}
	if mode == Plain {
		client.PlainKey = DefaultNetworkKey().Plain(1000, 1000)
		server.PlainKey = client.PlainKey
	}
	return client, server
}

// shakeBoth runs both handshakes and returns both errors.
func shakeBoth(ctx context.Context, client, server *Conn) (clientErr, serverErr error) {
	done := make(chan error)
	go func() { done <- server.Handshake(ctx) }()
	clientErr = client.Handshake(ctx)
	return clientErr, <-done
}

// connect returns both ends of a connection after the handshake.
func connect(t testing.TB, mode Mode, rawClient, rawServer net.Conn) (client, server *Conn) {
	t.Helper()
	clientCfg, serverCfg := configs(mode)
	client, server = Client(rawClient, clientCfg), Server(rawServer, serverCfg)
	if err1, err2 := shakeBoth(t.Context(), client, server); err1 != nil || err2 != nil {
		t.Fatalf("handshake: client %v, server %v", err1, err2)
	}
	t.Cleanup(func() { client.Abort(); server.Abort() })
	return client, server
}

// eachConn runs a test for both modes over every transport.
func eachConn(t *testing.T, f func(t *testing.T, client, server *Conn)) {
	for _, mode := range []Mode{Box, Plain} {
		for _, tr := range transports {
			t.Run(mode.String()+"/"+tr.name, func(t *testing.T) {
				a, b := tr.pipe(t)
				client, server := connect(t, mode, a, b)
				f(t, client, server)
			})
		}
	}
}

func TestNettest(t *testing.T) {
	for _, mode := range []Mode{Box, Plain} {
		for _, tr := range transports {
			t.Run(mode.String()+"/"+tr.name, func(t *testing.T) {
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					a, b := tr.pipe(t)
					client, server := connect(t, mode, a, b)
					return client, server, func() { client.Close(); server.Close() }, nil
				})
			})
		}
	}
}

func TestHandshake(t *testing.T) {
	eachConn(t, func(t *testing.T, client, server *Conn) {
		if got := client.RemoteKey(); got != bob.Public() {
			t.Errorf("client sees %v, want %v", got, bob.Public())
		}
		if got := server.RemoteKey(); got != alice.Public() {
			t.Errorf("server sees %v, want %v", got, alice.Public())
		}
		if client.Mode() != server.Mode() {
			t.Errorf("modes %v and %v", client.Mode(), server.Mode())
		}
		go func() {
			client.Write([]byte("hello"))
			client.CloseWrite()
		}()
		got, err := io.ReadAll(server)
		if string(got) != "hello" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		go server.Abort()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after Abort: got %v, want %v", err, io.ErrUnexpectedEOF)
		}
	})
}
