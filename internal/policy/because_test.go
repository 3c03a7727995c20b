package policy_test

import (
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
)

// TestBecause: a decision by a level, or by none, names the line and the sections that
// made it so.
func TestBecause(t *testing.T) {
	cfg := policy.Defaults()
	cfg.Listed = policy.Basic
	cfg.Bundles = map[policy.Level]policy.Bundle{policy.Basic: {See: patterns(t, "org.**"), Talk: patterns(t, "org.**")}}
	cfg.Tenants = map[string]policy.Tenant{"acme": {}, "open": tenant(t, "org.x", "")}
	cfg.Peers = peers(t, line(1, "level=trusted")+line(2, "")+line(3, "see=net.** level=basic")+line(4, "level=untrusted talk=**")+line(5, "admin"))
	p := compile(t, cfg)
	const home, acme, open = "", "acme", "open"
	for _, tt := range []struct {
		key    byte
		o      policy.Origin
		verb   policy.Verb
		tenant string
		name   string
		owner  policy.Level
		want   string
	}{
		{1, policy.Far, policy.Talk, home, "org.x", 0, "yes level trusted; authorized_peers:1 level=trusted; [levels.trusted] as built in"},
		{2, policy.Far, policy.Talk, home, "org.x", 0, "yes level basic; authorized_peers:2 without level=; [defaults] listed=basic; [levels.basic]"},
		{2, policy.Far, policy.Talk, home, "net.x", 0, "no no rule; authorized_peers:2 without level=; [defaults] listed=basic; [levels.basic]"},
		{3, policy.Far, policy.See, home, "net.x", 0, "yes authorized_peers:3 see=net.**"},
		{3, policy.Far, policy.Talk, home, "net.x", 0, "no no rule; authorized_peers:3 gives its rights"},
		{4, policy.Far, policy.Talk, home, "net.x", policy.Trusted, "no level untrusted may not talk to trusted; authorized_peers:4 level=untrusted"},
		{5, policy.Far, policy.Admin, home, "", 0, "yes authorized_peers:5 admin"},
		{4, policy.Far, policy.Admin, home, "", 0, "no no rule; authorized_peers:4 without admin"},
		{9, policy.Local, policy.Own, home, "org.x", 0, "yes level trusted; [defaults] local=trusted; [levels.trusted] as built in"},
		{9, policy.Local, policy.Admin, home, "", 0, "no no rule; [defaults] local=trusted without admin"},
		{1, policy.Far, policy.See, acme, "org.x", 0, "no tenant acme does not export it; [tenants.acme] export"},
		{1, policy.Far, policy.See, open, "org.x", 0, "no tenant default does not import it; [tenants.default] import"},
		{1, policy.Far, policy.Own, open, "org.x", 0, "no own never crosses tenants"},
	} {
		g, err := p.Authenticate(key(tt.key), tt.o)
		if err != nil {
			t.Fatal(err)
		}
		d := p.Authorize(g, tt.verb, policy.Object{Tenant: tt.tenant, Name: names.Name(tt.name), Owned: tt.owner > 0, Owner: tt.owner})
		got := map[bool]string{true: "yes ", false: "no "}[d.Allowed] + strings.Join(append([]string{d.Rule.String()}, p.Because(g, tt.verb, d.Rule)...), "; ")
		if got != tt.want {
			t.Errorf("key %d, %s %s:\n%s, want\n%s", tt.key, tt.verb, tt.name, got, tt.want)
		}
	}
	cfg.DefaultsAt = policy.DefaultsAt{Listed: "conf:7", Local: "conf:8"}
	placed := compile(t, cfg)
	g, err := placed.Authenticate(key(9), policy.Local)
	if got := placed.Because(g, policy.Admin, policy.Rule{}); err != nil || len(got) != 1 || got[0] != "conf:8 [defaults] local=trusted without admin" {
		t.Errorf("a default with its place: %q, %v", got, err)
	}
	g, err = placed.Authenticate(key(2), policy.Far)
	if got := placed.Because(g, policy.See, placed.Authorize(g, policy.See, policy.Object{Name: "org.x"}).Rule); err != nil || len(got) != 3 || got[1] != "conf:7 [defaults] listed=basic" {
		t.Errorf("a default with its place: %q, %v", got, err)
	}
	if got := p.Because(nil, policy.See, policy.Rule{}); got != nil {
		t.Errorf("nobody: %q", got)
	}
}

// TestBecauseRefused: a local peer without a line hears that this is what the setting
// refuses, and where that stands; one from afar, or revoked, does not.
func TestBecauseRefused(t *testing.T) {
	cfg := policy.Defaults()
	cfg.LocalRefused = true
	cfg.Peers = peers(t, line(1, "level=trusted"))
	cfg.Revoked = map[policy.Key]string{key(2): ""}
	admitted := admit(t, compile(t, policy.Defaults()), key(3), policy.Local)
	const unlisted = "the key is not listed, and local peers without a line are refused; "
	for _, tt := range []struct {
		key  byte
		o    policy.Origin
		at   string
		want string
	}{
		{3, policy.Local, "", unlisted + "[defaults] local=refuse"},
		{3, policy.Local, "switchboard.toml:4", unlisted + "switchboard.toml:4 [defaults] local=refuse"},
		{3, policy.Far, "switchboard.toml:4", "the key is not listed"},
		{2, policy.Local, "switchboard.toml:4", "the key is revoked"},
	} {
		cfg.DefaultsAt.Local = tt.at
		p := compile(t, cfg)
		_, err := p.Authenticate(key(tt.key), tt.o)
		rule := policy.Refusal(err, tt.o)
		if got := strings.Join(append([]string{rule.String()}, p.Because(nil, policy.See, rule)...), "; "); err == nil || got != tt.want {
			t.Errorf("key %d: %v\n%s, want\n%s", tt.key, err, got, tt.want)
		}
	}
	if d := compile(t, cfg).Authorize(admitted, policy.See, policy.Object{Name: "a"}); d.Rule != policy.Refusal(policy.ErrUnknown, policy.Local) || d.Rule.Reason() != "unknown" {
		t.Errorf("a session from before: %v, %q", d.Rule, d.Rule.Reason())
	}
}
