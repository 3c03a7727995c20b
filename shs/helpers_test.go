package shs

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"
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

// connect returns both ends of a connection after the handshake. One of them is
// unmonitored, which must make no difference.
func connect(t testing.TB, mode Mode, rawClient, rawServer net.Conn) (client, server *Conn) {
	t.Helper()
	clientCfg, serverCfg := configs(mode)
	client, server = Client(rawClient, clientCfg), Server(rawServer, serverCfg)
	if err1, err2 := shakeBoth(t.Context(), client, server); err1 != nil || err2 != nil {
		t.Fatalf("handshake: client %v, server %v", err1, err2)
	}
	client.Unmonitor(1 << 10)
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

// recording keeps what is written through a connection.
type recording struct {
	net.Conn
	bytes.Buffer
}

func (c *recording) Read(p []byte) (int, error) { return c.Conn.Read(p) }
func (c *recording) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.Buffer.Write(p[:n])
	return n, err
}

// flipping inverts bits of one byte that is read through a connection.
type flipping struct {
	net.Conn
	at   int // bytes until it
	mask byte
}

func (c *flipping) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.at >= 0 && c.at < n {
		p[c.at] ^= c.mask
	}
	c.at -= n
	return n, err
}

// stream is a connection that gives some bytes and then ends.
type stream struct {
	net.Conn
	*bytes.Reader
}

func (s stream) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// readAll reads a stream of raw bytes to its error, io.EOF included.
func readAll(dec decoder, raw []byte) (got []byte, err error) {
	r := newReader(stream{Reader: bytes.NewReader(bytes.Clone(raw))}, dec)
	buf := make([]byte, 1000)
	for {
		n, err := r.read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			return got, err
		}
	}
}

// pieces is a reader and writer of chosen pieces, to fragment a connection.
type pieces struct {
	net.Conn
	size int
}

func (c pieces) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(len(p), c.size)]) }

// drain reads a connection to its end.
func drain(c io.Reader) { io.Copy(io.Discard, c) }
