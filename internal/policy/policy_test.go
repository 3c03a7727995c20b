package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
)

// asks is a decision that is wanted: what, about which object, and by which rule.
type asks struct {
	verb    policy.Verb
	object  policy.Object
	allowed bool
	rule    string
	reason  string
}

func (a asks) check(t *testing.T, p *policy.Policy, g *policy.Grant) {
	t.Helper()
	d := p.Authorize(g, a.verb, a.object)
	if d.Allowed != a.allowed || d.Rule.String() != a.rule || d.Rule.Reason() != a.reason {
		t.Errorf("%s %+v: %v by %q (%s), want %v by %q (%s)", a.verb, a.object, d.Allowed, d.Rule, d.Rule.Reason(), a.allowed, a.rule, a.reason)
	}
}

// Each row of Authenticate's table, for each origin.
func TestAuthenticate(t *testing.T) {
	const server, serverListed, plain, admin, revoked, revokedServer, stranger = 1, 2, 3, 4, 5, 6, 7
	text := line(plain, "level=basic tenant=acme rate=3/4") + line(admin, "admin") + line(revoked, "admin level=verified") + line(serverListed, "level=basic")
	for _, row := range []struct {
		name    string
		server  byte
		key     byte
		origin  policy.Origin
		refused bool // local peers without a line
		err     error
		rule    string
		tenant  string
		level   policy.Level
		admin   bool
	}{
		{"listed", server, plain, policy.Far, false, nil, "authorized_peers:1", "acme", policy.Basic, false},
		{"listed and local", server, plain, policy.Local, false, nil, "authorized_peers:1", "acme", policy.Basic, false},
		{"listed and local, others refused", server, plain, policy.Local, true, nil, "authorized_peers:1", "acme", policy.Basic, false},
		{"an administrator", server, admin, policy.Far, false, nil, "authorized_peers:2", "", policy.Untrusted, true},
		{"revoked", server, revoked, policy.Far, false, policy.ErrRevoked, "", "", 0, false},
		{"revoked and local", server, revoked, policy.Local, false, policy.ErrRevoked, "", "", 0, false},
		{"the server's own from afar", server, server, policy.Far, false, policy.ErrServerKey, "", "", 0, false},
		{"the server's own, local", server, server, policy.Local, false, nil, "the server's own key", "", policy.Verified, true},
		{"the server's own, local, others refused", server, server, policy.Local, true, nil, "the server's own key", "", policy.Verified, true},
		{"the server's own with a line, from afar", serverListed, serverListed, policy.Far, false, nil, "authorized_peers:4", "", policy.Basic, false},
		{"the server's own with a line, local", serverListed, serverListed, policy.Local, false, nil, "the server's own key", "", policy.Verified, true},
		{"the server's own, revoked", revokedServer, revokedServer, policy.Local, false, policy.ErrRevoked, "", "", 0, false},
		{"a stranger", server, stranger, policy.Far, false, policy.ErrUnknown, "", "", 0, false},
		{"a local stranger", server, stranger, policy.Local, false, nil, "local, level trusted", "", policy.Trusted, false},
		{"a local stranger, refused", server, stranger, policy.Local, true, policy.ErrUnknown, "", "", 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := policy.Defaults()
			cfg.Peers = peers(t, text)
			cfg.Revoked = map[policy.Key]string{key(revoked): "", key(revokedServer): ""}
			cfg.Server, cfg.LocalRefused = key(row.server), row.refused
			g, err := compile(t, cfg).Authenticate(key(row.key), row.origin)
			if err != nil || row.err != nil {
				if !errors.Is(err, row.err) || g != nil {
					t.Errorf("got %v, %v, want %v", g, err, row.err)
				}
				return
			}
			if g.Key() != key(row.key) || g.Rule().String() != row.rule || g.Tenant() != row.tenant || g.Level() != row.level || g.Admin() != row.admin {
				t.Errorf("got %x by %s: tenant %q, %v, admin %v", g.Key(), g.Rule(), g.Tenant(), g.Level(), g.Admin())
			}
			if want := (policy.Rate{N: 3, Seconds: 4}); row.key == plain && g.Rate() != want {
				t.Errorf("rate %v, want %v", g.Rate(), want)
			}
		})
	}
}

