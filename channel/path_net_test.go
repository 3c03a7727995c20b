package channel_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

// sockets returns the two ends of a link over real sockets.
func sockets(t testing.TB, network string) (a, b *shs.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/s"
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	x, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	y, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return shake(t, x, y, network == "unix")
}

// shake makes a link of a connection.
func shake(t testing.TB, x, y net.Conn, plain bool) (a, b *shs.Conn) {
	t.Helper()
	key := shs.NewPrivateKey([32]byte{1})
	cc := &shs.Config{Key: shs.NewPrivateKey([32]byte{2}), ServerKey: key.Public()}
	sc := &shs.Config{Key: key}
	if plain {
		cc.PlainKey = shs.NetworkKey{3}
		sc.PlainKey = cc.PlainKey
	}
	a, b = shs.Client(x, cc), shs.Server(y, sc)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Handshake(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if err := a.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return a, b
}

// TestPathNettest: a Path is a net.Conn: relayed, moved, and moving at any
// moment.
func TestPathNettest(t *testing.T) {
	for _, c := range []struct{ name, network string }{{"relayed", ""}, {"unix", "unix"}, {"tcp", "tcp"}} {
		for _, moment := range []string{"moved", "moving"} {
			if c.network == "" && moment == "moving" {
				continue
			}
			for _, turned := range []bool{false, true} {
				name := c.name + "/" + moment
				if turned {
					name += "/turned"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
						e := newEnds(t, muxRelay(t))
						if c.network != "" {
							e.moveOver(t, c.network, moment == "moving")
						}
						stop := func() {
							e.caller.Abort()
							e.callee.Abort()
							e.wait()
						}
						if turned {
							return e.callee, e.caller, stop, nil
						}
						return e.caller, e.callee, stop, nil
					})
				})
			}
		}
	}
}

// moveOver moves to a link over real sockets, now or in a moment.
func (e *ends) moveOver(t testing.TB, network string, soon bool) {
	la, lb := sockets(t, network)
	e.wg.Go(func() {
		if soon { // some tests take less time, some more
			poll(t, time.Duration(rand.IntN(2000))*time.Microsecond)
		}
		if !e.callee.Register() {
			la.Abort()
			lb.Abort()
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { _ = e.callee.Move(ctx, lb) }) // the test may have closed it
		if e.caller.Move(ctx, la) == nil {
			e.reset()
		}
		wg.Wait()
	})
	if !soon {
		e.wg.Wait()
		if st, _, _ := e.callee.Stage(); st != channel.Direct {
			t.Errorf("stage %v", st)
		}
	}
}

// poll lets time pass.
func poll(t testing.TB, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// TestPathCloseOverSockets: what was written before Close comes over a real
// socket too, whose close over unread bytes is a reset: the other end may have
// ended on the lane, and its goodbye is on the link.
func TestPathCloseOverSockets(t *testing.T) {
	data := strings.Repeat("0123456789", 200_000)
	for _, network := range []string{"tcp", "unix"} {
		for _, caller := range []bool{true, false} {
			for _, unread := range []string{"", "unread"} {
				e := newEnds(t, muxRelay(t))
				this, other := e.end(caller)
				send(t, other, unread)
				if err := other.CloseWrite(); err != nil {
					t.Error(err)
				}
				if unread == "" {
					recvAll(t, this, "")
				}
				e.moveOver(t, network, true)
				e.wg.Go(func() {
					send(t, this, data)
					this.Close()
				})
				poll(t, 50*time.Millisecond)
				got, err := io.ReadAll(other)
				if err != nil || string(got) != data {
					t.Errorf("%s, caller %v: got %d bytes and %v", network, caller, len(got), err)
				}
				other.Close()
				e.wait()
			}
		}
	}
}
