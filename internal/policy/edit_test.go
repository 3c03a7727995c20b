package policy_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/policy"
	"pgregory.net/rapid"
)

func opt(name, value string) policy.Option { return policy.Option{Name: name, Value: value} }

func add(n byte, comment string, options ...policy.Option) policy.Change {
	return policy.Change{Action: policy.Add, Key: key(n), Comment: comment, Options: options}
}

func set(n byte, options ...policy.Option) policy.Change {
	return policy.Change{Action: policy.Set, Key: key(n), Options: options}
}

func remove(n byte) policy.Change { return policy.Change{Action: policy.Remove, Key: key(n)} }

func TestEdit(t *testing.T) {
	k := func(n byte) string { return policy.KeyText(key(n)) }
	for _, row := range []struct {
		name, before string
		changes      []policy.Change
		after        string
	}{
		{"nothing", "# x\n\n", nil, "# x\n\n"},
		{"the first", "", []policy.Change{add(1, "")}, k(1) + "\n"},
		{"one more", "# x\n" + k(1) + "\n", []policy.Change{add(2, "the build", opt("own", "a,b"), opt("admin", "true"), opt("rate", "1/2"))},
			"# x\n" + k(1) + "\n" + k(2) + " own=a,b admin rate=1/2 # the build\n"},
		{"behind a line without an end", k(1), []policy.Change{add(2, " x # y\t")}, k(1) + "\n" + k(2) + " # x # y\n"},
		{"with carriage returns", "#\r\n" + k(1), []policy.Change{add(2, "")}, "#\r\n" + k(1) + "\r\n" + k(2) + "\r\n"},
		{"behind mixed ends", "#\r\n" + k(1) + "\n", []policy.Change{add(2, "")}, "#\r\n" + k(1) + "\n" + k(2) + "\n"},

		{"set a new option", k(1) + "\n", []policy.Change{set(1, opt("level", "basic"))}, k(1) + " level=basic\n"},
		{"set before a comment", k(1) + "   # x\r\n" + k(2), []policy.Change{set(1, opt("admin", "true"))}, k(1) + " admin   # x\r\n" + k(2)},
		{"set before a comment that touches", k(1) + "#x", []policy.Change{set(1, opt("see", "**"))}, k(1) + " see=**#x"},
		{"set one that is there", "\t" + k(1) + "  own=a\t level=basic  talk=b # own=c\n#\n", []policy.Change{set(1, opt("level", "trusted"))},
			"\t" + k(1) + "  own=a\t level=trusted  talk=b # own=c\n#\n"},
		{"take one away", k(1) + "  own=a\t level=basic  talk=b\n", []policy.Change{set(1, opt("level", ""))}, k(1) + "  own=a  talk=b\n"},
		{"take the last away", k(1) + " own=a admin # x\n", []policy.Change{set(1, opt("admin", ""))}, k(1) + " own=a # x\n"},
		{"take away what is not there", k(1) + " own=a \n", []policy.Change{set(1, opt("admin", ""), opt("rate", ""))}, k(1) + " own=a \n"},
		{"several", k(1) + " own=a see=b\n", []policy.Change{set(1, opt("own", ""), opt("see", "c"), opt("tenant", "acme"))}, k(1) + " see=c tenant=acme\n"},
		{"nothing set", k(1) + " own=a  \n", []policy.Change{set(1)}, k(1) + " own=a  \n"},
		{"own follows the tenant", k(1) + " tenant=acme own=acme/x\n", []policy.Change{set(1, opt("tenant", "beta"), opt("own", "beta/x"))}, k(1) + " tenant=beta own=beta/x\n"},

		{"remove", "#\n" + k(1) + " own=a # x\r\n" + k(2) + "\n", []policy.Change{remove(1)}, "#\n" + k(2) + "\n"},
		{"remove the last", "#\r\n" + k(1), []policy.Change{remove(1)}, "#\r\n"},
		{"remove and add", k(1) + "\n" + k(2) + "\n", []policy.Change{remove(1), add(1, ""), set(1, opt("admin", "true"))}, k(2) + "\n" + k(1) + " admin\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := []byte(row.before)
			after, err := policy.Edit(before, row.changes...)
			if err != nil || string(after) != row.after {
				t.Errorf("got %q, %v\nwant %q", after, err, row.after)
			}
			if string(before) != row.before {
				t.Errorf("the text itself is now %q", before)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	text := line(1, "own=acme/a tenant=acme # x") + line(2, "")
	long := make([]string, 40)
	for i := range long {
		long[i] = fmt.Sprint(strings.Repeat("x", 100), i)
	}
	for _, row := range []struct {
		name   string
		change policy.Change
		want   string
	}{
		{"add twice", add(1, ""), policy.ErrPeer.Error()},
		{"set nobody", set(3, opt("level", "basic")), policy.ErrNoPeer.Error()},
		{"remove nobody", remove(3), policy.ErrNoPeer.Error()},
		{"no such action", policy.Change{Action: 9, Key: key(1)}, "policy: no action 9"},
		{"unknown option", set(1, opt("colour", "red")), `unknown option "colour"`},
		{"unknown option taken away", set(1, opt("colour", "")), `unknown option "colour"`},
		{"unknown option added", add(3, "", opt("a b", "")), `unknown option "a b"`},
		{"empty when added", add(3, "", opt("own", "")), `own=""`},
		{"the same option twice", set(1, opt("own", "a"), opt("own", "")), "own stands twice"},
		{"a second option within", set(2, opt("own", "a admin")), `own="a admin": names: invalid`},
		{"a second option within a level", set(2, opt("level", "basic admin")), `level="basic admin"`},
		{"a second line within", set(2, opt("tenant", "a\n"+line(3, "admin"))), `tenant="a\n`},
		{"a comment within", set(2, opt("see", "a#")), `see="a#"`},
		{"admin with another value", set(1, opt("admin", "yes")), "admin is a bare word"},
		{"a bad rate", set(1, opt("rate", "many")), `rate="many"`},
		{"a second line in the comment", add(3, "x\n"+line(4, "admin")), "the comment: it holds the control character U+000A"},
		{"a carriage return in the comment", add(3, "x\ry"), "the comment: it holds the control character U+000D"},
		{"a comment that is no text", add(3, "\xff"), "the comment: it is not UTF-8"},
		{"own of another tenant", set(1, opt("tenant", "beta")), "line 1: own= never crosses tenants"},
		{"own of others when added", add(3, "", opt("own", "*/x")), "line 3: own= never crosses"},
		{"a line too long", set(2, opt("own", strings.Join(long, ","))), "line 2: it is longer than 4096 bytes"},
		{"a comment too long", add(3, strings.Repeat("x", 4096)), "line 3: it is longer than 4096 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := policy.Edit([]byte(text), row.change)
			if got != nil || err == nil || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("got %q, %v, want %s", got, err, row.want)
			}
		})
	}
	if _, err := policy.Edit([]byte(text), add(1, "")); !errors.Is(err, policy.ErrPeer) {
		t.Errorf("got %v, want ErrPeer", err)
	}
	if _, err := policy.Edit([]byte(text), remove(3)); !errors.Is(err, policy.ErrNoPeer) {
		t.Errorf("got %v, want ErrNoPeer", err)
	}
	for _, change := range [][]policy.Change{nil, {remove(1)}} { // a bad text is mended by nobody but its owner
		var at *policy.LineError
		if got, err := policy.Edit([]byte(line(1, "")+"hello\n"), change...); got != nil || !errors.As(err, &at) || at.Line != 2 {
			t.Errorf("a bad text: %q, %v", got, err)
		}
	}
}

var drawOptions = map[string][]string{
	"own":    {"", "**", "a,b.*", "default/x", "acme/x", "acme/x,y", "*/x", "a a", "a\n"},
	"see":    {"", "**", "**,*/**", "beta/**,a", "", "a,,b"},
	"talk":   {"", "org.example.**", "*/a.*.b", "a,a"},
	"level":  {"", "untrusted", "basic", "trusted", "verified", "admin"},
	"tenant": {"", "default", "acme", "beta", "A"},
	"rate":   {"", "100/60", "1/1", "0/1"},
	"admin":  {"", "true", "1"},
}

// drawText is a file of peers 1 to 4, of comments and of empty lines.
func drawText(t *rapid.T) string {
	var b strings.Builder
	left := []byte{1, 2, 3, 4}
	for range rapid.IntRange(0, 6).Draw(t, "lines") {
		blank := rapid.SampledFrom([]string{" ", "  ", "\t"})
		if len(left) > 0 && rapid.Bool().Draw(t, "peer") {
			b.WriteString(rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "indent") + policy.KeyText(key(left[0])))
			left = left[1:]
			for _, o := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"own=a.**", "see=*/b", "talk=c,acme/d", "level=basic", "tenant=acme", "rate=5/1", "admin"}), 0, 7,
				rapid.ID).Draw(t, "options") {
				b.WriteString(blank.Draw(t, "blank") + o)
			}
		}
		b.WriteString(rapid.SampledFrom([]string{"", " ", "# x", "#", " # own=** # y\t", "#ü "}).Draw(t, "comment"))
		b.WriteString(rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end"))
	}
	text := b.String()
	if rapid.Bool().Draw(t, "cut") {
		text = strings.TrimRight(text, "\r\n")
	}
	return text
}

