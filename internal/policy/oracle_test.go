package policy_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
	"pgregory.net/rapid"
)

// hand is a peer as its line says it, in text. An empty tenant is default.
type hand struct {
	tenant, level  string
	own, see, talk []string
	admin          bool
}

// border is what the configuration says of a tenant, in text.
type border struct{ exports, imports []string }

// may is the oracle: the rules of the package once more, on their text, as plainly as
// they can be said.
func may(h hand, borders map[string]border, verb, tenant, name, owner string) bool {
	if verb == "admin" {
		return h.admin
	}
	if len(h.own)+len(h.see)+len(h.talk) == 0 && h.level != "untrusted" {
		h.talk = []string{"**", "*/**"}
		if h.level != "basic" {
			h.own = []string{"**"}
		}
	}
	patterns := map[string][]string{"own": h.own, "talk": slices.Concat(h.own, h.talk), "see": slices.Concat(h.own, h.talk, h.see)}[verb]
	covered := slices.ContainsFunc(patterns, func(p string) bool { return covers(p, h.tenant, tenant, name) })
	crosses := tenant == h.tenant || verb != "own" &&
		slices.ContainsFunc(borders[tenant].exports, func(e string) bool {
			pattern, to, only := strings.Cut(e, " -> ")
			return covers(pattern, "", "", name) && (!only || to == word(h.tenant))
		}) &&
		slices.ContainsFunc(borders[h.tenant].imports, func(p string) bool { return covers(p, h.tenant, tenant, name) })
	trusted := verb != "talk" || h.level != "untrusted" || owner != "trusted" && owner != "verified"
	return covered && crosses && trusted
}

// covers reports whether a pattern in the hand of a peer of own covers a name.
func covers(pattern, own, tenant, name string) bool {
	of, pattern, ok := strings.Cut(pattern, "/")
	switch {
	case !ok:
		return tenant == own && glob(strings.Split(of, "."), strings.Split(name, "."))
	case of == "*":
		return tenant != own && glob(strings.Split(pattern, "."), strings.Split(name, "."))
	}
	return word(tenant) == of && glob(strings.Split(pattern, "."), strings.Split(name, "."))
}

func glob(pattern, name []string) bool {
	if len(pattern) == 0 || len(name) == 0 {
		return len(pattern) == len(name)
	}
	return pattern[0] == "**" || (pattern[0] == "*" || pattern[0] == name[0]) && glob(pattern[1:], name[1:])
}

func word(tenant string) string {
	if tenant == "" {
		return "default"
	}
	return tenant
}

var (
	drawElement = rapid.SampledFrom([]string{"a", "b", "*", "*"})
	drawTenant  = rapid.SampledFrom([]string{"", "x", "y"})
	drawLevel   = rapid.SampledFrom([]string{"untrusted", "basic", "trusted", "verified"})
	drawBare    = rapid.Custom(func(t *rapid.T) string {
		elements := rapid.SliceOfN(drawElement, 0, 3).Draw(t, "elements")
		if len(elements) == 0 || rapid.Bool().Draw(t, "rest") {
			elements = append(elements, "**")
		}
		return strings.Join(elements, ".")
	})
	drawForeign = rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"*", "default", "x", "y"}).Draw(t, "of") + "/" + drawBare.Draw(t, "pattern")
	})
	drawPatterns = rapid.SliceOfNDistinct(rapid.OneOf(drawBare, drawBare, drawForeign), 0, 4, rapid.ID)
	drawBares    = rapid.SliceOfNDistinct(drawBare, 0, 3, rapid.ID)
)

// world is a policy in text and compiled.
type world struct {
	hands   map[byte]hand // by key
	borders map[string]border
	local   string
	refused bool
	revoked []byte
	policy  *policy.Policy
}

const (
	worldPeers  = 4
	worldServer = worldPeers // its last peer is the server's own key, and the next one a stranger
)

