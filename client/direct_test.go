package client_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
)

// listed asks the server for a channel.
func listed(t testing.TB, c *client.Client, id channel.ID) (info control.ChannelInfo, ok bool) {
	t.Helper()
	var list control.ChannelsList
	if err := c.Call(short(t), control.MethodChannelsList, nil, &list); err != nil {
		t.Fatal(err)
	}
	for _, ch := range list.Channels {
		if ch.Channel == id.String() {
			return ch, true
		}
	}
	return control.ChannelInfo{}, false
}

// bounce sends a message there and back.
func bounce(t testing.TB, a, b net.Conn, text string) {
	t.Helper()
	buf := make([]byte, len(text))
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		if _, err := io.WriteString(way[0], text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(way[1], buf); err != nil || string(buf) != text {
			t.Fatalf("got %q and %v", buf, err)
		}
	}
}

// open opens a channel with options.
func open(t testing.TB, caller *client.Client, ln net.Listener, opts client.OpenOptions) (call, accepted *channel.Conn) {
	t.Helper()
	call, err := caller.Open(short(t), ln.Addr().String(), opts)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted = conn.(*channel.Conn)
	t.Cleanup(func() { call.Abort(); accepted.Abort() })
	return call, accepted
}

func listen(t testing.TB, c *client.Client, name string) net.Listener {
	t.Helper()
	ln, err := c.Listen(short(t), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// TestDirectRequire: not a byte goes over the server (S-6).
func TestDirectRequire(t *testing.T) {
	address := serve(t)
	for _, tc := range []struct {
		kind   channel.Kind
		sealed bool
	}{{channel.FD, false}, {channel.FD, true}, {channel.Unix, false}, {channel.Unix, true}} {
		sealed := tc.sealed
		cfg := client.Config{Address: address, DirectKinds: []channel.Kind{tc.kind}}
		a, b := dial(t, cfg), dial(t, cfg)
		ln := listen(t, b, "org.example.near")
		var tries []client.Attempt
		call, accepted := open(t, a, ln, client.OpenOptions{
			Direct: client.DirectRequire, Sealed: sealed,
			OnDirect: func(at client.Attempt) { tries = append(tries, at) },
		})
		bounce(t, call, accepted, "hello")
		if call.Link() != tc.kind || accepted.Link() != tc.kind {
			t.Errorf("the ends are on %q and %q", call.Link(), accepted.Link())
		}
		if len(tries) != 1 || tries[0].Err != nil || tries[0].Kind != tc.kind {
			t.Errorf("told of %+v", tries)
		}
		if call.RemoteKey() != accepted.Info().Key && call.Info().Sealed != sealed {
			t.Error("the ends do not know each other")
		}
		eventually(t, func() bool {
			info, ok := listed(t, a, call.Info().ID)
			return ok && info.State == control.StateDirect && info.Link == string(tc.kind) && info.In == 0 && info.Out == 0
		})
		if err := call.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := accepted.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the end is %v", err)
		}
		call.Close()
		accepted.Close()
		eventually(t, func() bool { _, ok := listed(t, a, call.Info().ID); return !ok })
		ln.Close()
	}
}

// TestDirectAuto: a channel in use moves, and the server sees no more of it.
func TestDirectAuto(t *testing.T) {
	for _, kinds := range [][]channel.Kind{nil, {channel.Unix}} {
		t.Run(fmt.Sprint(kinds), func(t *testing.T) { testAuto(t, kinds) })
	}
}

func testAuto(t *testing.T, kinds []channel.Kind) {
	cfg := client.Config{Address: serve(t), DirectKinds: kinds}
	kind := channel.FD
	if kinds != nil {
		kind = kinds[0]
	}
	a, b := dial(t, cfg), dial(t, cfg)
	tried := make(chan client.Attempt, 10)
	call, accepted := open(t, a, listen(t, b, "org.example.near"), client.OpenOptions{OnDirect: func(at client.Attempt) { tried <- at }})
	bytes := 0
	eventually(t, func() bool {
		bounce(t, call, accepted, "some bytes")
		bytes += len("some bytes")
		return len(tried) > 0
	})
	if at := <-tried; at.Err != nil || at.Kind != kind {
		t.Fatalf("told of %+v", at)
	}
	info, ok := listed(t, b, call.Info().ID)
	if !ok || info.State != control.StateDirect || info.In == 0 || info.In > int64(bytes) {
		t.Fatalf("listed %+v, %v, after %d bytes", info, ok, bytes)
	}
	for range 100 {
		bounce(t, call, accepted, "some bytes")
	}
	if after, _ := listed(t, b, call.Info().ID); after.In != info.In || after.Out != info.Out {
		t.Errorf("the server has seen more: %+v, %+v", info, after)
	}
}

// TestDirectNever: both sides may refuse.
func TestDirectNever(t *testing.T) {
	address := serve(t)
	a := dial(t, client.Config{Address: address})
	b := dial(t, client.Config{Address: address, Direct: client.DirectNever})
	ln := listen(t, b, "org.example.shy")
	if _, err := a.Open(short(t), "org.example.shy", client.OpenOptions{Direct: client.DirectRequire}); err == nil {
		t.Error("opened")
	} else {
		wantErr(t, err, client.Unavailable)
	}
	tried := make(chan client.Attempt, 10)
	call, accepted := open(t, a, ln, client.OpenOptions{OnDirect: func(at client.Attempt) { tried <- at }})
	bounce(t, call, accepted, "hello")
	if at := <-tried; at.Err == nil || at.Kind != "" {
		t.Errorf("told of %+v", at)
	}
	bounce(t, call, accepted, "hello")
}

// TestDirectOutlives: a direct channel lives on while the server is restarted,
// is in its books again, and can be ended there.
func TestDirectOutlives(t *testing.T) {
	p := newPlace(t)
	stop := p.serve(t)
	sa, sb := newStates(), newStates()
	a := dial(t, client.Config{Address: p.address(), OnState: sa.add})
	b := dial(t, client.Config{Address: p.address(), OnState: sb.add})
	admin := dial(t, client.Config{Address: p.address(), Key: p.key})
	call, accepted := open(t, a, listen(t, b, "org.example.near"), client.OpenOptions{Direct: client.DirectRequire})
	bounce(t, call, accepted, "before")
	stop()
	bounce(t, call, accepted, "between")
	p.serve(t)
	for _, s := range []states{sa, sb} {
		s.await(t, client.Disconnected)
		s.await(t, client.Connected)
	}
	bounce(t, call, accepted, "after")
	info, ok := listed(t, a, call.Info().ID)
	if !ok || info.State != control.StateDirect || info.Caller.Session == "" || info.Callee.Session == "" {
		t.Fatalf("listed %+v, %v", info, ok)
	}
	var wg sync.WaitGroup
	for _, c := range []net.Conn{call, accepted} {
		wg.Go(func() {
			c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("the channel ended with %v", err)
			} else {
				wantErr(t, err, client.Code("spring_cleaning"))
			}
		})
	}
	if err := admin.Call(short(t), control.MethodChannelsClose, map[string]string{"channel": call.Info().ID.String(), "reason": "spring_cleaning"}, nil); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

// TestDirectConn runs the standard tests of a net.Conn over direct and sealed
// channels, and over channels that move while they run.
func TestDirectConn(t *testing.T) {
	address := serve(t)
	for _, m := range []struct {
		name string
		opts client.OpenOptions
	}{
		{"fd", client.OpenOptions{Direct: client.DirectRequire}},
		{"unix", client.OpenOptions{Direct: client.DirectRequire}},
		{"sealed", client.OpenOptions{Direct: client.DirectNever, Sealed: true}},
		{"direct and sealed", client.OpenOptions{Direct: client.DirectRequire, Sealed: true}},
	} {
		t.Run(m.name, func(t *testing.T) {
			cfg := client.Config{Address: address}
			if m.name == "unix" {
				cfg.DirectKinds = []channel.Kind{channel.Unix}
			}
			a, b := dial(t, cfg), dial(t, cfg)
			ln := listen(t, b, "test.conn")
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				c1, err = a.Open(context.Background(), "test.conn", m.opts)
				if err != nil {
					return nil, nil, nil, err
				}
				c2, err = ln.Accept()
				if err != nil {
					return nil, nil, nil, err
				}
				return c1, c2, func() { c1.Close(); c2.Close() }, nil
			})
		})
	}
}
