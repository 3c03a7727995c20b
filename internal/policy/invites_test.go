package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/policy"
)

// The file of invites has the lines of authorized_peers, each with an end, and
// gives nobody the rights of an administrator.
func TestParseInvites(t *testing.T) {
	k := policy.KeyText(key(1))
	good := k + " own=org.example.* level=basic expires=2027-01-31T12:00:00Z peer=" + policy.KeyText(key(2)) + " # for bob\n"
	got, err := policy.ParseInvites(strings.NewReader(good))
	if err != nil || len(got) != 1 || got[0].Redeemer != key(2) || got[0].Comment != "for bob" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got[0].Valid(time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)) || !got[0].Valid(time.Date(2027, 1, 31, 11, 59, 59, 0, time.UTC)) {
		t.Error("it ends at another time than it says")
	}
	var texts []string
	for _, o := range got[0].Options() {
		texts = append(texts, o.String())
		if back, err := policy.ParseOption(o.String()); err != nil || back != o {
			t.Errorf("ParseOption(%q) = %v, %v", o, back, err)
		}
	}
	if line := strings.Join(texts, " "); !strings.Contains(good, k+" "+line+" #") {
		t.Errorf("the options are %s", line)
	}
	for _, bad := range []string{
		k, k + " admin expires=2027-01-31T12:00:00Z", k + " expires=", k + " expires=2027-01-31T12:00:00Z peer=x",
		k + " expires=2027-01-31T12:00:00Z next=" + policy.KeyText(key(2)),
		k + " expires=2027-01-31T12:00:00Z own=beta/x", k[:40], k + " expires=2027-01-31",
	} {
		if got, err := policy.ParseInvites(strings.NewReader(bad)); err == nil {
			t.Errorf("%s: got %+v", bad, got)
		} else if _, ok := errors.AsType[*policy.LineError](err); !ok {
			t.Errorf("%s: %v names no line", bad, err)
		}
	}
}

func TestParseOption(t *testing.T) {
	for text, want := range map[string]policy.Option{
		"own=a,b": {Name: "own", Value: "a,b"}, "own=": {Name: "own"}, "admin": {Name: "admin", Value: "true"}, "admin=": {Name: "admin"},
	} {
		if got, err := policy.ParseOption(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "own", "admin=true", "admin=yes"} {
		if got, err := policy.ParseOption(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// A rotated key's line is that of the new key; the old one has the same rights
// until it expires.
func TestEditRotate(t *testing.T) {
	a, b, c := policy.KeyText(key(1)), policy.KeyText(key(2)), policy.KeyText(key(3))
	until := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC).UnixMilli()
	rotate := func(from, to byte) policy.Change {
		return policy.Change{Action: policy.Rotate, Key: key(from), To: key(to), Until: until}
	}
	old := " expires=2027-01-31T12:00:00Z next=" + b
	for _, tc := range []struct {
		name, text, want string
		change           policy.Change
		err              error
	}{
		{"in the middle", "# x\n" + a + "  own=**  # build\r\n" + c + "\n",
			"# x\n" + b + "  own=**  # build\r\n" + a + "  own=**" + old + "  # build\r\n" + c + "\n", rotate(1, 2), nil},
		{"without an end", a, b + "\n" + a + old, rotate(1, 2), nil},
		{"nobody", c, "", rotate(1, 2), policy.ErrNoPeer},
		{"to a peer", a + "\n" + b, "", rotate(1, 2), policy.ErrPeer},
		{"again", b + "\n" + a + old, "", rotate(1, 3), policy.ErrRotated},
	} {
		got, err := policy.Edit([]byte(tc.text), tc.change)
		if string(got) != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%s: got %q, %v", tc.name, got, err)
		}
	}
}
