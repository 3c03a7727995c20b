package policy

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The options of a line.
const (
	optionOwn     = "own"
	optionSee     = "see"
	optionTalk    = "talk"
	optionLevel   = "level"
	optionTenant  = "tenant"
	optionRate    = "rate"
	optionAdmin   = "admin"
	optionExpires = "expires"
	optionNext    = "next"
	optionPeer    = "peer"

	adminValue = "true" // of the bare word, in an Option
)

// file is a kind of file of lines, by the options that its lines may have.
type file []string

// The files of a key and its options on each line.
var (
	peersFile   = file{optionOwn, optionSee, optionTalk, optionLevel, optionTenant, optionRate, optionExpires, optionNext, optionAdmin}
	invitesFile = file{optionOwn, optionSee, optionTalk, optionLevel, optionTenant, optionRate, optionExpires, optionPeer}
)

// ParseInvites reads a file of invites, which has the lines of authorized_peers: the
// key of each is that of the invite, the options are those that whoever redeems it
// will have, and expires=TIME, which must be there. There is no admin and no next. A
// line with peer=KEY is of an invite which that key is redeeming.
func ParseInvites(r io.Reader) ([]Peer, error) { return parseFile(r, invitesFile) }

// EditInvites is Edit of a file of invites.
func EditInvites(text []byte, changes ...Change) ([]byte, error) {
	return invitesFile.edit(text, changes)
}

// Options returns the options of a peer as its line could write them, but for the
// comment: each "own=…" or the like, or the bare word admin.
func (p Peer) Options() []Option {
	var all []Option
	add := func(name, value string) {
		if value != "" {
			all = append(all, Option{name, value})
		}
	}
	add(optionOwn, joinPatterns(p.Own))
	add(optionSee, joinPatterns(p.See))
	add(optionTalk, joinPatterns(p.Talk))
	if p.HasLevel {
		add(optionLevel, p.Level.String())
	}
	if p.Tenant != "" {
		add(optionTenant, p.Tenant)
	}
	if p.Rate != (Rate{}) {
		add(optionRate, p.Rate.String())
	}
	if p.Admin {
		add(optionAdmin, adminValue)
	}
	if p.Expires != 0 {
		add(optionExpires, FormatExpires(p.Expires))
	}
	if p.Next != (Key{}) {
		add(optionNext, KeyText(p.Next))
	}
	if p.Redeemer != (Key{}) {
		add(optionPeer, KeyText(p.Redeemer))
	}
	return all
}

func joinPatterns(all []Pattern) string {
	texts := make([]string, len(all))
	for i, p := range all {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}

// ParseOption reads an option as Option.String writes it; "own=" has no value, which
// takes the option away in Set, as "admin=" does.
func ParseOption(text string) (Option, error) {
	name, value, isOption := strings.Cut(text, "=")
	switch {
	case name == optionAdmin && !isOption:
		value = adminValue
	case !isOption, name == optionAdmin && value != "":
		return Option{}, fmt.Errorf("option %.64q: want name=value, or %s", text, optionAdmin)
	}
	return Option{name, value}, nil
}

// Valid reports whether the line of a peer counts at a moment.
func (p Peer) Valid(now time.Time) bool { return p.Expires == 0 || now.UnixMilli() < p.Expires }

var errExpires = errors.New("want a time in UTC to the second, such as 2027-01-31T12:00:00Z")

// ParseExpires reads a time in its one spelling. It returns ms since the Unix epoch.
func ParseExpires(s string) (int64, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || FormatExpires(t.UnixMilli()) != s || t.UnixMilli() <= 0 {
		return 0, errExpires
	}
	return t.UnixMilli(), nil
}

// FormatExpires writes ms since the Unix epoch as ParseExpires reads them, to the
// second.
func FormatExpires(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

var errAdmin = errors.New("admin is a bare word")

// set reads the value of one option, which must not be empty.
func (f file) set(p *Peer, o Option) (err error) {
	if !slices.Contains(f, o.Name) {
		return fmt.Errorf("unknown option %.64q; they are %s", o.Name, f.names())
	}
	switch o.Name {
	case optionOwn:
		p.Own, err = parsePatterns(o.Value)
	case optionSee:
		p.See, err = parsePatterns(o.Value)
	case optionTalk:
		p.Talk, err = parsePatterns(o.Value)
	case optionLevel:
		p.Level, err = ParseLevel(o.Value)
		p.HasLevel = true
	case optionTenant:
		p.Tenant, err = ParseTenant(o.Value)
	case optionRate:
		p.Rate, err = ParseRate(o.Value)
	case optionExpires:
		p.Expires, err = ParseExpires(o.Value)
	case optionNext:
		p.Next, err = ParseKey(o.Value)
	case optionPeer:
		p.Redeemer, err = ParseKey(o.Value)
	case optionAdmin:
		if o.Value != adminValue {
			return errAdmin
		}
		p.Admin = true
	}
	if err != nil {
		return fmt.Errorf("%s=%.64q: %w", o.Name, o.Value, err)
	}
	return nil
}

// names lists the options as a line writes them.
func (f file) names() string {
	var all []string
	for _, name := range f {
		if name != optionAdmin {
			name += "="
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

var (
	errNoExpiry = errors.New("an invite needs expires=")
	errNext     = errors.New("next= needs expires=, and another key")
)

// check looks at what options mean together.
func (f file) check(p *Peer) error {
	switch {
	case slices.Contains(f, optionPeer) && p.Expires == 0:
		return errNoExpiry
	case p.Next != (Key{}) && (p.Expires == 0 || p.Next == p.Key):
		return errNext
	}
	return p.check()
}
