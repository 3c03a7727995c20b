package switchboard_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/cad2f06c/switchboard/switchboard"
)

// A key that is revoked after a reload came to another list stays out: what is
// written is the list that is read.
func TestRevokeFollowsTheList(t *testing.T) {
	first, second := filepath.Join(t.TempDir(), "authorized_peers"), filepath.Join(t.TempDir(), "list")
	line := seeded(1).Public().String() + " level=trusted\n"
	for _, path := range []string{first, second} {
		must(t, os.WriteFile(path, []byte(line), 0o600))
	}
	list := first
	read := func() *switchboard.Policy {
		return mustPolicy(switchboard.PolicyConfig{PeersFile: list, RevokedFile: filepath.Join(filepath.Dir(list), "revoked_peers")})
	}
	var srv *switchboard.Server
	srv, err := switchboard.New(switchboard.Config{Key: seeded(0), Policy: read(), Peers: &switchboard.PeerFiles{Authorized: first},
		Reload: func(context.Context) error { return srv.SetPolicy(read()) }})
	must(t, err)
	h := &host{t: t, srv: srv, local: switchboard.NewLocal()}
	ctx, stop := context.WithCancel(t.Context())
	h.wg.Go(func() { h.err = srv.Serve(ctx, h.local) })
	defer h.wg.Wait()
	defer stop()
	admin := h.lane(0)
	defer admin.lane.Close()
	admin.call(1, "whoami", "")
	list = second
	admin.call(2, "reload", "")
	admin.call(3, "peers.revoke", `{"key":"`+seeded(1).Public().String()+`"}`)
	raw, err := h.local.DialContext(t.Context(), "", "")
	must(t, err)
	if err := login(h, raw, 1); err == nil {
		t.Error("a revoked key is admitted")
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(second), "revoked_peers")); err != nil {
		t.Error(err)
	}
}
