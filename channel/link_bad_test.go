package channel_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

// heard counts what a connection receives.
type heard struct {
	net.Conn
	n atomic.Int64
}

func (c *heard) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// TestLinkStrangers: whoever does not know all of it learns nothing and takes
// nothing away; the caller comes through after them on the same listener.
func TestLinkStrangers(t *testing.T) {
	const hello = 64 // what one who knows the secret hears, but no more
	network := shs.DefaultNetworkKey()
	for _, kind := range linkKinds {
		dir := tidy(t)
		caller, callee := attempts()
		l := listenLink(t, callee, dir, linkKinds...)
		a := accept(t.Context(), l, true)
		direct := func(change func(*channel.Attempt)) shs.NetworkKey {
			other := *caller
			change(&other)
			return network.Direct(other.Secret, other.Channel, other.Key.Public(), other.Peer)
		}
		right := direct(func(*channel.Attempt) {})
		for _, row := range []struct {
			name    string
			key     shs.PrivateKey
			purpose shs.NetworkKey
			server  shs.PublicKey
			mode    shs.Mode // the kind's own, or the other
			hears   int64
		}{
			{"wrong secret", linkCaller, direct(func(a *channel.Attempt) { a.Secret[31] ^= 1 }), linkCallee.Public(), 0, 0},
			{"other channel", linkCaller, direct(func(a *channel.Attempt) { a.Channel[0] ^= 1 }), linkCallee.Public(), 0, 0},
			{"other peer", linkCaller, direct(func(a *channel.Attempt) { a.Peer = linkThird.Public() }), linkCallee.Public(), 0, 0},
			{"third key, its own purpose", linkThird, direct(func(a *channel.Attempt) { a.Key = linkThird }), linkCallee.Public(), 0, 0},
			{"roles swapped", linkCaller, network.Direct(caller.Secret, caller.Channel, linkCallee.Public(), linkCaller.Public()),
				linkCallee.Public(), 0, 0},
			{"the other kind's mode", linkCaller, right, linkCallee.Public(), 1, 0},
			{"the network's key", linkCaller, network, linkCallee.Public(), 0, 0},
			{"the network's key, the other mode", linkCaller, network, linkCallee.Public(), 1, 0},
			{"third key, knows all", linkThird, right, linkCallee.Public(), 0, hello},
			{"the callee's own key", linkCallee, right, linkThird.Public(), 0, hello},
			{"expects another callee", linkCaller, right, linkThird.Public(), 0, hello},
		} {
			conn := &heard{Conn: rawLink(t, kind, addrOf(l, kind))}
			cfg := &shs.Config{Key: row.key, ServerKey: row.server}
			if (kind == channel.Unix) == (row.mode == 0) {
				cfg.PlainKey, cfg.NetworkKey = row.purpose.Plain(caller.UID, caller.UID), shs.NetworkKey{1}
			} else {
				cfg.NetworkKey = row.purpose
			}
			link := shs.Client(conn, cfg)
			if err := link.Handshake(t.Context()); err == nil {
				t.Errorf("%s, %s: got in", kind, row.name)
			}
			if n := conn.n.Load(); n != row.hears {
				t.Errorf("%s, %s: heard %d bytes, want %d", kind, row.name, n, row.hears)
			}
		}
		junk := rawLink(t, kind, addrOf(l, kind))
		if _, err := junk.Write(make([]byte, 200)); err != nil {
			t.Error(err)
		}
		if n, _ := junk.Read(make([]byte, 1)); n != 0 {
			t.Errorf("%s: junk was answered", kind)
		}
		mine, err := dialLink(t, caller, kind, addrOf(l, kind))
		if err != nil {
			t.Fatalf("%s: the caller: %v", kind, err)
		}
		theirs, err := a.wait(t)
		if err != nil || a.registered != 1 {
			t.Fatalf("%s: %v, registered %d times", kind, err, a.registered)
		}
		checkLink(t, mine, theirs)
	}
}