// A Config without anything in it lets nobody do anything.
func TestZeroConfig(t *testing.T) {
	p := compile(t, policy.Config{})
	for _, k := range []policy.Key{{}, key(1)} {
		if g, err := p.Authenticate(k, policy.Far); !errors.Is(err, policy.ErrUnknown) {
			t.Errorf("from afar: %v, %v", g, err)
		}
		g := admit(t, p, k, policy.Local)
		for _, v := range []policy.Verb{policy.See, policy.Talk, policy.Own, policy.Admin, 4, 255} {
			asks{v, object(t, "a"), false, "no rule", "no_rule"}.check(t, p, g)
		}
	}
	asks{policy.See, object(t, "a"), false, "no rule", "no_rule"}.check(t, p, nil)
}

// Own implies talk, and talk implies see: the matrix of xdg-dbus-proxy (SEE, TALK,
// OWN against ListNames and GetNameOwner, a call, RequestName).
func TestMatrix(t *testing.T) {
	none := [3]string{"no rule", "no rule", "no rule"}
	for _, row := range []struct {
		option string
		name   names.Name
		rules  [3]string // of see, talk, own
	}{
		{"see=x", "org.a", none},
		{"see=org.a", "org.a", [3]string{"peers:1 see=org.a", "no rule", "no rule"}},
		{"talk=org.a", "org.a", [3]string{"peers:1 talk=org.a", "peers:1 talk=org.a", "no rule"}},
		{"own=org.a", "org.a", [3]string{"peers:1 own=org.a", "peers:1 own=org.a", "peers:1 own=org.a"}},
		// "com.example.*" of the proxy is com.example,com.example.** here.
		{"talk=com.example,com.example.**", "com.example", [3]string{"peers:1 talk=com.example", "peers:1 talk=com.example", "no rule"}},
		{"talk=com.example,com.example.**", "com.example.a.b", [3]string{"peers:1 talk=com.example.**", "peers:1 talk=com.example.**", "no rule"}},
		{"talk=com.exam.**", "com.example", none},
		{"own=a.**", "ab", none},
		// Of several patterns each allows what it allows: there is no first match.
		{"see=** talk=org.** own=org.a", "org.a", [3]string{"peers:1 see=**", "peers:1 talk=org.**", "peers:1 own=org.a"}},
		{"own=*.*.c,a.b.*,a.*.d talk=a.b.c.**", "a.b.c", [3]string{"peers:1 own=a.b.*", "peers:1 own=a.b.*", "peers:1 own=a.b.*"}},
		{"own=a.b.x,a.*.c", "a.b.c", [3]string{"peers:1 own=a.*.c", "peers:1 own=a.*.c", "peers:1 own=a.*.c"}},
		{"see=a.b talk=a.*", "a.b", [3]string{"peers:1 see=a.b", "peers:1 talk=a.*", "no rule"}},
		{"talk=a.b.c own=*.b.d.**", "a.b.d", none},
		{"see=*", "a", [3]string{"peers:1 see=*", "no rule", "no rule"}},
		{"see=*", "a.b", none},
		{"see=a.b,a", "a.b.c", none},
	} {
		cfg := policy.Config{Peers: peers(t, line(1, "level=basic "+row.option)), File: "peers"}
		p := compile(t, cfg)
		g := admit(t, p, key(1), policy.Far)
		for v, rule := range row.rules {
			reason := ""
			if rule == "no rule" {
				reason = "no_rule"
			}
			asks{policy.Verb(v), policy.Object{Name: row.name}, reason == "", rule, reason}.check(t, p, g)
		}
		asks{policy.Admin, policy.Object{Name: row.name}, false, "no rule", "no_rule"}.check(t, p, g)
	}
}

