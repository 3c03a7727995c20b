package policy_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cad2f06c/switchboard/internal/policy"
)

const keyA = "@7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=.ed25519"

func TestParsePeers(t *testing.T) {
	text := "# who may what\n\n" +
		keyA + " own=org.example.*,acme/x see=org.example.**,beta/org.** talk=*/org.store level=trusted tenant=acme admin rate=100/60 # the build # machine\r\n" +
		"\t" + policy.KeyText(key(2)) + "#touches\n" +
		"   # indented\n" +
		policy.KeyText(key(3)) + "  admin\ttenant=default"
	a, err := policy.ParseKey(keyA)
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.Peer{
		{Key: a, Own: patterns(t, "org.example.* acme/x"), See: patterns(t, "org.example.** beta/org.**"), Talk: patterns(t, "*/org.store"),
			Level: policy.Trusted, HasLevel: true, Tenant: "acme", Admin: true, Rate: policy.Rate{N: 100, Seconds: 60},
			Comment: "the build # machine", Line: 3},
		{Key: key(2), Comment: "touches", Line: 4},
		{Key: key(3), Admin: true, Line: 6},
	}
	got := peers(t, text)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for i, has := range []bool{true, false, false} {
		if got[i].HasRights() != has {
			t.Errorf("line %d has rights: %v", got[i].Line, !has)
		}
	}
	for _, option := range []string{"own=a", "see=a", "talk=a"} {
		if !peers(t, line(1, option))[0].HasRights() {
			t.Errorf("%s is no right", option)
		}
	}
	if none := peers(t, "# nobody\n"); none == nil || len(none) != 0 {
		t.Errorf("a file of nobody: %v, want an empty list", none)
	}
}