func drawChange(t *rapid.T) policy.Change {
	c := policy.Change{Key: key(rapid.ByteRange(1, 5).Draw(t, "key"))}
	c.Action = rapid.SampledFrom([]policy.Action{policy.Add, policy.Set, policy.Set, policy.Remove}).Draw(t, "action")
	if c.Action == policy.Remove {
		return c
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"own", "see", "talk", "level", "tenant", "rate", "admin"}), 0, 4, rapid.ID).Draw(t, "names") {
		c.Options = append(c.Options, opt(name, rapid.SampledFrom(drawOptions[name]).Draw(t, name)))
	}
	if c.Action == policy.Add {
		c.Comment = rapid.OneOf(rapid.Just(""), rapid.Just(" the # build "), rapid.String()).Draw(t, "comment")
	}
	return c
}

// wanted is what a change means, said of peers; false if it cannot be.
func wanted(all []policy.Peer, c policy.Change) ([]policy.Peer, bool) {
	i := slices.IndexFunc(all, func(p policy.Peer) bool { return p.Key == c.Key })
	if (c.Action == policy.Add) != (i < 0) {
		return nil, false
	}
	if c.Action == policy.Remove {
		return slices.Delete(slices.Clone(all), i, i+1), true
	}
	all = slices.Clone(all)
	if i < 0 {
		i = len(all)
		all = append(all, policy.Peer{Key: c.Key, Comment: strings.Trim(c.Comment, " \t")})
	}
	values := make(map[string]string)
	for _, o := range options(all[i]) {
		values[o.Name] = o.Value
	}
	for _, o := range c.Options {
		if o.Value == "" && c.Action == policy.Add {
			return nil, false
		}
		values[o.Name] = o.Value
	}
	words := policy.KeyText(c.Key)
	for name, value := range values {
		if strings.ContainsAny(value, " \n") || name == "admin" && value != "true" && value != "" {
			return nil, false
		}
		if value != "" {
			words += " " + opt(name, value).String()
		}
	}
	got, err := policy.ParsePeers(strings.NewReader(words))
	if err != nil {
		return nil, false
	}
	got[0].Comment = all[i].Comment
	all[i] = got[0]
	return all, true
}

