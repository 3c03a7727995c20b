package policy

import (
	"errors"
	"fmt"
)

// Key is the proven public key of a peer.
type Key = [32]byte

// Verb is what a peer wants to do with an Object. Own implies Talk, and Talk
// implies See; Admin stands beside them and concerns no object.
type Verb uint8

// The verbs.
const (
	See Verb = iota
	Talk
	Own
	Admin
)

// String returns the verb as authorized_peers writes it.
func (v Verb) String() string {
	switch v {
	case See:
		return "see"
	case Talk:
		return "talk"
	case Own:
		return "own"
	case Admin:
		return "admin"
	}
	return fmt.Sprintf("verb %d", uint8(v))
}

// ErrVerb says that a text is no verb.
var ErrVerb = errors.New("policy: a verb is see, talk, own or admin")

// ParseVerb reads a verb.
func ParseVerb(s string) (Verb, error) {
	for _, v := range []Verb{See, Talk, Own, Admin} {
		if s == v.String() {
			return v, nil
		}
	}
	return 0, ErrVerb
}

// Level is how far a peer is trusted: a name for a Bundle of rights and, in the
// server, for its limits. No level includes another; code asks for a level by name
// and never whether one is higher.
type Level uint8

// The levels. The zero Level is Untrusted.
const (
	Untrusted Level = iota
	Basic
	Trusted
	Verified
)

// Levels returns all levels.
func Levels() []Level { return []Level{Untrusted, Basic, Trusted, Verified} }

// String returns the level as authorized_peers writes it.
func (l Level) String() string {
	switch l {
	case Untrusted:
		return "untrusted"
	case Basic:
		return "basic"
	case Trusted:
		return "trusted"
	case Verified:
		return "verified"
	}
	return fmt.Sprintf("level %d", uint8(l))
}

// ErrLevel says that a text is no level.
var ErrLevel = errors.New("policy: a level is untrusted, basic, trusted or verified")

// ParseLevel reads a level.
func ParseLevel(s string) (Level, error) {
	for _, l := range Levels() {
		if s == l.String() {
			return l, nil
		}
	}
	return 0, ErrLevel
}

// outranks reports whether an untrusted caller may not talk to what l owns.
func (l Level) outranks(caller Level) bool {
	return caller == Untrusted && (l == Trusted || l == Verified)
}