// What cannot be enforced as it stands is refused, with its line and why.
func TestParsePeersRefuses(t *testing.T) {
	b64 := keyA[1 : len(keyA)-len(".ed25519")]
	for _, row := range []struct{ name, text, want string }{
		{"no key", "hello\n", "line 1: policy: a key is @"},
		{"a truncated key", "# first\n\n" + keyA[:40] + "\n", "line 3: policy: a key"},
		{"upper case", strings.ToUpper(keyA), "line 1: policy: a key"},
		{"no padding", "@" + b64[:43] + ".ed25519", "line 1: policy: a key"},
		{"spare bits set", "@" + b64[:42] + "x=.ed25519", "line 1: policy: a key"},
		{"base64 for URLs", strings.ReplaceAll(keyA, "/", "_"), "line 1: policy: a key"},
		{"hex", "@" + strings.Repeat("0", 64) + ".ed25519", "line 1: policy: a key"},
		{"no @", keyA[1:], "line 1: policy: a key"},
		{"other kind", strings.TrimSuffix(keyA, ".ed25519") + ".curve25519", "line 1: policy: a key"},
		{"byte order mark", "\ufeff" + keyA, "line 1: policy: a key"},
		{"options without a key", "own=a\n", "line 1: policy: a key"},

		{"twice", keyA + "\n#\n" + keyA + " # again\n", "line 3: the key stands on line 1 already"},
		{"second key behind the first", keyA + " " + policy.KeyText(key(2)), "line 1: unknown option"},
		{"unknown option", keyA + " colour=red\n", `line 1: unknown option "colour"; they are own= see=`},
		{"unknown word", keyA + " administrator\n", "line 1: unknown option"},
		{"a typo", keyA + " tlak=**\n", "line 1: unknown option"},
		{"case", keyA + " Own=**\n", "line 1: unknown option"},
		{"a blank within", keyA + " own= a\n", `line 1: own="": names: invalid pattern`},
		{"no break", keyA + "\u00a0admin\n", "line 1: policy: a key"},
		{"expires is a time", keyA + " expires=1\n", `line 1: expires="1": want a time`},
		{"expires has one spelling", keyA + " expires=2027-01-31T12:00:00+00:00\n", "line 1: expires="},
		{"expires is no date", keyA + " expires=2027-02-31T12:00:00Z\n", "line 1: expires="},
		{"next without expires", keyA + " next=" + policy.KeyText(key(2)) + "\n", "line 1: next= needs expires="},
		{"next is itself", keyA + " expires=2027-01-31T12:00:00Z next=" + keyA + "\n", "line 1: next= needs expires="},
		{"peer is of invites", keyA + " peer=" + policy.KeyText(key(2)) + "\n", "line 1: unknown option"},

		{"empty own", keyA + " own=\n", `line 1: own="": names: invalid pattern: 0 bytes`},
		{"empty see", keyA + " see= level=basic\n", `line 1: see="": names: invalid pattern`},
		{"empty talk", keyA + " talk=#x\n", `line 1: talk=""`},
		{"empty level", keyA + " level=\n", `line 1: level="": policy: a level is`},
		{"empty tenant", keyA + " tenant=\n", `line 1: tenant="": policy: a tenant is`},
		{"empty rate", keyA + " rate=\n", `line 1: rate="": policy: a rate is`},
		{"own without =", keyA + " own\n", `line 1: own=""`},
		{"admin with =", keyA + " admin=\n", "line 1: admin is a bare word"},
		{"admin with a value", keyA + " admin=true\n", "line 1: admin is a bare word"},
		{"own twice", keyA + " own=a own=b\n", "line 1: own stands twice"},
		{"admin twice", keyA + " admin admin\n", "line 1: admin stands twice"},
		{"level twice", keyA + " level=basic level=basic\n", "line 1: level stands twice"},

		{"bad pattern", keyA + " see=org.example.*x\n", "line 1: see=\"org.example.*x\": names: invalid pattern: element 3"},
		{"bad second pattern", keyA + " see=a,**.b\n", "line 1: see="},
		{"a hole in the list", keyA + " see=a,,b\n", "line 1: see="},
		{"a comma at the end", keyA + " see=a,\n", "line 1: see="},
		{"a pattern twice", keyA + " talk=a,b,a\n", "line 1: talk=\"a,b,a\": a pattern stands twice"},
		{"a quoted value", keyA + ` own="a"`, "line 1: own="},
		{"bad tenant in a pattern", keyA + " talk=Beta/a\n", "line 1: talk=\"Beta/a\": policy: a tenant is"},
		{"own of others", keyA + " own=a,*/b\n", "line 1: own= never crosses tenants"},
		{"own of one other", keyA + " tenant=acme own=beta/b\n", "line 1: own= never crosses tenants, and acme is not the tenant of \"beta/b\""},
		{"own of another than default", keyA + " own=acme/b\n", "line 1: own= never crosses"},
		{"bad level", keyA + " level=root\n", "line 1: level=\"root\""},
		{"level as a number", keyA + " level=2\n", "line 1: level=\"2\""},
		{"bad tenant", keyA + " tenant=*\n", "line 1: tenant="},
		{"tenant too long", keyA + " tenant=" + strings.Repeat("a", 33) + "\n", "line 1: tenant="},
		{"a huge wrong value is cut", keyA + " tenant=" + strings.Repeat("a", 3000) + "\n", "line 1: tenant=\"" + strings.Repeat("a", 64) + "\": policy"},

		{"rate without seconds", keyA + " rate=100\n", "line 1: rate="},
		{"rate of none", keyA + " rate=0/60\n", "line 1: rate="},
		{"rate in no time", keyA + " rate=1/0\n", "line 1: rate="},
		{"rate below none", keyA + " rate=-1/60\n", "line 1: rate="},
		{"rate with a sign", keyA + " rate=+1/60\n", "line 1: rate="},
		{"rate with zeros", keyA + " rate=01/60\n", "line 1: rate="},
		{"rate too high", keyA + " rate=1000001/1\n", "line 1: rate="},
		{"rate too long", keyA + " rate=1/86401\n", "line 1: rate="},
		{"rate of three", keyA + " rate=1/2/3\n", "line 1: rate="},
		{"rate overflows", keyA + " rate=99999999999999999999/1\n", "line 1: rate="},

		{"long line", keyA + "\n#" + strings.Repeat("x", 4096) + "\n", "line 2: it is longer than 4096 bytes"},
		{"long last line", "#" + strings.Repeat("x", 1<<20), "line 1: it is longer"},
		{"NUL", keyA + "\n" + strings.Repeat("\x00", 100), "line 2: it holds the control character U+0000"},
		{"escape in a comment", keyA + " # \x1b[31m\n", "line 1: it holds the control character U+001B"},
		{"C1 control", keyA + " # \u009b31m\n", "line 1: it holds the control character U+009B"},
		{"carriage returns only", keyA + "\r" + keyA + "\r", "line 1: it holds the control character U+000D"},
		{"not UTF-8", keyA + "\n# \xff\n", "line 2: it is not UTF-8"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := policy.ParsePeers(strings.NewReader(row.text))
			var at *policy.LineError
			if got != nil || !errors.As(err, &at) || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("got %v, %v, want %q", got, err, row.want)
			}
			if at != nil && errors.Unwrap(err) != at.Err {
				t.Errorf("unwrapped: %v", errors.Unwrap(err))
			}
		})
	}
}