// checkEdit: a change does what it says and nothing else.
func checkEdit(t *rapid.T) {
	text := drawText(t)
	c := drawChange(t)
	before, err := policy.ParsePeers(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	after, err := policy.Edit([]byte(text), c)
	want, possible := wanted(before, c)
	if err != nil {
		bad := strings.ContainsFunc(c.Comment, func(r rune) bool { return r < ' ' && r != '\t' || '\x7f' <= r && r < '\xa0' })
		if after != nil || possible && !bad {
			t.Fatalf("%+v in %q: %q, %v", c, text, after, err)
		}
		return
	}
	got, err := policy.ParsePeers(bytes.NewReader(after))
	if err != nil || !possible {
		t.Fatalf("%+v in %q: %q, %v, possible: %v", c, text, after, err, possible)
	}
	for _, list := range [][]policy.Peer{got, want} {
		for i := range list {
			list[i].Line = 0
		}
	}
	if !slices.EqualFunc(got, want, func(a, b policy.Peer) bool { return reflect.DeepEqual(a, b) }) {
		t.Fatalf("%+v in %q: %q\nis   %+v\nwant %+v", c, text, after, got, want)
	}
	if a, b := others(text, c.Key), others(string(after), c.Key); a != b && (c.Action != policy.Add || strings.TrimRight(a, "\r\n") != strings.TrimRight(b, "\r\n")) {
		t.Fatalf("%+v: the other lines were %q and are %q", c, a, b)
	}
}

// others is text without the line of a key.
func others(text string, k policy.Key) string {
	return strings.Join(slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(line string) bool {
		return strings.HasPrefix(strings.TrimLeft(line, " \t"), policy.KeyText(k))
	}), "")
}

func TestEditRandom(t *testing.T) { rapid.Check(t, checkEdit) }

func FuzzEdit(f *testing.F) {
	f.Add(bytes.Repeat([]byte("some bytes from which a file and a change are drawn"), 40))
	f.Add(bytes.Repeat([]byte{0x80, 1, 0, 7, 0xff}, 200))
	f.Fuzz(rapid.MakeFuzz(checkEdit))
}