// Each of many patterns is found among its neighbours, and nothing between them.
func TestManyPatterns(t *testing.T) {
	var list []string
	for i := range 300 {
		list = append(list, fmt.Sprintf("org.n%d", 3*i), fmt.Sprintf("org.m%03d.**", 3*i))
	}
	p := listed(t, line(1, "talk="+strings.Join(list[:300], ","))+line(2, "talk="+strings.Join(list[300:], ",")))
	low, high := admit(t, p, key(1), policy.Far), admit(t, p, key(2), policy.Far)
	for i := range 900 {
		for g, mine := range map[*policy.Grant]bool{low: i < 450, high: i >= 450} {
			for _, text := range []string{fmt.Sprintf("org.n%d", i), fmt.Sprintf("org.m%03d.x", i)} {
				if got, want := p.Authorize(g, policy.Talk, object(t, text)).Allowed, mine && i%3 == 0; got != want {
					t.Errorf("%s by %s: %v", text, g.Rule(), got)
				}
			}
		}
	}
}

// What a level gives, and that any right on the line takes its place.
func TestBundles(t *testing.T) {
	level := func(l string) string { return "level " + l }
	for _, row := range []struct {
		options string
		rules   [3]string // of see, talk, own of a name; "" is no
		every   bool      // SeesAll
	}{
		{"", [3]string{}, false},
		{"level=untrusted", [3]string{}, false},
		{"level=basic", [3]string{level("basic"), level("basic"), ""}, true},
		{"level=trusted", [3]string{level("trusted"), level("trusted"), level("trusted")}, true},
		{"level=verified", [3]string{level("verified"), level("verified"), level("verified")}, true},
		{"level=trusted tenant=acme", [3]string{level("trusted"), level("trusted"), level("trusted")}, true},
		{"level=verified see=org.a", [3]string{"authorized_peers:1 see=org.a", "", ""}, false},
		{"level=verified own=x", [3]string{}, false},
		{"level=untrusted own=**", [3]string{"authorized_peers:1 own=**", "authorized_peers:1 own=**", "authorized_peers:1 own=**"}, true},
		{"level=verified talk=x see=acme/**", [3]string{}, false},
		{"admin", [3]string{}, false},
	} {
		p := listed(t, line(1, row.options))
		g := admit(t, p, key(1), policy.Far)
		o := policy.Object{Tenant: g.Tenant(), Name: "org.a"}
		for v, rule := range row.rules {
			want := asks{policy.Verb(v), o, rule != "", rule, ""}
			if rule == "" {
				want.rule, want.reason = "no rule", "no_rule"
			}
			want.check(t, p, g)
		}
		if got := g.SeesAll(g.Tenant()); got != row.every {
			t.Errorf("%q sees all: %v", row.options, got)
		}
	}

	cfg := policy.Config{
		Peers:  peers(t, line(1, "")+line(2, "level=trusted")+line(3, "level=trusted tenant=acme")),
		Listed: policy.Basic, Local: policy.Verified,
		Bundles: map[policy.Level]policy.Bundle{policy.Trusted: {Own: patterns(t, "org.x")}},
	}
	p := compile(t, cfg)
	asks{policy.Talk, object(t, "a"), true, "level basic", ""}.check(t, p, admit(t, p, key(1), policy.Far))
	asks{policy.Own, object(t, "org.x"), true, "level trusted", ""}.check(t, p, admit(t, p, key(2), policy.Far))
	asks{policy.See, object(t, "org.y"), false, "no rule", "no_rule"}.check(t, p, admit(t, p, key(2), policy.Far))
	asks{policy.Own, object(t, "acme/org.x"), true, "level trusted", ""}.check(t, p, admit(t, p, key(3), policy.Far))
	asks{policy.Own, object(t, "a"), true, "level verified", ""}.check(t, p, admit(t, p, key(9), policy.Local))
}

