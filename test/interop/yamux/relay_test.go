package yamux

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	libp2p "github.com/libp2p/go-yamux/v5"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

// These tests lead channels through a running server that forwards frames, with
// any implementation at either end. Our client grants 1 MiB, the libraries
// 256 KiB and more as they go.

// party is a session of any implementation.
type party struct {
	call   func(to string) (stream, error)
	take   func() (stream, error)
	resets bool
}

// parties logs one of each in; each owns the name that it is called by.
func parties(t *testing.T, h *host.Host) map[string]party {
	all := make(map[string]party)
	for _, lib := range libraries() {
		s := login(t, h, lib, "unix", shs.GenerateKey())
		lane(t, s).call(t, 1, "names.claim", obj{"name": relayName(lib.name)})
		all[lib.name] = party{
			call: func(to string) (stream, error) { return connect(s, to) },
			take: func() (stream, error) {
				st, err := offeredAs(s, relayName(lib.name), shs.PublicKey{})
				if err != nil {
					return nil, err
				}
				return st, answer(st, 0x0a, obj{})
			},
			resets: lib.resets,
		}
	}
	c := h.Client(t, "unix", shs.GenerateKey(), relayed)
	ln, err := c.Listen(host.Context(t), relayName("ours"))
	if err != nil {
		t.Fatal(err)
	}
	all["ours"] = party{
		call: func(to string) (stream, error) { return c.Open(host.Context(t), to, client.OpenOptions{}) },
		take: func() (stream, error) {
			conn, err := ln.Accept()
			if err != nil {
				return nil, err
			}
			return conn.(*channel.Conn), nil
		},
		resets: true,
	}
	return all
}

func relayName(who string) string { return "org.example.relay." + who }

func TestRelay(t *testing.T) {
	h := host.Start(t)
	all := parties(t, h)
	for from, caller := range all {
		for to, callee := range all {
			t.Run(from+" calls "+to, func(t *testing.T) {
				channel := func(t *testing.T) (stream, stream) { return channelBetween(t, caller, callee, relayName(to)) }
				t.Run("half-close", func(t *testing.T) {
					a, b := channel(t)
					halfClose(t, a, b)
					a, b = channel(t)
					halfClose(t, b, a)
				})
				t.Run("5 MiB", func(t *testing.T) {
					a, b := channel(t)
					var wg sync.WaitGroup
					wg.Go(func() {
						if err := echo(b); err != nil {
							t.Error(err)
						}
					})
					if err := exchange(a, 5<<20, 1); err != nil {
						t.Error(err)
					}
					wg.Wait()
				})
				t.Run("reset", func(t *testing.T) {
					if caller.resets {
						a, b := channel(t)
						reset(t, a, b)
					}
					if callee.resets {
						a, b := channel(t)
						reset(t, b, a)
					}
				})
			})
		}
	}
}

// channelBetween opens a channel.
func channelBetween(t *testing.T, caller, callee party, name string) (a, b stream) {
	t.Helper()
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { b, err = callee.take() })
	a, cerr := caller.call(name)
	wg.Wait()
	if err := errors.Join(err, cerr); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// halfClose ends a's direction, then uses and ends b's.
func halfClose(t *testing.T, a, b stream) {
	t.Helper()
	say(t, b, "before")
	say(t, a, "one")
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	hear(t, b, "one", io.EOF)
	say(t, b, "two")
	if err := b.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	hear(t, a, "beforetwo", io.EOF)
}

// reset aborts a in the middle; b reads what came and an error, and writes no
// more. Where b's library tells the reason it is the peer's reset.
func reset(t *testing.T, a, b stream) {
	t.Helper()
	pingPong(t, a, b)
	say(t, a, "something")
	if err := a.Abort(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(b)
	if err == nil || !strings.HasPrefix("something", string(got)) {
		t.Errorf("a reset at the other end is %q, %v", got, err)
	}
	var theirs *libp2p.StreamError
	var ours *mux.ResetError
	switch {
	case errors.As(err, &theirs) && (!theirs.Remote || theirs.ErrorCode != uint32(mux.ReasonReset)):
		t.Errorf("a reset at the other end is %+v, want the reason %v", theirs, mux.ReasonReset)
	case errors.As(err, &ours) && ours.Reason != mux.ReasonReset:
		t.Errorf("a reset at the other end is %v, want the reason %v", ours, mux.ReasonReset)
	}
	if n, err := b.Write(make([]byte, 1<<20)); err == nil {
		t.Errorf("%d bytes could be written after a reset", n)
	}
	b.Close()
}

// relayed keeps channels at the server: a foreign party takes every call of its
// for an offer.
func relayed(c *client.Config) { c.Direct = client.DirectNever }
