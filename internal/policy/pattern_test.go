package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
)

func TestPatternCovers(t *testing.T) {
	for _, row := range []struct{ pattern, own, match, miss string }{
		{"**", "", "a a.b default/a", "beta/a"},
		{"**", "acme", "acme/a acme/a.b", "a default/a beta/a"},
		{"org.*", "", "org.a", "org org.a.b beta/org.a"},
		{"default/org.**", "", "org.a org.a.b", "org beta/org.a"},
		{"default/org.**", "acme", "org.a default/org.a.b", "acme/org.a beta/org.a"},
		{"beta/org.**", "", "beta/org.a", "org.a acme/org.a beta/org beta/x.a"},
		{"beta/org.**", "beta", "beta/org.a", "org.a acme/org.a"},
		{"beta/**", "acme", "beta/a beta/a.b", "a acme/a betb/a"},
		{"*/**", "", "beta/a acme/a.b", "a"},
		{"*/**", "acme", "a default/a beta/a", "acme/a"},
		{"*/org.store", "acme", "beta/org.store org.store", "acme/org.store beta/org.stor beta/org.store.x"},
	} {
		p := patterns(t, row.pattern)[0]
		if got := p.String(); got != row.pattern {
			t.Errorf("String of %q = %q", row.pattern, got)
		}
		for _, text := range strings.Fields(row.match) {
			if !p.Covers(row.own, object(t, text)) {
				t.Errorf("%q of tenant %q does not cover %s", row.pattern, row.own, text)
			}
		}
		for _, text := range strings.Fields(row.miss) {
			if p.Covers(row.own, object(t, text)) {
				t.Errorf("%q of tenant %q covers %s", row.pattern, row.own, text)
			}
		}
	}
}

func TestPatternZero(t *testing.T) {
	var zero policy.Pattern
	if all := patterns(t, "**")[0]; all != zero || zero.String() != "**" {
		t.Errorf("zero Pattern = %q, ParsePattern(**) = %q, want both to be every name", zero, all)
	}
}

func TestParsePatternInvalid(t *testing.T) {
	for text, want := range map[string]error{
		"": names.ErrPattern, "beta/": names.ErrPattern, "*/": names.ErrPattern, "a/b/c": names.ErrPattern, "*/a/b": names.ErrPattern,
		"a b": names.ErrPattern, "a,b": names.ErrPattern, "org.exa*": names.ErrPattern, "**.a": names.ErrPattern,
		"/org": policy.ErrTenant, "**/org": policy.ErrTenant, "Beta/org": policy.ErrTenant, "-b/org": policy.ErrTenant,
		"be.ta/org": policy.ErrTenant, "be*/org": policy.ErrTenant, "é/org": policy.ErrTenant, strings.Repeat("b", 33) + "/org": policy.ErrTenant,
	} {
		if p, err := policy.ParsePattern(text); !errors.Is(err, want) || p != (policy.Pattern{}) {
			t.Errorf("ParsePattern(%q) = %q, %v, want %v", text, p, err, want)
		}
	}
}

func TestTenantText(t *testing.T) {
	for text, want := range map[string]string{"default": "", "acme": "acme", "0": "0", "a-b_c": "a-b_c", strings.Repeat("b", 32): strings.Repeat("b", 32)} {
		got, err := policy.ParseTenant(text)
		if err != nil || got != want || policy.TenantText(got) != text {
			t.Errorf("ParseTenant(%q) = %q, %v, want %q, and the text back", text, got, err, want)
		}
	}
	for _, text := range []string{"", "A", "_a", "-a", "a.b", "a/b", "*", "a b", "é", "a\n", strings.Repeat("b", 33)} {
		if got, err := policy.ParseTenant(text); !errors.Is(err, policy.ErrTenant) || got != "" {
			t.Errorf("ParseTenant(%q) = %q, %v, want ErrTenant", text, got, err)
		}
	}
}