// of all pairs of levels two are refused, whatever the patterns say.
func TestTrustPairs(t *testing.T) {
	refused := 0
	for i, caller := range policy.Levels() {
		p := listed(t, line(byte(i), fmt.Sprintf("own=** talk=** level=%s", caller)))
		g := admit(t, p, key(byte(i)), policy.Far)
		for _, owner := range policy.Levels() {
			o := owned("org.a", owner)
			d := p.Authorize(g, policy.Talk, o)
			want := true
			if caller == policy.Untrusted && (owner == policy.Trusted || owner == policy.Verified) {
				want = false
				asks{policy.Talk, o, false, fmt.Sprintf("level untrusted may not talk to %s", owner), "trust_level_mismatch"}.check(t, p, g)
			}
			if d.Allowed != want {
				t.Errorf("%s talks to %s: %v by %q", caller, owner, d.Allowed, d.Rule)
			}
			if !d.Allowed {
				refused++
			}
			for _, v := range []policy.Verb{policy.See, policy.Own} {
				if !p.Authorize(g, v, o).Allowed {
					t.Errorf("%s may not %s what %s owns", caller, v, owner)
				}
			}
			if o.Owned = false; !p.Authorize(g, policy.Talk, o).Allowed {
				t.Errorf("%s may not talk to what nobody owns", caller)
			}
		}
	}
	if refused != 2 {
		t.Errorf("%d pairs refused, want 2", refused)
	}
	// Who has no pattern hears that, and nothing of the owner.
	p := listed(t, line(1, "see=**"))
	asks{policy.Talk, owned("org.a", policy.Trusted), false, "no rule", "no_rule"}.check(t, p, admit(t, p, key(1), policy.Far))
}

