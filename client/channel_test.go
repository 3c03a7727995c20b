package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// TestConn runs the standard tests of a net.Conn over relayed channels.
func TestConn(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			a, b := dial(t, m.cfg), dial(t, m.cfg)
			ln, err := b.Listen(short(t), "test.conn")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				c1, err = a.DialContext(context.Background(), "", "test.conn")
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

// TestChannel opens a channel between each two modes: both ends know each
// other, each direction ends by itself, and an abort is no end of file.
func TestChannel(t *testing.T) {
	for _, from := range modes("") {
		for _, to := range modes("") {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				from.cfg.Address = serve(t)
				to.cfg.Address = from.cfg.Address
				from.cfg.Key, to.cfg.Key = shs.GenerateKey(), shs.GenerateKey()
				caller, callee := dial(t, from.cfg), dial(t, to.cfg)
				ln, err := callee.Listen(short(t), "org.example.echo")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				c1, err := caller.Open(short(t), "org.example.echo", client.OpenOptions{
					Key:  to.cfg.Key.Public(),
					Meta: map[string]int{"n": 1},
				})
				if err != nil {
					t.Fatal(err)
				}
				conn, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				c2 := conn.(*channel.Conn)
				if c1.RemoteKey() != to.cfg.Key.Public() || c2.RemoteKey() != from.cfg.Key.Public() {
					t.Fatal("an end does not know the other")
				}
				if c1.Info().ID != c2.Info().ID || string(c2.Info().Meta) != `{"n":1}` {
					t.Fatalf("got %+v and %+v", c1.Info(), c2.Info())
				}
				if got := c1.RemoteAddr().String(); got != "org.example.echo"+to.cfg.Key.Public().String() {
					t.Fatalf("got remote address %q", got)
				}
				// The question ends before the answer begins.
				if _, err := io.WriteString(c1, "question"); err != nil {
					t.Fatal(err)
				}
				if err := c1.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(c2); err != nil || string(got) != "question" {
					t.Fatalf("got %q, %v", got, err)
				}
				if _, err := io.WriteString(c2, "answer"); err != nil {
					t.Fatal(err)
				}
				if err := c2.Close(); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(c1); err != nil || string(got) != "answer" {
					t.Fatalf("got %q, %v", got, err)
				}
				c1.Close()

				c1, c2 = connect(t, caller, ln)
				c1.Abort()
				if _, err := io.ReadAll(c2); err == nil {
					t.Fatal("an abort arrived as an end of file")
				}
			})
		}
	}
}

// TestReason shows that a broken channel says why.
func TestReason(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			a, b := dial(t, m.cfg), dial(t, m.cfg)
			c1, c2 := pair(t, a, b, "test.reason")
			reason := client.Code("peer_reset")
			if m.cfg.SingleLane {
				reason = client.PeerGone // a connection has no other way to break
			}
			c1.Abort()
			_, err := io.ReadAll(c2)
			wantErr(t, err, reason)
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Code != reason {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			c, callee := dial(t, m.cfg), dial(t, m.cfg)
			ctx := short(t)
			claim, err := callee.Claim(ctx, "test.claimed", client.ClaimOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range []struct {
				name, to string
				opts     client.OpenOptions
				want     error
			}{
				{"nobody", "test.nobody", client.OpenOptions{}, client.NotFound},
				{"bad name", "not a name", client.OpenOptions{}, client.NameInvalid},
				{"nobody listens", "test.claimed", client.OpenOptions{}, client.Refused},
				{"another key", "test.claimed", client.OpenOptions{Key: shs.GenerateKey().Public()}, client.PeerMismatch},
				{"another epoch", "test.claimed", client.OpenOptions{Epoch: claim.Epoch - 1}, client.Stale},
				{"strange session", ":999999", client.OpenOptions{}, client.NotFound},
			} {
				_, err := c.Open(ctx, row.to, row.opts)
				if wantErr(t, err, row.want); t.Failed() {
					t.Log(row.name)
				}
			}
			if _, err := c.Ping(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCallBack dials a session that has no name: the one that called us.
func TestCallBack(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			a, b := dial(t, m.cfg), dial(t, m.cfg)
			back, err := a.Listen(short(t), "")
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			_, c2 := pair(t, a, b, "test.callback")
			conn, err := b.DialContext(short(t), "", back.Addr().String())
			if m.cfg.SingleLane {
				// The channel is on a session of its own, which takes no calls.
				wantErr(t, err, client.NotFound)
				_, err = b.DialContext(short(t), "", c2.Info().Session)
				wantErr(t, err, client.Unavailable)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			got, err := back.Accept()
			if err != nil {
				t.Fatal(err)
			}
			got.Close()
		})
	}
}

// TestOpenTimeout calls a plugin that never answers.
func TestOpenTimeout(t *testing.T) {
	address := serve(t)
	asked := claimAndHang(t, address, "test.hang")
	for _, m := range modes(address) {
		t.Run(m.name, func(t *testing.T) {
			c := dial(t, m.cfg)
			_, err := c.Open(short(t), "test.hang", client.OpenOptions{Timeout: 150 * time.Millisecond})
			wantErr(t, err, client.Timeout)
			<-asked

			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			_, err = c.Open(ctx, "test.hang", client.OpenOptions{})
			wantErr(t, err, context.DeadlineExceeded) // whether the plugin was asked or not

			ctx, stop := context.WithCancel(context.Background())
			go func() { <-asked; stop() }()
			_, err = c.Open(ctx, "test.hang", client.OpenOptions{})
			wantErr(t, err, context.Canceled)

			// Close does not wait for the plugin either.
			go func() { <-asked; c.Close() }()
			_, err = c.Open(context.Background(), "test.hang", client.OpenOptions{})
			if err == nil {
				t.Fatal("a channel to a plugin that never answered")
			}
		})
	}
}
