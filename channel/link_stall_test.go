package channel_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

// TestLinkSilent: those who connect and say nothing, or stop in the midst of
// their handshake, do not keep the caller out: not at once as long as one turn
// is left, and for 2 s when there are more of them than turns.
func TestLinkSilent(t *testing.T) {
	const turns = 4
	for _, kind := range linkKinds {
		for _, strangers := range []int{turns - 1, turns + 1} {
			t.Run(string(kind), func(t *testing.T) {
				dir := tidy(t)
				caller, callee := attempts()
				l := listenLink(t, callee, dir, kind)
				addr := addrOf(l, kind)
				var wg sync.WaitGroup
				gone := make(chan struct{})
				t.Cleanup(func() {
					close(gone)
					wg.Wait()
				})
				for i := range strangers {
					conn := rawLink(t, kind, addr)
					switch i {
					case 0: // says nothing
					case 1:
						if _, err := conn.Write(make([]byte, 63)); err != nil {
							t.Error(err)
						}
					default: // knows the secret, says hello and no more
						link := shs.Client(&holding{Conn: conn, after: 64, gone: gone}, purposeConfig(caller, kind))
						wg.Go(func() { link.Handshake(t.Context()) })
					}
				}
				a := accept(t.Context(), l, true)
				begin := time.Now()
				mine, err := dialLink(t, caller, kind, addr)
				if err != nil {
					t.Fatal(err)
				}
				theirs, err := a.wait(t)
				if err != nil {
					t.Fatal(err)
				}
				checkLink(t, mine, theirs)
				t.Logf("with %d strangers the caller waits %v", strangers, time.Since(begin))
			})
		}
	}
}

// purposeConfig is the handshake of one who knows all that the caller does.
func purposeConfig(a *channel.Attempt, kind channel.Kind) *shs.Config {
	key := shs.DefaultNetworkKey().Direct(a.Secret, a.Channel, a.Key.Public(), a.Peer)
	cfg := &shs.Config{Key: a.Key, ServerKey: a.Peer, NetworkKey: key}
	if kind == channel.Unix {
		cfg.NetworkKey, cfg.PlainKey = shs.NetworkKey{1}, key.Plain(a.UID, a.UID)
	}
	return cfg
}

// holding is a connection that holds what is written back after some bytes.
type holding struct {
	net.Conn
	after int
	gone  chan struct{}
}

func (c *holding) Write(p []byte) (int, error) {
	if c.after < len(p) {
		<-c.gone
		return 0, net.ErrClosed
	}
	c.after -= len(p)
	return c.Conn.Write(p)
}

// TestLinkPlaces: silence at the port does not concern the socket.
func TestLinkPlaces(t *testing.T) {
	dir := tidy(t)
	caller, callee := attempts()
	l := listenLink(t, callee, dir, linkKinds...)
	for range 20 {
		rawLink(t, channel.Net, addrOf(l, channel.Net))
	}
	a := accept(t.Context(), l, true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // less than a turn
	defer cancel()
	link, err := caller.Dial(ctx, channel.Unix, l.Unix())
	if err != nil {
		t.Fatal(err)
	}
	defer link.Abort()
	if _, err := a.wait(t); err != nil {
		t.Error(err)
	}
}

// TestLinkStalls: a caller that has proven itself and then does nothing. The
// link is one, and whoever reads it needs a deadline of its own.
func TestLinkStalls(t *testing.T) {
	for _, kind := range linkKinds {
		dir := tidy(t)
		caller, callee := attempts()
		l := listenLink(t, callee, dir, kind)
		a := accept(t.Context(), l, true)
		if _, err := dialLink(t, caller, kind, addrOf(l, kind)); err != nil {
			t.Fatal(err)
		}
		link, err := a.wait(t)
		if err != nil {
			t.Fatal(err)
		}
		link.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := link.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestLinkSilentCallee: something that takes connections and says nothing holds
// the caller until its context ends.
func TestLinkSilentCallee(t *testing.T) {
	for _, kind := range linkKinds {
		dir := tidy(t)
		caller, _ := attempts()
		place := filepath.Join(dir, "sb")
		var ln net.Listener = rawListen(t, place)
		addr := filepath.Join(place, "s")
		if kind == channel.Net {
			tcp, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ln, addr = tcp, tcp.Addr().String()
			defer tcp.Close()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // it has dialled by then
		defer cancel()
		if _, err := caller.Dial(ctx, kind, addr); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", kind, err)
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

// TestLinkTurns: who comes when all turns are taken is not answered yet, whatever
// it knows.
func TestLinkTurns(t *testing.T) {
	for _, row := range []struct {
		kinds []channel.Kind
		turns int
	}{{[]channel.Kind{channel.Net}, 4}, {linkKinds, 2}} {
		dir := tidy(t)
		caller, callee := attempts()
		l := listenLink(t, callee, dir, row.kinds...)
		for range row.turns {
			rawLink(t, channel.Net, addrOf(l, channel.Net))
		}
		conn := &heard{Conn: rawLink(t, channel.Net, addrOf(l, channel.Net))}
		accepting, end := context.WithCancel(t.Context())
		defer end()
		a := accept(accepting, l, true)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // of the 2 s of a turn
		defer cancel()
		if err := shs.Client(conn, purposeConfig(caller, channel.Net)).Handshake(ctx); err == nil || conn.n.Load() != 0 {
			t.Errorf("%v: behind %d who are silent: %v, heard %d bytes", row.kinds, row.turns, err, conn.n.Load())
		}
		end()
		if _, err := a.wait(t); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