// E-27 and E-29: a name crosses where one tenant exports it, the other imports it and
// a pattern of the caller covers it; else the refusal names the border.
func TestTenants(t *testing.T) {
	const full = "see=**,*/** talk=**,*/** level=basic "
	for _, row := range []struct {
		name, export, imports string // of beta, of acme
		options               string
		verb                  policy.Verb
		object                string
		allowed               bool
		rule, reason          string
	}{
		{"no borders set", "", "", full, policy.See, "beta/org.a", false, "tenant beta does not export it", "not_exported"},
		{"not exported", "", "*/**", full, policy.Talk, "beta/org.a", false, "tenant beta does not export it", "not_exported"},
		{"not imported", "**", "", full, policy.Talk, "beta/org.a", false, "tenant acme does not import it", "not_imported"},
		{"both", "**", "*/**", full, policy.Talk, "beta/org.a", true, "authorized_peers:1 talk=*/**", ""},
		{"both, by name", "org.a", "beta/org.a", full, policy.See, "beta/org.a", true, "authorized_peers:1 see=*/**", ""},
		{"another name exported", "org.b", "*/**", full, policy.See, "beta/org.a", false, "tenant beta does not export it", "not_exported"},
		{"another name imported", "**", "beta/org.b", full, policy.See, "beta/org.a", false, "tenant acme does not import it", "not_imported"},
		{"imported from another", "**", "gamma/**", full, policy.See, "beta/org.a", false, "tenant acme does not import it", "not_imported"},
		{"exported to acme", "org.a -> acme", "*/**", full, policy.See, "beta/org.a", true, "authorized_peers:1 see=*/**", ""},
		{"exported to another", "org.a -> gamma, ** -> default", "*/**", full, policy.See, "beta/org.a", false, "tenant beta does not export it", "not_exported"},
		{"exported to acme and all", "org.b, org.a -> acme", "*/**", full, policy.See, "beta/org.b", true, "authorized_peers:1 see=*/**", ""},
		{"exported to one wider than to all", "org.b -> acme, org.a", "*/**", full, policy.See, "beta/org.a", true, "authorized_peers:1 see=*/**", ""},
		{"a pattern of beta", "**", "*/**", "talk=beta/org.a", policy.Talk, "beta/org.a", true, "authorized_peers:1 talk=beta/org.a", ""},
		{"a pattern of beta, another name", "**", "*/**", "talk=beta/org.a,*/org.c", policy.Talk, "beta/org.b", false, "no rule", "no_rule"},
		{"patterns of beta and of all", "**", "*/**", "talk=beta/org.a,*/org.b", policy.Talk, "beta/org.b", true, "authorized_peers:1 talk=*/org.b", ""},
		{"a pattern of gamma", "**", "*/**", "talk=gamma/**", policy.See, "beta/org.a", false, "no rule", "no_rule"},
		{"a bare pattern", "**", "*/**", "own=** level=verified", policy.See, "beta/org.a", false, "no rule", "no_rule"},
		{"see is not talk", "**", "*/**", "see=beta/**", policy.Talk, "beta/org.a", false, "no rule", "no_rule"},
		{"own never", "**", "*/**", "level=verified", policy.Own, "beta/org.a", false, "own never crosses tenants", "cross_tenant"},
		{"own at home", "**", "*/**", "level=verified", policy.Own, "acme/org.a", true, "level verified", ""},
		{"home has no border", "", "", full, policy.Talk, "acme/org.a", true, "authorized_peers:1 talk=**", ""},
		{"home by name", "", "", "talk=acme/org.a", policy.Talk, "acme/org.a", true, "authorized_peers:1 talk=acme/org.a", ""},
		{"*/ is not home", "", "", "talk=*/**", policy.Talk, "acme/org.a", false, "no rule", "no_rule"},
		{"default is a tenant like any", "**", "*/**", full, policy.See, "default/org.a", false, "tenant default does not export it", "not_exported"},
		{"the level's rights cross", "**", "*/**", "level=basic", policy.Talk, "beta/org.a", true, "level basic", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := policy.Config{Peers: peers(t, line(1, "tenant=acme "+row.options)), Tenants: map[string]policy.Tenant{
				"acme": tenant(t, "", row.imports), "beta": tenant(t, row.export, "")}}
			p := compile(t, cfg)
			asks{row.verb, object(t, row.object), row.allowed, row.rule, row.reason}.check(t, p, admit(t, p, key(1), policy.Far))
		})
	}
}

// The server's own key and administrators cross no border either.
func TestNobodyCrosses(t *testing.T) {
	cfg := policy.Config{Server: key(1), Peers: peers(t, line(2, "admin level=verified"))}
	p := compile(t, cfg)
	self, admin := admit(t, p, key(1), policy.Local), admit(t, p, key(2), policy.Far)
	for _, g := range []*policy.Grant{self, admin} {
		for _, v := range []policy.Verb{policy.See, policy.Talk} {
			asks{v, object(t, "beta/a"), false, "tenant beta does not export it", "not_exported"}.check(t, p, g)
		}
		if g.SeesAll("beta") || !g.SeesAll("") {
			t.Errorf("%s: sees all of beta, or not all of its own", g.Rule())
		}
	}
	asks{policy.Own, owned("a", policy.Verified), true, "the server's own key", ""}.check(t, p, self)
	asks{policy.Talk, owned("a", policy.Verified), true, "the server's own key", ""}.check(t, p, self)
	asks{policy.Admin, policy.Object{}, true, "the server's own key", ""}.check(t, p, self)
	asks{policy.Admin, object(t, "beta/a"), true, "authorized_peers:1 admin", ""}.check(t, p, admin)
	cfg.Tenants = map[string]policy.Tenant{"": tenant(t, "", "beta/**"), "beta": tenant(t, "** -> default", "")}
	p = compile(t, cfg)
	for _, k := range []byte{1, 2} {
		g := admit(t, p, key(k), policy.Local)
		if !p.Authorize(g, policy.See, object(t, "beta/a")).Allowed || !g.SeesAll("beta") || g.SeesAll("gamma") {
			t.Errorf("%s: what is exported and imported does not cross", g.Rule())
		}
	}
}