// TestLinkOtherUser: the kernel says who is there, whatever the path and the keys
// say. Neither side sends a byte to somebody else.
func TestLinkOtherUser(t *testing.T) {
	dir := tidy(t)
	caller, callee := attempts()
	callee.UID++
	l := listenLink(t, callee, dir, channel.Unix)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := accept(ctx, l, true)
	if _, err := dialLink(t, caller, channel.Unix, l.Unix()); !errors.Is(err, shs.ErrRefused) {
		t.Errorf("at a callee who expects somebody else: %v", err)
	}
	cancel()
	if _, err := a.wait(t); !errors.Is(err, context.Canceled) || a.registered != 0 {
		t.Errorf("the callee: %v, registered %d times", err, a.registered)
	}

	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	place := filepath.Join(dir, "sb")
	ln := rawListen(t, place)
	caller.UID++
	if err := os.Chown(place, int(caller.UID), -1); err != nil {
		t.Fatal(err)
	}
	if _, err := dialLink(t, caller, channel.Unix, filepath.Join(place, "s")); !errors.Is(err, channel.ErrLinkUID) {
		t.Errorf("at somebody else's socket: %v", err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("somebody else read %d bytes, %v", n, err)
	}
}

// rawListen makes a directory of mode 0700 and listens on the socket s in it, as
// nobody we know. Both are gone with the test.
func rawListen(t *testing.T, place string) *net.UnixListener {
	t.Helper()
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(place) })
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(place, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// TestLinkPaths: paths to a socket at which somebody does listen, that must not
// be dialled all the same.
func TestLinkPaths(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, dir, place string) string // returns what is dialled
		want  error
	}{
		{"relative", func(t *testing.T, dir, place string) string { t.Chdir(place); return "s" }, channel.ErrLinkPath},
		{"empty", func(t *testing.T, dir, place string) string { return "" }, channel.ErrLinkPath},
		{"abstract", func(t *testing.T, dir, place string) string { return "@" + place + "/s" }, channel.ErrLinkPath},
		{"abstract by NUL", func(t *testing.T, dir, place string) string { return "\x00" + place + "/s" }, channel.ErrLinkPath},
		{"NUL behind", func(t *testing.T, dir, place string) string { return place + "/s\x00" }, channel.ErrLinkPath},
		{"line end", func(t *testing.T, dir, place string) string { return place + "/s\n" }, channel.ErrLinkPath},
		{"no text", func(t *testing.T, dir, place string) string { return place + "/s\xff" }, channel.ErrLinkPath},
		{"twice a slash", func(t *testing.T, dir, place string) string { return place + "//s" }, channel.ErrLinkPath},
		{"up and down", func(t *testing.T, dir, place string) string { return place + "/../sb/s" }, channel.ErrLinkPath},
		{"too long", func(t *testing.T, dir, place string) string {
			return place + "/" + strings.Repeat("s", 107-len(place))
		}, channel.ErrLinkPath},
		{"nothing there", func(t *testing.T, dir, place string) string { return place + "/none" }, fs.ErrNotExist},
		{"no directory", func(t *testing.T, dir, place string) string { return dir + "/none/s" }, fs.ErrNotExist},
		{"directory of all", func(t *testing.T, dir, place string) string {
			chmod(t, place, 0o755)
			return place + "/s"
		}, channel.ErrLinkPath},
		{"directory of the group", func(t *testing.T, dir, place string) string {
			chmod(t, place, 0o710)
			return place + "/s"
		}, channel.ErrLinkPath},
		{"directory of somebody else", func(t *testing.T, dir, place string) string {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a directory away")
			}
			if err := os.Chown(place, os.Geteuid()+1, -1); err != nil {
				t.Fatal(err)
			}
			return place + "/s"
		}, channel.ErrLinkPath},
		{"symbolic link to the socket", func(t *testing.T, dir, place string) string {
			return symlink(t, place+"/s", place+"/l")
		}, channel.ErrLinkPath},
		{"symbolic link to the directory", func(t *testing.T, dir, place string) string {
			return symlink(t, place, dir+"/l") + "/s"
		}, channel.ErrLinkPath},
		{"a file", func(t *testing.T, dir, place string) string {
			if err := os.WriteFile(place+"/f", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return place + "/f"
		}, channel.ErrLinkPath},
		{"a directory", func(t *testing.T, dir, place string) string {
			if err := os.Mkdir(place+"/d", 0o700); err != nil {
				t.Fatal(err)
			}
			return place + "/d"
		}, channel.ErrLinkPath},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := tidy(t)
			place := filepath.Join(dir, "sb")
			ln := rawListen(t, place)
			caller, _ := attempts()
			if _, err := dialLink(t, caller, channel.Unix, row.spoil(t, dir, place)); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			ln.SetDeadline(time.Now().Add(time.Millisecond))
			if conn, err := ln.Accept(); err == nil {
				conn.Close()
				t.Error("it was dialled")
			}
		})
	}
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// symlink makes a link at path, which is gone with the test.
func symlink(t *testing.T, to, path string) string {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
	return path
}

// TestLinkAddrs: what is no address of a link is not dialled.
func TestLinkAddrs(t *testing.T) {
	tidy(t)
	caller, _ := attempts()
	for _, addr := range []string{
		"", "7483", ":7483", "localhost:7483", "example.org:7483", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http",
		"127.0.0.1:0", "127.0.0.1:22", "127.0.0.1:1023", "127.0.0.1:65536", "127.0.0.1:07483", "127.0.0.1:+7483",
		"127.1:7483", "::1:7483", "[127.0.0.1]:7483", "[0:0:0:0:0:0:0:1]:7483", "[::1]:7483 ", " [::1]:7483",
		"0.0.0.0:7483", "255.255.255.255:7483", "[::]:7483", "224.0.0.1:7483", "[ff02::1]:7483", "169.254.1.1:7483", "[fe80::1]:7483",
		"[fe80::1%lo]:7483", "[::1%lo]:7483", "[::ffff:127.0.0.1]:7483", "[::ffff:169.254.1.1]:7483",
	} {
		if _, err := dialLink(t, caller, channel.Net, addr); !errors.Is(err, channel.ErrLinkAddr) {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

// TestLinkDead: nobody listens there any more.
func TestLinkDead(t *testing.T) {
	dir := tidy(t)
	caller, callee := attempts()
	l := listenLink(t, callee, dir, channel.Net)
	addr := addrOf(l, channel.Net)
	l.Close()
	var op *net.OpError
	if _, err := dialLink(t, caller, channel.Net, addr); !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("dead port: %v", err)
	}
	place := filepath.Join(dir, "sb")
	ln := rawListen(t, place)
	ln.SetUnlinkOnClose(false)
	ln.Close()
	if _, err := dialLink(t, caller, channel.Unix, filepath.Join(place, "s")); !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("dead socket: %v", err)
	}
}
