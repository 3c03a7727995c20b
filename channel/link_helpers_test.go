package channel_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

var (
	linkKinds  = []channel.Kind{channel.Unix, channel.Net}
	linkCaller = shs.NewPrivateKey([32]byte{1})
	linkCallee = shs.NewPrivateKey([32]byte{2})
	linkThird  = shs.NewPrivateKey([32]byte{3})
)

// attempts returns both sides of a fresh attempt.
func attempts() (caller, callee *channel.Attempt) {
	secret := shs.GenerateKey().Public() // 32 bytes that nobody knows
	callee = &channel.Attempt{
		Key: linkCallee, Peer: linkCaller.Public(), Channel: channel.NewID(), Secret: secret, UID: uint32(os.Geteuid())}
	other := *callee
	other.Key, other.Peer, other.Caller = linkCaller, linkCallee.Public(), true
	return &other, callee
}

// tidy returns a directory for sockets, and sees at the end of the test that
// nothing is left: no file, no goroutine and no descriptor.
func tidy(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "link") // a path that is short
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // what the first socket of a process opens for good
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	before, others := descriptors(t), goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
			t.Errorf("left in the directory: %v, %v", left, err)
		}
		os.RemoveAll(dir)
		goleak.VerifyNone(t, others)
		within(t, "descriptors left", func() bool { return descriptors(t) <= before })
	})
	return dir
}

// descriptors counts those of this process, where the system tells.
func descriptors(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// within waits until ok, for a minute.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Error(what)
			return
		}
	}
}

// listenLink opens a listener, on loopback for TCP.
func listenLink(t *testing.T, a *channel.Attempt, dir string, kinds ...channel.Kind) *channel.LinkListener {
	t.Helper()
	l, err := a.Listen(kinds, channel.ListenOptions{Dir: dir, Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// addrOf is what the caller dials.
func addrOf(l *channel.LinkListener, kind channel.Kind) string {
	if kind == channel.Unix {
		return l.Unix()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Port()))
}

// acceptance is an Accept in progress.
type acceptance struct {
	registered int // times; read it after wait
	link       *shs.Conn
	err        error
	done       chan struct{}
}

// accept calls Accept; a link is registered if ok.
func accept(ctx context.Context, l *channel.LinkListener, ok bool) *acceptance {
	a := &acceptance{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.link, a.err = l.Accept(ctx, func() bool { a.registered++; return ok })
	}()
	return a
}

// wait returns what Accept did. A link is closed with the test.
func (a *acceptance) wait(t *testing.T) (*shs.Conn, error) {
	t.Helper()
	<-a.done
	if (a.link == nil) == (a.err == nil) {
		t.Fatalf("Accept returned %v and %v", a.link, a.err)
	}
	if a.link != nil {
		t.Cleanup(func() { a.link.Abort() })
	}
	return a.link, a.err
}

// dialLink dials, and closes the link with the test.
func dialLink(t *testing.T, a *channel.Attempt, kind channel.Kind, addr string) (*shs.Conn, error) {
	t.Helper()
	link, err := a.Dial(t.Context(), kind, addr)
	if (link == nil) == (err == nil) {
		t.Fatalf("Dial returned %v and %v", link, err)
	}
	if link != nil {
		t.Cleanup(func() { link.Abort() })
	}
	return link, err
}

// rawLink connects as anybody can.
func rawLink(t *testing.T, kind channel.Kind, addr string) net.Conn {
	t.Helper()
	network := "tcp"
	if kind == channel.Unix {
		network = "unix"
	}
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// checkLink sends a word each way.
func checkLink(t *testing.T, caller, callee *shs.Conn) {
	t.Helper()
	for _, ends := range [][2]*shs.Conn{{caller, callee}, {callee, caller}} {
		if _, err := ends[0].Write([]byte("word")); err != nil {
			t.Error(err)
		}
		var buf [8]byte
		if n, err := ends[1].Read(buf[:]); string(buf[:n]) != "word" || err != nil {
			t.Errorf("got %q, %v", buf[:n], err)
		}
	}
}
