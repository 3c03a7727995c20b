package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"
)

// id is a short hash of all that decides.
func (c *Config) id() string {
	h := sha256.New()
	fmt.Fprintf(h, "server %x local %v %v\n", c.Server, c.Local, c.LocalRefused)
	for _, l := range Levels() {
		b := c.Bundles[l]
		fmt.Fprintf(h, "level %v\n", l)
		hashRights(h, b.Own, b.See, b.Talk)
	}
	for _, key := range slices.SortedFunc(maps.Keys(c.Revoked), func(a, b Key) int { return bytes.Compare(a[:], b[:]) }) {
		fmt.Fprintf(h, "revoked %x\n", key)
	}
	peers := slices.SortedFunc(slices.Values(c.Peers), func(a, b Peer) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	for _, p := range peers {
		if !p.HasLevel {
			p.Level = c.Listed
		}
		fmt.Fprintf(h, "peer %x %v %q %v %v\n", p.Key, p.Level, p.Tenant, p.Admin, p.Rate)
		hashRights(h, p.Own, p.See, p.Talk)
	}
	for _, t := range slices.Sorted(maps.Keys(c.Tenants)) {
		fmt.Fprintf(h, "tenant %q\n", t)
		for _, e := range c.Tenants[t].Export {
			fmt.Fprintf(h, "export %q\n", e)
		}
		hashRights(h, c.Tenants[t].Import)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// hashRights writes lists of patterns, each with its length.
func hashRights(h hash.Hash, lists ...[]Pattern) {
	for _, list := range lists {
		fmt.Fprintf(h, "%d", len(list))
		for _, p := range list {
			fmt.Fprintf(h, " %q", p)
		}
		fmt.Fprintln(h)
	}
}
