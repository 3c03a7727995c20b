package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// TestAdmit: who listens decides about each channel by what the server vouches
// for, and the caller is told its words and never its code, but for Busy, which
// needs yamux. What is refused takes no place and does not reach Accept.
func TestAdmit(t *testing.T) {
	long := strings.Repeat("x", 300)
	rows := []struct {
		meta string // what Admit is to do
		err  error
		code client.Code // "": admitted
		says string
	}{
		{meta: "yes"},
		{meta: "plain", err: errors.New("not today"), code: client.Refused, says: "not today"},
		{meta: "long", err: errors.New(long), code: client.Refused, says: long[:256]},
		{meta: "control", err: errors.New("a\nb\x1b[31m"), code: client.Refused, says: "ab[31m"},
		{meta: "code", err: client.NotFound.With("go away"), code: client.Refused, says: "go away"},
		{meta: "bare code", err: client.NotFound, code: client.Refused, says: client.NotFound.Error()},
		{meta: "busy", err: client.Busy, code: client.Busy},
	}
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			m.cfg.Key = shs.GenerateKey()
			plugin := dial(t, m.cfg)
			m.cfg.Key = shs.GenerateKey()
			caller := dial(t, m.cfg)
			ln, err := plugin.ListenOffers(short(t), "test.admit", client.ListenOptions{Admit: func(_ context.Context, o client.Offer) error {
				if o.Key != m.cfg.Key.Public() || o.Name != "test.admit" || o.Session == "" {
					return fmt.Errorf("the offer is %+v", o)
				}
				for _, row := range rows {
					if string(o.Meta) == fmt.Sprintf("%q", row.meta) {
						return row.err
					}
				}
				return fmt.Errorf("the offer has meta %s", o.Meta)
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			for _, row := range append(rows, rows[0]) {
				want := row.code
				if want == client.Busy && m.cfg.SingleLane {
					want = client.Refused
				}
				times := 1
				if row.meta == "plain" && !m.cfg.SingleLane {
					times = 65 // there are 64 places
				}
				for range times {
					conn, err := caller.Open(short(t), "test.admit", client.OpenOptions{Meta: row.meta})
					if row.code == "" {
						if err != nil {
							t.Fatalf("%s: %v", row.meta, err)
						}
						accepted, err := ln.Accept()
						if err != nil {
							t.Fatal(err)
						}
						accepted.Close()
						if _, err := io.ReadAll(conn); err != nil {
							t.Errorf("%s: %v", row.meta, err)
						}
						conn.Close()
						continue
					}
					var e *client.Error
					if !errors.As(err, &e) || e.Code != want || row.says != "" && e.Message != row.says {
						t.Fatalf("%s: got %v, want %s with %q", row.meta, err, want, row.says)
					}
				}
			}
		})
	}
}

// TestAdmitSlow: an Admit that does not return holds up nobody else, and has no
// more than 10 s, and no longer than its Listener.
func TestAdmitSlow(t *testing.T) {
	for _, single := range []bool{false, true} {
		t.Run(fmt.Sprint("single lane ", single), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key := shs.GenerateKey()
				r, stop := serveRemote(t, key)
				defer stop()
				cfg := r.config(key)
				cfg.SingleLane = single
				plugin, caller := bubbleDial(t, cfg), bubbleDial(t, cfg)
				defer plugin.Close()
				defer caller.Close()
				ln, err := plugin.ListenOffers(t.Context(), "test.slow", client.ListenOptions{Admit: func(ctx context.Context, o client.Offer) error {
					if string(o.Meta) == `"fast"` {
						return nil
					}
					<-ctx.Done()
					return ctx.Err()
				}})
				if err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				slow := func(want error, least, most time.Duration) {
					wg.Go(func() {
						began := time.Now()
						_, err := caller.Open(t.Context(), "test.slow", client.OpenOptions{Timeout: 30 * time.Second})
						if d := time.Since(began); !errors.Is(err, want) || d < least || d > most {
							t.Errorf("got %v after %v, want %v after %v to %v", err, d, want, least, most)
						}
					})
				}
				slow(client.Refused, 10*time.Second, 10*time.Second)
				synctest.Wait()
				began := time.Now()
				call, err := caller.Open(t.Context(), "test.slow", client.OpenOptions{Meta: "fast"})
				if err != nil || time.Since(began) > 0 {
					t.Fatalf("a channel beside it: %v, after %v", err, time.Since(began))
				}
				call.Close()
				wg.Wait()

				slow(client.Refused, time.Second, time.Second)
				time.Sleep(time.Second)
				ln.Close()
				wg.Wait()
			})
		})
	}
}