// The rights are those of the proven key that the Grant was made for, not those of a
// key that was asked about later (CVE-2024-45337).
func TestGrantOfProvenKey(t *testing.T) {
	p := listed(t, line(1, "level=verified own=a admin")+line(2, "see=b"))
	proven := admit(t, p, key(2), policy.Far)
	admit(t, p, key(1), policy.Far)
	admit(t, p, key(9), policy.Local)
	if _, err := p.Authenticate(key(8), policy.Far); !errors.Is(err, policy.ErrUnknown) {
		t.Error(err)
	}
	asks{policy.Own, object(t, "a"), false, "no rule", "no_rule"}.check(t, p, proven)
	asks{policy.Admin, policy.Object{}, false, "no rule", "no_rule"}.check(t, p, proven)
	asks{policy.See, object(t, "b"), true, "authorized_peers:2 see=b", ""}.check(t, p, proven)
	if proven.Key() != key(2) {
		t.Errorf("the grant is one for %x", proven.Key())
	}
}

// A Grant of an older snapshot decides nothing by the rules of that.
func TestGrantOfAnotherSnapshot(t *testing.T) {
	const text = "level=trusted own=a admin"
	old := listed(t, line(1, text)+line(2, text)+line(3, text))
	cfg := policy.Defaults()
	cfg.Peers = peers(t, line(2, "see=a tenant=acme")+line(4, ""))
	cfg.Revoked = map[policy.Key]string{key(3): ""}
	cfg.Server = key(9)
	now := compile(t, cfg)
	for _, row := range []struct {
		key    byte
		origin policy.Origin
		asks
	}{
		{1, policy.Far, asks{policy.Own, object(t, "a"), false, "the key is not listed", "unknown"}},
		{1, policy.Far, asks{policy.Admin, object(t, "a"), false, "the key is not listed", "unknown"}},
		{1, policy.Local, asks{policy.Own, object(t, "a"), true, "level trusted", ""}},
		{1, policy.Local, asks{policy.Admin, object(t, "a"), false, "no rule", "no_rule"}},
		{2, policy.Far, asks{policy.Own, object(t, "acme/a"), false, "no rule", "no_rule"}},
		{2, policy.Far, asks{policy.See, object(t, "acme/a"), true, "authorized_peers:1 see=a", ""}},
		{2, policy.Far, asks{policy.See, object(t, "a"), false, "tenant default does not export it", "not_exported"}},
		{3, policy.Local, asks{policy.See, object(t, "a"), false, "the key is revoked", "revoked"}},
	} {
		row.check(t, now, admit(t, old, key(row.key), row.origin))
	}
	strange := compile(t, policy.Config{Peers: peers(t, line(9, text))})
	asks{policy.See, object(t, "a"), false, "the server's own key is refused from afar", "server_key"}.check(t, now, admit(t, strange, key(9), policy.Far))
}