func TestParseName(t *testing.T) {
	for _, row := range []struct {
		own, text, tenant string
		name              names.Name
		shown             string // to a peer of own
		err               error
	}{
		{"", "org.x", "", "org.x", "org.x", nil},
		{"acme", "org.x", "acme", "org.x", "org.x", nil},
		{"acme", "acme/org.x", "acme", "org.x", "org.x", nil},
		{"", "default/org.x", "", "org.x", "org.x", nil},
		{"acme", "default/org.x", "", "org.x", "default/org.x", nil},
		{"acme", "beta/org.x", "beta", "org.x", "beta/org.x", nil},
		{"", "beta/org.x", "beta", "org.x", "beta/org.x", nil},
		{"", "", "", "", "", names.ErrInvalid},
		{"", "beta/", "", "", "", names.ErrInvalid},
		{"", "/org.x", "", "", "", policy.ErrTenant},
		{"", "*/org.x", "", "", "", policy.ErrTenant},
		{"", "a/b/c", "", "", "", names.ErrInvalid},
		{"", "beta/org.*", "", "", "", names.ErrInvalid},
	} {
		tenant, n, err := policy.ParseName(row.own, row.text)
		if tenant != row.tenant || n != row.name || !errors.Is(err, row.err) {
			t.Errorf("ParseName(%q, %q) = %q, %q, %v, want %q, %q, %v", row.own, row.text, tenant, n, err, row.tenant, row.name, row.err)
		}
		if err == nil {
			if got := policy.NameText(row.own, tenant, n); got != row.shown {
				t.Errorf("NameText(%q, %q, %q) = %q, want %q", row.own, tenant, n, got, row.shown)
			}
		}
	}
}

func TestParseExport(t *testing.T) {
	for text, want := range map[string]string{
		"org.**":             "org.**",
		"org.store -> beta":  "org.store -> beta",
		"org.store->default": "org.store -> default",
		"**  ->\tbeta":       "** -> beta",
	} {
		e, err := policy.ParseExport(text)
		if err != nil || e.String() != want {
			t.Errorf("ParseExport(%q) = %q, %v, want %q", text, e, err, want)
		}
		if again, err := policy.ParseExport(e.String()); err != nil || again != e {
			t.Errorf("%q read back: %q, %v", e, again, err)
		}
	}
	for text, want := range map[string]error{
		"": names.ErrPattern, " org.x": names.ErrPattern, "beta/org.x": names.ErrPattern, "-> beta": names.ErrPattern,
		"org.x -> ": policy.ErrTenant, "org.x -> *": policy.ErrTenant, "org.x -> a -> b": policy.ErrTenant, "org.x -> a,b": policy.ErrTenant,
	} {
		if e, err := policy.ParseExport(text); !errors.Is(err, want) || e != (policy.Export{}) {
			t.Errorf("ParseExport(%q) = %q, %v, want %v", text, e, err, want)
		}
	}
}

func TestWords(t *testing.T) {
	for i, text := range []string{"untrusted", "basic", "trusted", "verified"} {
		l, err := policy.ParseLevel(text)
		if err != nil || l != policy.Levels()[i] || l.String() != text {
			t.Errorf("ParseLevel(%q) = %v, %v", text, l, err)
		}
	}
	for i, text := range []string{"see", "talk", "own", "admin"} {
		v, err := policy.ParseVerb(text)
		if err != nil || int(v) != i || v.String() != text {
			t.Errorf("ParseVerb(%q) = %v, %v", text, v, err)
		}
	}
	for _, text := range []string{"", "Basic", "0", "level 4", "owns", "verb 4"} {
		if _, err := policy.ParseLevel(text); !errors.Is(err, policy.ErrLevel) {
			t.Errorf("ParseLevel(%q): %v", text, err)
		}
		if _, err := policy.ParseVerb(text); !errors.Is(err, policy.ErrVerb) {
			t.Errorf("ParseVerb(%q): %v", text, err)
		}
	}
	if l, v := policy.Level(4).String(), policy.Verb(4).String(); l != "level 4" || v != "verb 4" {
		t.Errorf("beyond the last: %q and %q", l, v)
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"**", "a.**", "*/**", "*/a", "beta/a.*", "default/a", "/a", "a/", "a/b/c", "*", "**/a", "", "é/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := policy.ParsePattern(s)
		if err != nil {
			if !errors.Is(err, policy.ErrTenant) && !errors.Is(err, names.ErrPattern) || p != (policy.Pattern{}) {
				t.Fatalf("ParsePattern(%q) = %q, %v", s, p, err)
			}
			return
		}
		if again, err := policy.ParsePattern(p.String()); p.String() != s || err != nil || again != p {
			t.Fatalf("%q: printed %q, read back %q, %v", s, p, again, err)
		}
	})
}
