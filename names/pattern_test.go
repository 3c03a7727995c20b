package names_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/names"
)

// The candidates are those of the D-Bus arg0namespace and own_prefix vectors. Ours
// is another language: a plain pattern is exact, and "X.**" does not cover X.
func TestMatch(t *testing.T) {
	for _, row := range []struct{ pattern, match, miss string }{
		{"**", "com com.example com.example.backend.foo a switchboard", ""},
		{"com.example.backend", "com.example.backend",
			"com com.example com.example.backen com.example.backendfoo com.example.backend.foo Com.example.backend"},
		{"com.**", "com.example com.example.backend com.example.backend.foo", "com co comx comx.example"},
		{"com.example.**", "com.example.backend com.example.backend.foo", "com com.example com.examplex com.examplex.a com.exam.a"},
		{"com.exam.**", "com.exam.a", "com.example com.example.a com.exam"},
		{"X.**", "X.foo X.foo.bar", "X X2 X2.foo"},
		{"com.example.*", "com.example.backend com.example.-", "com.example com.example.backend.foo com.other.backend"},
		{"com.*.backend", "com.example.backend com.x.backend", "com.backend com.example.x.backend com.example.backend.foo"},
		{"*", "com switchboard _", "com.example"},
		{"*.*", "com.example", "com com.example.backend"},
		{"*.**", "com.example com.example.backend", "com"},
		{"*.example.**", "com.example.a org.example.a.b", "com.example example.a com.x.a"},
	} {
		p, err := names.ParsePattern(row.pattern)
		if err != nil {
			t.Errorf("ParsePattern(%q): %v", row.pattern, err)
			continue
		}
		if got := p.String(); got != row.pattern {
			t.Errorf("String of %q = %q", row.pattern, got)
		}
		for _, n := range strings.Fields(row.match) {
			if !p.Match(names.Name(n)) {
				t.Errorf("%q does not match %q", row.pattern, n)
			}
		}
		for _, n := range strings.Fields(row.miss) {
			if p.Match(names.Name(n)) {
				t.Errorf("%q matches %q", row.pattern, n)
			}
		}
	}
}

func TestParsePatternInvalid(t *testing.T) {
	for _, s := range []string{"", ".", "a.", ".a", "a..b", "***", "a.***", "a*", "*a", "a.*b", "**.a", "a.**.b", "**.**", "a.**.",
		"0a", "a.0", "a b", "é.*", "a/*", "?", "a\n", "com.example.{a,b}", strings.Repeat("a", 257)} {
		if p, err := names.ParsePattern(s); !errors.Is(err, names.ErrPattern) || p != (names.Pattern{}) {
			t.Errorf("ParsePattern(%q) = %q, %v, want ErrPattern", s, p, err)
		}
	}
}

func TestPatternZero(t *testing.T) {
	var zero names.Pattern
	all, err := names.ParsePattern("**")
	if err != nil || all != zero || zero.String() != "**" || !zero.Match("a.b.c") {
		t.Errorf("zero Pattern = %q, ParsePattern(**) = %q, %v, want both to be every name", zero, all, err)
	}
}

// A name of 255 bytes is within reach of a pattern that is one byte longer.
func TestPatternLongest(t *testing.T) {
	prefix := strings.Repeat("a", 253)
	p, err := names.ParsePattern(prefix + ".**")
	if err != nil || !p.Match(names.Name(prefix+".b")) {
		t.Errorf("a pattern of 256 bytes: %v, want it to match a name of 255", err)
	}
}

var patternGrammar = regexp.MustCompile(`^(\*\*|((` + elementGrammar + `|\*)\.)*(` + elementGrammar + `|\*\*?))$`)

// matchOracle is Match by way of a regular expression.
func matchOracle(pattern, name string) bool {
	if pattern == "**" {
		return true
	}
	var b strings.Builder
	for i, element := range strings.Split(pattern, ".") {
		if i > 0 {
			b.WriteString(`\.`)
		}
		switch element {
		case "*":
			b.WriteString(`[^.]+`)
		case "**":
			b.WriteString(`[^.]+(\.[^.]+)*`)
		default:
			b.WriteString(regexp.QuoteMeta(element))
		}
	}
	return regexp.MustCompile(`^` + b.String() + `$`).MatchString(name)
}

func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{{"**", "a"}, {"a.**", "a.b.c"}, {"a.**", "a"}, {"a.*.c", "a.b.c"}, {"*", "a"}, {"", "a"},
		{"**.a", "a.a"}, {"*.**", "a.b"}, {"a", "b"}, {"a*", "ab"}, {"a.b", "a.b.c"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		p, err := names.ParsePattern(pattern)
		if got, want := err == nil, len(pattern) <= 256 && patternGrammar.MatchString(pattern); got != want {
			t.Fatalf("ParsePattern(%q): %v, the grammar says %v", pattern, err, want)
		}
		if err != nil {
			if !errors.Is(err, names.ErrPattern) || p != (names.Pattern{}) {
				t.Fatalf("ParsePattern(%q) = %q, %v, want no pattern and ErrPattern", pattern, p, err)
			}
			return
		}
		if p.String() != pattern {
			t.Fatalf("String of %q = %q", pattern, p)
		}
		n, err := names.ParseName(name)
		if err != nil {
			return
		}
		if got, want := p.Match(n), matchOracle(pattern, name); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}