func drawWorld(t *rapid.T) *world {
	w := &world{hands: make(map[byte]hand), borders: make(map[string]border)}
	w.local, w.refused = drawLevel.Draw(t, "local"), rapid.Bool().Draw(t, "refused")
	listed := drawLevel.Draw(t, "listed")
	cfg := policy.Config{LocalRefused: w.refused, Revoked: make(map[policy.Key]string), Tenants: make(map[string]policy.Tenant), Server: key(worldServer)}
	cfg.Listed, cfg.Local = level(t, listed), level(t, w.local)
	var lines strings.Builder
	for n := byte(1); n <= worldPeers; n++ {
		if rapid.IntRange(0, 9).Draw(t, "revoke") == 0 {
			w.revoked = append(w.revoked, n)
			cfg.Revoked[key(n)] = ""
		}
		if rapid.IntRange(0, 3).Draw(t, "unlisted") == 0 {
			continue
		}
		h := hand{level: listed, tenant: drawTenant.Draw(t, "tenant"), admin: rapid.Bool().Draw(t, "admin")}
		words := []string{policy.KeyText(key(n)), "tenant=" + word(h.tenant)}
		if rapid.Bool().Draw(t, "has level") {
			h.level = drawLevel.Draw(t, "level")
			words = append(words, "level="+h.level)
		}
		if h.admin {
			words = append(words, "admin")
		}
		if rapid.Bool().Draw(t, "has rights") {
			h.own, h.see, h.talk = drawBares.Draw(t, "own"), drawPatterns.Draw(t, "see"), drawPatterns.Draw(t, "talk")
			for _, o := range []struct {
				name string
				list []string
			}{{"talk", h.talk}, {"own", h.own}, {"see", h.see}} {
				if len(o.list) > 0 {
					words = append(words, o.name+"="+strings.Join(o.list, ","))
				}
			}
		}
		w.hands[n] = h
		lines.WriteString(strings.Join(words, " ") + "\n")
	}
	w.drawBorders(t, &cfg)
	var err error
	if cfg.Peers, err = policy.ParsePeers(strings.NewReader(lines.String())); err != nil {
		t.Fatalf("%v in\n%s", err, lines.String())
	}
	if w.policy, err = policy.New(cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) drawBorders(t *rapid.T, cfg *policy.Config) {
	for _, own := range []string{"", "x", "y"} {
		if rapid.IntRange(0, 4).Draw(t, "no border") == 0 {
			continue
		}
		b := border{imports: rapid.SliceOfN(drawForeign, 0, 3).Draw(t, "imports")}
		b.imports = slices.DeleteFunc(b.imports, func(p string) bool { return strings.HasPrefix(p, word(own)+"/") }) // refused elsewhere
		for _, e := range drawBares.Draw(t, "exports") {
			if to := rapid.SampledFrom([]string{"", "default", "x", "y"}).Draw(t, "to"); to != "" && to != word(own) {
				e += " -> " + to
			}
			b.exports = append(b.exports, e)
		}
		w.borders[own] = b
		var tn policy.Tenant
		for _, text := range b.imports {
			p, err := policy.ParsePattern(text)
			if err != nil {
				t.Fatal(err)
			}
			tn.Import = append(tn.Import, p)
		}
		for _, text := range b.exports {
			e, err := policy.ParseExport(text)
			if err != nil {
				t.Fatal(err)
			}
			tn.Export = append(tn.Export, e)
		}
		cfg.Tenants[own] = tn
	}
}

func level(t *rapid.T, text string) policy.Level {
	l, err := policy.ParseLevel(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// admitted is Authenticate once more.
func (w *world) admitted(n byte, o policy.Origin) (h hand, err error) {
	h, listed := w.hands[n]
	switch {
	case slices.Contains(w.revoked, n):
		return h, policy.ErrRevoked
	case n == worldServer && o == policy.Local:
		return hand{level: "verified", admin: true}, nil
	case listed:
		return h, nil
	case n == worldServer:
		return h, policy.ErrServerKey
	case o == policy.Local && !w.refused:
		return hand{level: w.local}, nil
	}
	return h, policy.ErrUnknown
}

// checkWorld compares all decisions of a world with the oracle: every key from near
// and far, every verb, names of every tenant, every kind of owner; also for Grants of
// another world.
func checkWorld(t *rapid.T) {
	w, before := drawWorld(t), drawWorld(t)
	var objects []policy.Object
	for _, tenant := range []string{"", "x", "y", "z"} {
		for _, n := range []names.Name{"a", "b", "c", "a.a", "a.b", "b.a", "b.c", "a.b.a", "a.b.c", "b.b.b", "a.a.a.a"} {
			objects = append(objects, policy.Object{Tenant: tenant, Name: n})
		}
	}
	first := rapid.IntRange(0, 4).Draw(t, "first owner")
	for n := byte(1); n <= worldPeers+1; n++ {
		for _, origin := range []policy.Origin{policy.Far, policy.Local} {
			h, want := w.admitted(n, origin)
			g, err := w.policy.Authenticate(key(n), origin)
			if !errors.Is(err, want) || (g != nil) != (want == nil) {
				t.Fatalf("key %d, origin %d: %v, %v, want %v", n, origin, g, err, want)
			}
			stale, _ := before.policy.Authenticate(key(n), origin)
			for i, o := range objects {
				owner := (i + first) % (len(policy.Levels()) + 1)
				o.Owned, o.Owner = owner > 0, policy.Level((owner+3)%4) // of what nobody owns: verified
				w.compare(t, h, want == nil, g, o)
				if g != nil && g.SeesAll(o.Tenant) && !w.policy.Authorize(g, policy.See, o).Allowed {
					t.Fatalf("%+v sees all of %q and not %+v", h, o.Tenant, o)
				}
				if stale != nil {
					w.compare(t, h, want == nil, stale, o)
				}
			}
		}
	}
}

// compare asks about one object with each verb.
func (w *world) compare(t *rapid.T, h hand, admitted bool, g *policy.Grant, o policy.Object) {
	owner := ""
	if o.Owned {
		owner = o.Owner.String()
	}
	var see policy.Decision
	for _, v := range []policy.Verb{policy.See, policy.Talk, policy.Own, policy.Admin} {
		want := admitted && may(h, w.borders, v.String(), o.Tenant, string(o.Name), owner)
		got := w.policy.Authorize(g, v, o)
		if got.Allowed != want || (got.Rule.Reason() == "") != want {
			t.Fatalf("%+v %s %+v: %v by %q, want %v; borders %+v", h, v, o, got.Allowed, got.Rule, want, w.borders)
		}
		if v == policy.See {
			see = got
		}
		if got.Allowed && v != policy.Admin && !see.Allowed {
			t.Fatalf("%+v may %s %+v and not see it", h, v, o)
		}
	}
	// What is hidden is hidden whoever owns it.
	o.Owned, o.Owner = !o.Owned, policy.Verified-o.Owner
	if got := w.policy.Authorize(g, policy.See, o); got != see {
		t.Fatalf("%+v sees %+v: %v by %q, with another owner %v by %q", h, o, got.Allowed, got.Rule, see.Allowed, see.Rule)
	}
}

func TestOracle(t *testing.T) { rapid.Check(t, checkWorld) }

func FuzzAuthorize(f *testing.F) {
	f.Add(bytes.Repeat([]byte("some bytes from which two policies are drawn"), 100))
	f.Add(bytes.Repeat([]byte{0x80, 1, 0, 7, 0xff, 3, 9}, 300))
	f.Fuzz(rapid.MakeFuzz(checkWorld))
}
