//go:build fault

package fault_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// saved is what an administrator was told, and what was under way.
type saved struct {
	added, revoked, redeemed []shs.PublicKey // answered
	asked                    map[shs.PublicKey]bool
}

// F58: the server is killed at random moments while it saves revocations, lines,
// invites and redemptions. After each kill every file is whole, what was answered is
// there, and of what was not the old or the new state is.
func TestF58KilledWhileSaving(t *testing.T) {
	d := enrolling(t)
	rounds := times(30, 300)
	all := saved{asked: make(map[shs.PublicKey]bool)}
	for round := range rounds {
		if round > 0 {
			d.start()
		}
		c := d.admin(t)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for all.step(ctx, d, c) == nil {
			}
		}()
		<-time.After(time.Duration(rand.IntN(80_000)) * time.Microsecond)
		d.kill()
		<-done
		stop()
		c.Close()
		all.check(t, d, round)
		if t.Failed() {
			return
		}
	}
	d.start()
	c := d.admin(t)
	// What a kill cut off in the middle of a redemption was made good before the
	// first login.
	invites, err := d.lists().ReadInvites(time.Now())
	must(t, err)
	for _, p := range invites {
		if p.Redeemer != (policy.Key{}) {
			t.Errorf("an invite is still bound to %s", policy.KeyText(p.Redeemer))
		}
	}
	must(t, c.Call(within(t, 10*time.Second), "peers.add", peerCall{Key: shs.GenerateKey().Public()}, nil))
	entries, err := os.ReadDir(d.dir)
	must(t, err)
	for _, e := range entries {
		if strings.Contains(e.Name(), ".new-") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
	report(t, "F58", "%d kills: %d revocations, %d lines and %d redemptions that were answered are all there; no file was ever partial",
		rounds, len(all.revoked), len(all.added), len(all.redeemed))
}

// step makes one change of each kind.
func (s *saved) step(ctx context.Context, d *daemon, c *client.Client) error {
	one, two, three := shs.GenerateKey(), shs.GenerateKey(), shs.GenerateKey()
	s.asked[one.Public()], s.asked[three.Public()] = true, true
	if err := c.Call(ctx, "peers.add", peerCall{Key: one.Public(), Options: []string{"level=basic"}, Comment: "kept"}, nil); err != nil {
		return err
	}
	s.added = append(s.added, one.Public())
	if err := c.Call(ctx, "peers.revoke", peerCall{Key: two.Public()}, nil); err != nil {
		return err
	}
	s.revoked = append(s.revoked, two.Public())
	var made struct {
		Code string `json:"code"`
	}
	if err := c.Call(ctx, "invites.new", map[string]any{"addresses": d.unix()}, &made); err != nil {
		if e, ok := err.(*client.Error); ok && (e.Code == client.Quota || e.Code == client.RateLimited) {
			return nil // those that kills have left behind
		}
		return err
	}
	_, err := client.Redeem(ctx, made.Code, client.Config{Key: three})
	if e, ok := err.(*client.Error); ok && e.Code == client.RateLimited {
		return nil
	}
	if err == nil {
		s.redeemed = append(s.redeemed, three.Public())
	}
	return err
}

// check reads the files that a killed server has left.
func (s *saved) check(t *testing.T, d *daemon, round int) {
	t.Helper()
	at := fmt.Sprintf("after kill %d", round+1)
	peers, err := d.lists().ReadPeers()
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	there := make(map[shs.PublicKey]bool)
	for _, p := range peers {
		there[shs.PublicKey(p.Key)] = true
		if !s.asked[shs.PublicKey(p.Key)] {
			t.Errorf("%s: line %d is of nobody's asking", at, p.Line)
		}
	}
	revoked, err := d.lists().ReadRevoked()
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	if _, err := d.lists().ReadInvites(time.Now()); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	for _, k := range append(s.added, s.redeemed...) {
		if !there[k] {
			t.Errorf("%s: a line that was answered is lost", at)
		}
	}
	for _, k := range s.revoked {
		if _, ok := revoked[policy.Key(k)]; !ok {
			t.Errorf("%s: a revocation that was answered is lost", at)
		}
	}
}
