package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/cad2f06c/switchboard/client"
)

// TestWatch follows one name through its life.
func TestWatch(t *testing.T) {
	for _, m := range modes("") {
		t.Run(m.name, func(t *testing.T) {
			m.cfg.Address = serve(t)
			w, p := dial(t, m.cfg), dial(t, m.cfg)
			ctx := short(t)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			_, err := p.Claim(ctx, "w.present", client.ClaimOptions{})
			must(err)
			var got []string
			for ev, err := range w.Watch(ctx, "w.*") {
				must(err)
				got = append(got, ev.Type+" "+ev.Name)
				switch len(got) {
				case 2: // the snapshot is through
					_, err := p.Claim(ctx, "w.new", client.ClaimOptions{})
					must(err)
					_, err = p.Claim(ctx, "other.new", client.ClaimOptions{})
					must(err)
					must(p.Update(ctx, "w.new", 1))
					must(p.Release(ctx, "w.new"))
				case 4:
					if string(ev.Entry.Info) != "1" {
						t.Fatalf("got info %s", ev.Entry.Info)
					}
				case 5:
					p.Close()
				}
				if len(got) == 6 {
					break
				}
			}
			want := "[connected w.present synced  connected w.new updated w.new disconnected w.new disconnected w.present]"
			if fmt.Sprint(got) != want {
				t.Fatalf("got %v, want %v", got, want)
			}
		})
	}
}

// TestWatchEnds leaves the loop in each way; none leaves a watch at the server.
func TestWatchEnds(t *testing.T) {
	p := newPlace(t)
	p.cfg.Limits.Watches = 1
	p.serve(t)
	for _, m := range modes(p.address()) {
		t.Run(m.name, func(t *testing.T) {
			c := dial(t, m.cfg)
			// watch begins one as soon as the server lets it.
			watch := func(ctx context.Context, pattern string, each func(client.Event) bool) (last error) {
				eventually(t, func() bool {
					for ev, err := range c.Watch(ctx, pattern) {
						if last = err; errors.Is(err, client.Quota) {
							return false
						}
						if err == nil && !each(ev) {
							break
						}
					}
					return true
				})
				return last
			}
			for range 5 {
				if err := watch(short(t), "", func(client.Event) bool { return false }); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(short(t))
			defer cancel()
			wantErr(t, watch(ctx, "", func(client.Event) bool { cancel(); return true }), context.Canceled)
			wantErr(t, watch(short(t), "not a pattern", nil), client.BadRequest)
			wantErr(t, watch(short(t), "", func(client.Event) bool {
				if !m.cfg.SingleLane { // where each watch has a session of its own
					for _, err := range c.Watch(short(t), "") {
						wantErr(t, err, client.Quota)
					}
				}
				go c.Close()
				return true
			}), net.ErrClosed)
		})
	}
}
