//go:build linux || darwin

package peercred_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/cad2f06c/switchboard/internal/peercred"
)

func Example() {
	dir, err := os.MkdirTemp("", "peercred")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	uid, err := peercred.ListenerUID(ln)
	fmt.Println(uid == uint32(os.Geteuid()), err)
	// Output: true <nil>
}

// socketDir is a directory with a path short enough for a socket in it.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// connect returns both ends of a connection to ln.
func connect(t *testing.T, ln net.Listener) (client, server net.Conn) {
	t.Helper()
	client, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func TestUID(t *testing.T) {
	ln := listen(t, "unix", filepath.Join(socketDir(t), "s"))
	client, server := connect(t, ln)
	me := uint32(os.Geteuid())
	wrapped := struct{ *net.UnixConn }{client.(*net.UnixConn)}
	for end, conn := range map[string]net.Conn{"client": client, "server": server, "client, wrapped": wrapped} {
		uid, pid, err := peercred.UID(conn)
		if err != nil || uid != me || pid != int32(os.Getpid()) {
			t.Errorf("at the %s: got uid %d, pid %d, %v, want %d, %d", end, uid, pid, err, me, os.Getpid())
		}
	}
	if uid, err := peercred.ListenerUID(ln); err != nil || uid != me {
		t.Errorf("listener: got %d, %v, want %d", uid, err, me)
	}
}

// hidden is a connection whose wrapper passes nothing through.
type hidden struct{ net.Conn }

func TestNotUnix(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	client, server := connect(t, ln)
	memory, _ := net.Pipe()
	unixClient, _ := connect(t, listen(t, "unix", filepath.Join(socketDir(t), "s")))
	for what, conn := range map[string]net.Conn{
		"TCP client": client, "TCP server": server, "TCP client, wrapped": struct{ *net.TCPConn }{client.(*net.TCPConn)}, "pipe": memory, "wrapped": hidden{unixClient}, "nil": nil} {
		if uid, _, err := peercred.UID(conn); !errors.Is(err, peercred.ErrNotUnix) {
			t.Errorf("%s: got uid %d, %v, want ErrNotUnix", what, uid, err)
		}
	}
	if uid, err := peercred.ListenerUID(ln); !errors.Is(err, peercred.ErrNotUnix) {
		t.Errorf("TCP listener: got uid %d, %v, want ErrNotUnix", uid, err)
	}
}

func TestClosed(t *testing.T) {
	ln := listen(t, "unix", filepath.Join(socketDir(t), "s"))
	client, _ := connect(t, ln)
	client.Close()
	if _, _, err := peercred.UID(client); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed connection: got %v, want net.ErrClosed", err)
	}
	ln.Close()
	if _, err := peercred.ListenerUID(ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed listener: got %v, want net.ErrClosed", err)
	}
}

func BenchmarkUID(b *testing.B) {
	client, server := net.Conn(nil), net.Conn(nil)
	ln, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
	if err == nil {
		defer ln.Close()
		client, err = net.Dial("unix", ln.Addr().String())
	}
	if err == nil {
		defer client.Close()
		server, err = ln.Accept()
	}
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := peercred.UID(server); err != nil {
			b.Fatal(err)
		}
	}
}
