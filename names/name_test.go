package names_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/names"
)

// The vectors are those of the D-Bus reference tests (test/syntax.c and the name
// tests of the reference library) with the answers of our grammar. Where ours
// differs from D-Bus, the row says so.
func TestParseName(t *testing.T) {
	const dbusOnly = "differs from D-Bus"
	for _, row := range []struct {
		text  string
		valid bool
		note  string
	}{
		{"com.example", true, ""},
		{"com.example.a0", true, ""},
		{"com.example._", true, ""},
		{"com.example-x.y-", true, ""},
		{"-.-", true, "a hyphen may begin an element, as on D-Bus"},
		{"_._", true, ""},
		{"a.b", true, ""},
		{"com.example.A-1", true, ""},
		{"org.freedesktop.DBus.x", true, ""},
		{"org.freedesktop.DBus.Local", true, ""},
		{"org.freedesktop.DBus", true, dbusOnly + ": reserved there, a name like any other here"},
		{"a." + strings.Repeat("b", 253), true, "255 bytes"},
		{"com", true, dbusOnly + ": one element is legal"},
		{"plugin_foo", true, dbusOnly + ": one element is legal"},
		{"-", true, dbusOnly + ": one element is legal"},
		{"_", true, dbusOnly + ": one element is legal"},
		{"switchboard", true, "a name, but reserved: see TestReserved"},

		{"", false, ""},
		{"com.", false, ""},
		{".com.example", false, ""},
		{"com.example.", false, ""},
		{"com..example", false, ""},
		{"com.example.0a", false, ""},
		{"0com.example", false, ""},
		{"0", false, ""},
		{"com.example.a:b", false, ""},
		{"com.example.a$", false, ""},
		{"com.example.a b", false, ""},
		{"com.example.é", false, "UTF-8"},
		{"com.example.\xa9", false, "a raw byte"},
		{"com.example/a", false, ""},
		{"a.b\n", false, ""},
		{"a.b\x00", false, ""},
		{"a." + strings.Repeat("b", 254), false, "256 bytes"},
		{"foo.bar...baz", false, ""},
		{"!Foo.bar.bz", false, ""},
		{"foo.$.blah", false, ""},
		{"9foo.bar.baz", false, ""},
		{".", false, ""},
		{"..", false, ""},
		{"..Foo.Bar", false, ""},
		{"Foo.Bar..", false, ""},
		{":1.42", false, "a session id is no name"},
		{":1.9999", false, "a session id is no name"},
		{":1.2.3.4.5", false, "a session id is no name"},
		{":com.example", false, "a session id is no name"},
		{":17", false, "a session id is no name"},
		{"*", false, "a pattern is no name"},
		{"com.*", false, "a pattern is no name"},
		{"com.**", false, "a pattern is no name"},
	} {
		n, err := names.ParseName(row.text)
		switch {
		case row.valid && (err != nil || string(n) != row.text):
			t.Errorf("ParseName(%q) = %q, %v, want it as it is (%s)", row.text, n, err, row.note)
		case !row.valid && (n != "" || !errors.Is(err, names.ErrInvalid)):
			t.Errorf("ParseName(%q) = %q, %v, want ErrInvalid (%s)", row.text, n, err, row.note)
		}
	}
}

func TestReserved(t *testing.T) {
	for n, want := range map[names.Name]bool{
		"switchboard":     true,
		"switchboard.a":   true,
		"switchboard.a.b": true,
		"switchboardx":    false,
		"switchboard-x":   false,
		"switchboard_":    false,
		"Switchboard":     false,
		"a.switchboard":   false,
		"switchboar":      false,
	} {
		if got := names.Reserved(n); got != want {
			t.Errorf("Reserved(%q) = %v, want %v", n, got, want)
		}
	}
}

func TestParseNameSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"com.example.0a": "names: invalid name: element 3 begins with a digit",
		"com..example":   "names: invalid name: element 2 is empty",
		"com.a b":        "names: invalid name: element 2 holds the byte 0x20",
		"":               "names: invalid name: 0 bytes, not 1 to 255",
	} {
		if _, err := names.ParseName(text); err == nil || err.Error() != want {
			t.Errorf("ParseName(%q): got %v, want %s", text, err, want)
		}
	}
}

const elementGrammar = `[A-Za-z_-][A-Za-z0-9_-]*`

var nameGrammar = regexp.MustCompile(`^` + elementGrammar + `(\.` + elementGrammar + `)*$`)

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"a", "com.example", "-.-", "", ".", "a..b", "a.0", ":1.2", "é", "a\n", "switchboard.x",
		strings.Repeat("a", 255), strings.Repeat("a", 256)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := names.ParseName(s)
		want := len(s) <= 255 && nameGrammar.MatchString(s)
		if got := err == nil; got != want {
			t.Fatalf("ParseName(%q): %v, the grammar says %v", s, err, want)
		}
		if err != nil {
			if !errors.Is(err, names.ErrInvalid) || n != "" {
				t.Fatalf("ParseName(%q) = %q, %v, want no name and ErrInvalid", s, n, err)
			}
			return
		}
		if string(n) != s {
			t.Fatalf("ParseName(%q) = %q, want it as it is", s, n)
		}
		if got, want := names.Reserved(n), s == "switchboard" || strings.HasPrefix(s, "switchboard."); got != want {
			t.Fatalf("Reserved(%q) = %v, want %v", s, got, want)
		}
		p, err := names.ParsePattern(s)
		if len(s) > 0 && (err != nil || !p.Match(n)) {
			t.Fatalf("the name %q does not match itself: %v", s, err)
		}
	})
}
