package switchboard_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cad2f06c/switchboard/switchboard"
)

// Of two revocations at once neither is lost, however they overlap.
func TestAmendTogether(t *testing.T) {
	srv, err := switchboard.New(switchboard.Config{Key: seeded(0), Policy: listed(1, 2)})
	must(t, err)
	one, two := seeded(1).Public(), seeded(2).Public()
	asked := 0
	must(t, srv.AmendPolicy(func(p *switchboard.Policy) *switchboard.Policy {
		if asked++; asked == 1 {
			must(t, srv.AmendPolicy(func(p *switchboard.Policy) *switchboard.Policy { return p.Revoking(two) }))
		}
		return p.Revoking(one)
	}))
	if srv.Permits(one) || srv.Permits(two) {
		t.Errorf("the first may come: %t, the second: %t", srv.Permits(one), srv.Permits(two))
	}
}

// What has read the files before a revocation does not take it back behind it.
func TestRereadBehindRevoke(t *testing.T) {
	dir := t.TempDir()
	list, key := filepath.Join(dir, "authorized_peers"), seeded(1).Public()
	must(t, os.WriteFile(list, []byte(key.String()+"\n"), 0o600))
	srv, err := switchboard.New(switchboard.Config{Key: seeded(0), Policy: mustPolicy(switchboard.PolicyConfig{PeersFile: list}),
		Peers: &switchboard.PeerFiles{Authorized: list}})
	must(t, err)
	reads := 0
	must(t, srv.Reread(func() {
		if reads++; reads == 1 {
			must(t, os.WriteFile(filepath.Join(dir, "revoked_peers"), []byte(key.String()+"\n"), 0o600))
			must(t, srv.AmendPolicy(func(p *switchboard.Policy) *switchboard.Policy { return p.Revoking(key) }))
		}
	}))
	if srv.Permits(key) {
		t.Error("a revoked key may come")
	}
}
