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
	line := seeded(1).Public().String() + " level=trusted\n"
	first, second := filepath.Join(t.TempDir(), "authorized_peers"), filepath.Join(t.TempDir(), "list")
	must(t, os.WriteFile(first, []byte(line), 0o600))
	t.Run("missing", func(t *testing.T) { revokeAfterReload(t, first, second) })
	must(t, os.WriteFile(second, []byte(line), 0o600))
	t.Run("there", func(t *testing.T) { revokeAfterReload(t, first, second) })
}

// revokeAfterReload revokes a key when a reload has come from the first list to the
// second.
func revokeAfterReload(t *testing.T, first, second string) {
	list := first
	read := func() *switchboard.Policy {
		return mustPolicy(switchboard.PolicyConfig{PeersFile: list, PeersMayMiss: true, RevokedFile: filepath.Join(filepath.Dir(list), "revoked_peers")})
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
	if err := os.Remove(filepath.Join(filepath.Dir(second), "revoked_peers")); err != nil {
		t.Error(err)
	}
}
