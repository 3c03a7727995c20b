package policy

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Peer is one line of an authorized_peers file.
type Peer struct {
	Key            Key
	Own, See, Talk []Pattern
	Level          Level // if HasLevel
	HasLevel       bool
	Tenant         string
	Admin          bool
	Rate           Rate   // zero: none
	Expires        int64  // ms since the Unix epoch; 0: never. New does not look at it: see Valid
	Next           Key    // the key that has taken the place of this one; zero: none
	Redeemer       Key    // of an invite: who is redeeming it; zero: nobody
	Comment        string // without the "#"
	Line           int    // from 1
}

// HasRights reports whether rights of its own stand on the line. Else those of its
// level hold.
func (p Peer) HasRights() bool { return len(p.Own)+len(p.See)+len(p.Talk) > 0 }

// ParsePeers reads an authorized_peers file: one key on a line, its options in any
// order, and a comment.
//
//	@7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=.ed25519 own=org.example.* talk=**,beta/org.** level=basic tenant=acme rate=100/60 # build
//
// The options are own=, see= and talk= with patterns between commas, level=L,
// tenant=T, rate=N/SECONDS, expires=TIME, next=KEY and the bare word admin, each once.
// A line with expires= counts until that moment; one with next= as well is of a key
// that was rotated. Empty lines and lines that are only a comment are skipped.
// Anything else is a *LineError: an unknown
// option, an empty value, a pattern twice in one option, one under own= that speaks
// of another tenant, a key twice, a line over 4 KiB, a control character, bytes that
// are not UTF-8. The result is in the order of the lines, and nil with an error.
func ParsePeers(r io.Reader) ([]Peer, error) { return parseFile(r, peersFile) }

// parseFile reads a file of peers or of invites.
func parseFile(r io.Reader, f file) ([]Peer, error) {
	peers := make([]Peer, 0)
	lines := make(map[Key]int)
	err := eachLine(r, func(n int, line string) error {
		p, ok, err := f.parseLine(line)
		if err != nil || !ok {
			return err
		}
		if first, twice := lines[p.Key]; twice {
			return fmt.Errorf("the key stands on line %d already", first)
		}
		p.Line = n
		lines[p.Key] = n
		peers = append(peers, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return peers, nil
}

// ParseRevoked reads a revoked_peers file: a key on each line, with a comment, and
// nothing else. The result maps each key to its first comment. A key may come twice,
// for the file only grows.
func ParseRevoked(r io.Reader) (map[Key]string, error) {
	revoked := make(map[Key]string)
	err := eachLine(r, func(_ int, line string) error {
		words, comment := split(line)
		if len(words) == 0 {
			return nil
		}
		key, err := ParseKey(words[0].text)
		if err != nil {
			return err
		}
		if len(words) > 1 {
			return fmt.Errorf("%.64q behind the key; a line is a key and an optional # comment", words[1].text)
		}
		if _, twice := revoked[key]; !twice {
			revoked[key] = comment
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return revoked, nil
}

// parseLine reads one line; false if there is no peer on it.
func (f file) parseLine(line string) (p Peer, ok bool, err error) {
	words, comment := split(line)
	if len(words) == 0 {
		return Peer{}, false, nil
	}
	if p.Key, err = ParseKey(words[0].text); err != nil {
		return Peer{}, false, err
	}
	p.Comment = comment
	var seen []string
	for _, w := range words[1:] {
		name, value, isOption := strings.Cut(w.text, "=")
		if slices.Contains(seen, name) {
			return Peer{}, false, fmt.Errorf("%s stands twice", name)
		}
		seen = append(seen, name)
		if name == optionAdmin && !isOption {
			value = adminValue
		} else if name == optionAdmin {
			return Peer{}, false, errAdmin
		}
		if err := f.set(&p, Option{name, value}); err != nil {
			return Peer{}, false, err
		}
	}
	if err := f.check(&p); err != nil {
		return Peer{}, false, err
	}
	return p, true, nil
}

var (
	errTwice = errors.New("a pattern stands twice")
	errCross = errors.New("own= never crosses tenants")
)

func parsePatterns(list string) ([]Pattern, error) {
	var all []Pattern
	for text := range strings.SplitSeq(list, ",") {
		p, err := ParsePattern(text)
		if err != nil {
			return nil, err
		}
		if slices.Contains(all, p) {
			return nil, errTwice
		}
		all = append(all, p)
	}
	return all, nil
}

// check looks at what options mean together.
func (p *Peer) check() error {
	for _, pattern := range p.Own {
		if !pattern.covers(p.Tenant, p.Tenant) {
			return fmt.Errorf("%w, and %s is not the tenant of %.64q", errCross, TenantText(p.Tenant), pattern)
		}
	}
	return nil
}