func TestNewRefuses(t *testing.T) {
	twice := peers(t, line(1, ""))
	twice = append(twice, twice...)
	for _, row := range []struct {
		name string
		cfg  policy.Config
		want string
		is   error
	}{
		{"a key twice", policy.Config{Peers: twice}, "line 1: the key comes twice", nil},
		{"no level", policy.Config{Peers: []policy.Peer{{Key: key(1), Line: 7, HasLevel: true, Level: 4}}}, "line 7: policy: no such level", nil},
		{"no tenant", policy.Config{Peers: []policy.Peer{{Line: 7, Tenant: "A"}}}, "line 7: policy: a tenant is", policy.ErrTenant},
		{"the word default", policy.Config{Peers: []policy.Peer{{Line: 7, Tenant: "default"}}}, "line 7: policy: a tenant is", policy.ErrTenant},
		{"no rate", policy.Config{Peers: []policy.Peer{{Line: 7, Rate: policy.Rate{N: 1}}}}, "line 7: policy: a rate is", policy.ErrRate},
		{"no rate either", policy.Config{Peers: []policy.Peer{{Line: 7, Rate: policy.Rate{Seconds: 1}}}}, "line 7: policy: a rate is", policy.ErrRate},
		{"own of another", policy.Config{Peers: []policy.Peer{{Line: 7, Own: patterns(t, "beta/a")}}}, "line 7: own= never crosses tenants", nil},
		{"listed", policy.Config{Listed: 4}, "policy: no such level: 4", nil},
		{"local", policy.Config{Local: 5}, "policy: no such level: 5", nil},
		{"a bundle of no level", policy.Config{Bundles: map[policy.Level]policy.Bundle{6: {}}}, "policy: no such level: 6", nil},
		{"a bundle that owns elsewhere", policy.Config{Bundles: map[policy.Level]policy.Bundle{policy.Basic: {Own: patterns(t, "a beta/a")}}},
			"policy: a bundle owns names of the own tenant only: level basic, own \"beta/a\"", nil},
		{"a tenant's name", policy.Config{Tenants: map[string]policy.Tenant{"default": {}}}, "tenant \"default\": policy: a tenant is", policy.ErrTenant},
		{"an export's tenant", policy.Config{Tenants: map[string]policy.Tenant{"a": {Export: []policy.Export{{Only: true, To: "B"}}}}},
			"tenant a: export to \"B\": policy: a tenant is", policy.ErrTenant},
		{"an export to itself", policy.Config{Tenants: map[string]policy.Tenant{"a": tenant(t, "x -> a", "")}},
			"tenant a: export \"x -> a\": a tenant exports nothing to itself", nil},
		{"an export of default to itself", policy.Config{Tenants: map[string]policy.Tenant{"": tenant(t, "x -> default", "")}},
			"tenant default: export \"x -> default\": a tenant exports nothing to itself", nil},
		{"a bare import", policy.Config{Tenants: map[string]policy.Tenant{"a": tenant(t, "", "x")}}, "tenant a: import \"x\": an import names the tenant", nil},
		{"an import of its own", policy.Config{Tenants: map[string]policy.Tenant{"a": tenant(t, "", "a/x")}},
			"tenant a: import \"a/x\": a tenant exports nothing to itself, and imports nothing", nil},
	} {
		p, err := policy.New(row.cfg)
		if p != nil || err == nil || row.is != nil && !errors.Is(err, row.is) {
			t.Errorf("%s: %v, %v", row.name, p, err)
		} else if got := err.Error(); len(got) < len(row.want) || got[:len(row.want)] != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

// A Policy keeps nothing of its Config.
func TestImmutable(t *testing.T) {
	cfg := policy.Config{Peers: peers(t, line(1, "tenant=acme see=*/x")), Revoked: map[policy.Key]string{}, Bundles: map[policy.Level]policy.Bundle{},
		Tenants: map[string]policy.Tenant{"": tenant(t, "x", "*/x"), "acme": tenant(t, "x", "*/x")}}
	p := compile(t, cfg)
	id := p.ID()
	g := admit(t, p, key(1), policy.Far)
	cfg.Peers[0].See[0], cfg.Peers[0].Tenant = patterns(t, "y")[0], "beta"
	cfg.Revoked[key(1)] = ""
	cfg.Bundles[policy.Untrusted] = policy.Bundle{Own: patterns(t, "**")}
	cfg.Tenants["acme"].Import[0] = patterns(t, "*/y")[0]
	delete(cfg.Tenants, "")
	again := admit(t, p, key(1), policy.Far)
	for _, g := range []*policy.Grant{g, again} {
		asks{policy.See, object(t, "x"), true, "authorized_peers:1 see=*/x", ""}.check(t, p, g)
	}
	if p.ID() != id {
		t.Error("the id changed")
	}
	bundles := policy.DefaultBundles()
	bundles[policy.Basic].See[0] = patterns(t, "x")[0]
	if policy.DefaultBundles()[policy.Basic].See[0] != (policy.Pattern{}) {
		t.Error("the default bundles can be changed")
	}
}

// ID follows what decides and nothing else.
func TestID(t *testing.T) {
	base := func() policy.Config {
		cfg := policy.Defaults()
		cfg.Peers = peers(t, line(1, "own=a level=basic # x")+line(2, "rate=1/2"))
		cfg.Tenants = map[string]policy.Tenant{"acme": tenant(t, "a, b -> beta", "beta/a")}
		cfg.Revoked = map[policy.Key]string{key(3): "x"}
		cfg.Server = key(4)
		return cfg
	}
	ids := map[string]string{compile(t, base()).ID(): "nothing"}
	for name, change := range map[string]func(*policy.Config){
		"a comment":     func(c *policy.Config) { c.Peers[0].Comment = "y" },
		"order":         func(c *policy.Config) { slices.Reverse(c.Peers) },
		"lines":         func(c *policy.Config) { c.Peers[0].Line, c.File = 9, "y" },
		"said default":  func(c *policy.Config) { c.Peers[1].HasLevel = true },
		"said bundles":  func(c *policy.Config) { c.Bundles = policy.DefaultBundles() },
		"said revoked":  func(c *policy.Config) { c.Revoked[key(3)] = "" },
		"empty revoked": func(c *policy.Config) { c.Revoked = map[policy.Key]string{key(3): ""} },
	} {
		cfg := base()
		change(&cfg)
		if got := compile(t, cfg).ID(); ids[got] != "nothing" {
			t.Errorf("%s changes the id", name)
		}
	}
	for name, change := range map[string]func(*policy.Config){
		"level":         func(c *policy.Config) { c.Peers[0].Level = policy.Trusted },
		"listed":        func(c *policy.Config) { c.Listed = policy.Basic },
		"local":         func(c *policy.Config) { c.Local = policy.Basic },
		"local refused": func(c *policy.Config) { c.LocalRefused = true },
		"own":           func(c *policy.Config) { c.Peers[0].Own = patterns(t, "b") },
		"see":           func(c *policy.Config) { c.Peers[0].Own, c.Peers[0].See = nil, c.Peers[0].Own },
		"talk":          func(c *policy.Config) { c.Peers[0].Own, c.Peers[0].Talk = nil, c.Peers[0].Own },
		"tenant":        func(c *policy.Config) { c.Peers[0].Tenant = "acme" },
		"admin":         func(c *policy.Config) { c.Peers[0].Admin = true },
		"rate":          func(c *policy.Config) { c.Peers[0].Rate = policy.Rate{N: 1, Seconds: 1} },
		"key":           func(c *policy.Config) { c.Peers[0].Key = key(9) },
		"peers":         func(c *policy.Config) { c.Peers = c.Peers[:1] },
		"bundles":       func(c *policy.Config) { c.Bundles = map[policy.Level]policy.Bundle{policy.Basic: {}} },
		"export":        func(c *policy.Config) { c.Tenants["acme"].Export[0].Only = true },
		"import":        func(c *policy.Config) { c.Tenants["acme"].Import[0] = patterns(t, "*/a")[0] },
		"tenants":       func(c *policy.Config) { c.Tenants["beta"] = policy.Tenant{} },
		"revoked":       func(c *policy.Config) { c.Revoked[key(5)] = "" },
		"server":        func(c *policy.Config) { c.Server = key(5) },
	} {
		cfg := base()
		change(&cfg)
		got := compile(t, cfg).ID()
		if other, same := ids[got]; same {
			t.Errorf("%s has the id of %s", name, other)
		}
		ids[got] = name
	}
}
