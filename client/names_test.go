package client_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// TestNames goes through the calls about names, nameless and named alike.
func TestNames(t *testing.T) {
	address := serve(t)
	for _, m := range modes(address) {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Key = shs.GenerateKey()
			c := dial(t, m.cfg)
			ctx := short(t)

			if _, err := c.Ping(ctx); err != nil {
				t.Fatal(err)
			}
			me, err := c.WhoAmI(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if me.ID != m.cfg.Key.Public() || len(me.Names) != 0 {
				t.Fatalf("got %v with names %q, want %v without", me.ID, me.Names, m.cfg.Key.Public())
			}
			claim, err := c.Claim(ctx, "org.example.a", client.ClaimOptions{Info: map[string]string{"version": "1"}})
			if err != nil {
				t.Fatal(err)
			}
			if claim.State != "owner" || claim.Epoch == 0 {
				t.Fatalf("got claim %+v, want an owner's", claim)
			}
			if _, err := c.Claim(ctx, "org.example.b", client.ClaimOptions{}); err != nil {
				t.Fatal(err)
			}
			got, err := c.Names(ctx, "org.*.a")
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].Name != "org.example.a" || got[0].Session != me.Session {
				t.Fatalf("got %+v, want org.example.a of session %s", got, me.Session)
			}
			if err := c.Update(ctx, "org.example.a", map[string]string{"version": "2"}); err != nil {
				t.Fatal(err)
			}
			e, err := c.Lookup(ctx, "org.example.a")
			if err != nil {
				t.Fatal(err)
			}
			if string(e.Info) != `{"version":"2"}` {
				t.Fatalf("got info %s", e.Info)
			}
			other := dial(t, client.Config{Address: address})
			_, err = other.Claim(ctx, "org.example.a", client.ClaimOptions{})
			wantErr(t, err, client.NameTaken)
			wantErr(t, other.Release(ctx, "org.example.a"), client.NotOwner)

			if err := c.Release(ctx, "org.example.a"); err != nil {
				t.Fatal(err)
			}
			_, err = c.Lookup(ctx, "org.example.a")
			wantErr(t, err, client.NotFound)
			wantErr(t, c.Call(ctx, "no.such.method", nil, nil), client.BadRequest)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			_, err = c.Ping(ctx)
			wantErr(t, err, net.ErrClosed)
			wantErr(t, c.Err(), net.ErrClosed)
		})
	}
}

func TestTooLargeIsRefusedHere(t *testing.T) {
	c := dial(t, client.Config{Address: serve(t)})
	ctx := short(t)
	big := make([]byte, 100<<10)
	wantErr(t, c.Call(ctx, "names.get", map[string]any{"name": big}, nil), client.BadRequest)
	_, err := c.Claim(ctx, "a", client.ClaimOptions{Info: big})
	wantErr(t, err, client.BadRequest)
	_, err = c.Open(ctx, string(big), client.OpenOptions{})
	wantErr(t, err, client.BadRequest)
	for _, err := range c.Watch(ctx, string(big)) {
		wantErr(t, err, client.BadRequest)
	}
	if _, err := c.Ping(ctx); err != nil {
		t.Fatalf("the session suffered: %v", err)
	}
}

// TestNamesPages needs more names than one answer of 1 MiB holds.
func TestNamesPages(t *testing.T) {
	p := newPlace(t)
	p.cfg.Limits.NamesPerKey, p.cfg.Limits.NamesPerTenant = 10_000, 10_000
	p.cfg.Limits.CallRate, p.cfg.Limits.CallBurst = 1_000_000, 1_000_000
	p.serve(t)
	c := dial(t, client.Config{Address: p.address()})
	const n = 2400
	long := ""
	for len(long) < 200 {
		long += "abcdefghij."
	}
	for i := range n {
		if _, err := c.Claim(short(t), fmt.Sprintf("%sn%04d", long, i), client.ClaimOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := c.Names(short(t), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != n {
		t.Fatalf("got %d names, want %d", len(all), n)
	}
	for i, e := range all {
		if want := fmt.Sprintf("%sn%04d", long, i); e.Name != want {
			t.Fatalf("name %d: got %s, want %s", i, e.Name, want)
		}
	}
	// The snapshot of a watch is larger than any queue, and comes whole.
	seen := 0
	for ev, err := range c.Watch(short(t), "**") {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Type == client.EventSynced {
			break
		}
		seen++
	}
	if seen != n {
		t.Fatalf("got %d names in the snapshot, want %d", seen, n)
	}
}