func TestParsePeersLimits(t *testing.T) {
	longest := keyA + " #" + strings.Repeat("x", 4096-len(keyA+" #"))
	for _, end := range []string{"\n", "\r\n"} {
		if got := peers(t, longest+end+line(2, "")); len(got) != 2 {
			t.Errorf("4096 bytes and %q: %d peers, want 2", end, len(got))
		}
	}
	if got := peers(t, longest); len(got) != 1 {
		t.Errorf("4096 bytes and no end: %d peers, want 1", len(got))
	}
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader(keyA+"\n"+keyA[:10]), iotest.ErrReader(broken))
	if got, err := policy.ParsePeers(r); !errors.Is(err, broken) || got != nil {
		t.Errorf("a reader that breaks: %v, %v", got, err)
	}
}

func TestParseRevoked(t *testing.T) {
	text := "# gone\n" + keyA + " # stolen\n" + line(2, "") + keyA + "# again\n"
	got, err := policy.ParseRevoked(strings.NewReader(text))
	a, _ := policy.ParseKey(keyA)
	if want := map[policy.Key]string{a: "stolen", key(2): ""}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for text, want := range map[string]string{
		line(2, "") + keyA[:30]: "line 2: policy: a key",
		keyA + " own=a\n":       `line 1: "own=a" behind the key`,
		"\x00":                  "line 1: it holds",
	} {
		if got, err := policy.ParseRevoked(strings.NewReader(text)); got != nil || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", text, got, err, want)
		}
	}
}

// text writes a peer as a line, to be read again.
func text(p policy.Peer) string {
	words := []string{policy.KeyText(p.Key)}
	for _, o := range options(p) {
		words = append(words, o.String())
	}
	return strings.Join(words, " ") + " # " + p.Comment + "\n"
}

// options are those that a line of p has.
func options(p policy.Peer) (all []policy.Option) {
	add := func(name string, value any) { all = append(all, policy.Option{Name: name, Value: fmt.Sprint(value)}) }
	for _, list := range []struct {
		name     string
		patterns []policy.Pattern
	}{{"own", p.Own}, {"see", p.See}, {"talk", p.Talk}} {
		var texts []string
		for _, pattern := range list.patterns {
			texts = append(texts, pattern.String())
		}
		if len(texts) > 0 {
			add(list.name, strings.Join(texts, ","))
		}
	}
	if p.HasLevel {
		add("level", p.Level)
	}
	if p.Tenant != "" {
		add("tenant", p.Tenant)
	}
	if p.Rate != (policy.Rate{}) {
		add("rate", p.Rate)
	}
	if p.Admin {
		add("admin", true)
	}
	return all
}

// What is read can be written, and read again with the same result.
func FuzzParsePeers(f *testing.F) {
	for _, seed := range []string{
		"", "\n#\n", keyA, keyA + " # c", keyA + " own=a", keyA + "\n" + keyA, "@x.ed25519", "\xff\x00", keyA + "\r\n" + line(2, "admin"),
		keyA + " own=a,acme/b see=*/** talk=beta/** level=verified tenant=acme admin rate=1/2 # c\n", keyA + " tenant=default#\t\n",
		keyA + " own=a own=b", keyA + " own=", keyA + " level=5", keyA + " rate=1/0", keyA + " own=*/a", keyA + " tenant=../x",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := policy.ParsePeers(bytes.NewReader(in))
		if err != nil {
			var at *policy.LineError
			if got != nil || !errors.As(err, &at) || at.Line < 1 || at.Line > bytes.Count(in, []byte("\n"))+1 {
				t.Fatalf("got %v with %v", got, err)
			}
			return
		}
		var b strings.Builder
		for i := range got {
			b.WriteString(text(got[i]))
			if lines := strings.Split(string(in), "\n"); !strings.Contains(lines[got[i].Line-1], policy.KeyText(got[i].Key)) {
				t.Fatalf("line %d does not hold its key: %q", got[i].Line, in)
			}
			got[i].Line = i + 1
		}
		if again := peers(t, b.String()); !reflect.DeepEqual(got, again) {
			t.Fatalf("read %+v\nagain %+v", got, again)
		}
	})
}

func TestKeyText(t *testing.T) {
	for n := range 256 {
		k := policy.Key{}
		for i := range k {
			k[i] = byte(n * (i + 1))
		}
		text := policy.KeyText(k)
		if got, err := policy.ParseKey(text); err != nil || got != k {
			t.Fatalf("%s: %x, %v, want %x", text, got, err, k)
		}
		// The last digit has two spare bits, so that four digits stand for each key.
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		at := len("@") + base64.StdEncoding.EncodedLen(32) - 2
		spellings := 0
		for _, d := range digits {
			if got, err := policy.ParseKey(text[:at] + string(d) + text[at+1:]); err == nil && got == k {
				spellings++
			}
		}
		if spellings != 1 {
			t.Fatalf("%s: %d spellings, want 1", text, spellings)
		}
	}
	if _, err := policy.ParseKey("@7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJW\r\n=.ed25519"); !errors.Is(err, policy.ErrKey) {
		t.Errorf("with a line end: %v", err)
	}
}
