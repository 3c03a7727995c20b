package policy_test

import (
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
)

// key is the key of a number. The package asks no key to be a point of the curve.
func key(n byte) policy.Key { return policy.Key{n, 31: 1} }

// line is a line of authorized_peers for a key of a number.
func line(n byte, options string) string {
	return strings.TrimSpace(policy.KeyText(key(n))+" "+options) + "\n"
}

// peers parses what must parse.
func peers(t testing.TB, text string) []policy.Peer {
	t.Helper()
	all, err := policy.ParsePeers(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v, in\n%s", err, text)
	}
	return all
}

func patterns(t testing.TB, list string) (all []policy.Pattern) {
	t.Helper()
	for _, text := range strings.Fields(list) {
		p, err := policy.ParsePattern(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, p)
	}
	return all
}

// tenant makes a Tenant of exports between commas and imports between blanks.
func tenant(t testing.TB, exports, imports string) policy.Tenant {
	t.Helper()
	out := policy.Tenant{Import: patterns(t, imports)}
	for text := range strings.SplitSeq(exports, ",") {
		if text == "" {
			continue
		}
		e, err := policy.ParseExport(strings.TrimSpace(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		out.Export = append(out.Export, e)
	}
	return out
}

// compile makes a Policy of what must be right.
func compile(t testing.TB, cfg policy.Config) *policy.Policy {
	t.Helper()
	p, err := policy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// listed is a policy of lines, with the defaults.
func listed(t testing.TB, text string) *policy.Policy {
	t.Helper()
	cfg := policy.Defaults()
	cfg.Peers = peers(t, text)
	return compile(t, cfg)
}

// admit authenticates who must be admitted.
func admit(t testing.TB, p *policy.Policy, k policy.Key, o policy.Origin) *policy.Grant {
	t.Helper()
	g, err := p.Authenticate(k, o)
	if err != nil {
		t.Fatalf("authenticate %x: %v", k[0], err)
	}
	return g
}

// object reads "tenant/name", or a name of the tenant default.
func object(t testing.TB, text string) policy.Object {
	t.Helper()
	tenant, n, err := policy.ParseName("", text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return policy.Object{Tenant: tenant, Name: n}
}

// owned is a name of the tenant default that a peer of a level owns.
func owned(n names.Name, l policy.Level) policy.Object {
	return policy.Object{Name: n, Owner: l, Owned: true}
}
