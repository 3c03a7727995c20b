package names

import (
	"errors"
	"fmt"
	"strings"
)

// maxPattern is one more than the longest name, because a trailing "**" stands
// for as little as one byte of it.
const maxPattern = maxName + 1

const (
	anyElement = "*"  // one whole element
	anyRest    = "**" // last only: one or more further elements; alone: every name
)

// ErrPattern says that a text is no pattern.
var ErrPattern = errors.New("names: invalid pattern")

// Pattern selects names by their elements. Its text is a name in which "*" may
// stand for one whole element and a trailing "**" for one or more further ones:
// "a.**" covers "a.b" and "a.b.c", not "a". "**" alone is every name.
//
// The zero Pattern is "**". Patterns compare with ==.
type Pattern struct {
	text string // "" for "**"
}

// ParsePattern reads a pattern of at most 256 bytes. The empty text is none: who
// means every name says "**" or uses the zero Pattern. Its error is ErrPattern,
// wrapped with what is wrong.
func ParsePattern(s string) (Pattern, error) {
	if len(s) == 0 || len(s) > maxPattern {
		return Pattern{}, fmt.Errorf("%w: %d bytes, not 1 to %d", ErrPattern, len(s), maxPattern)
	}
	if s == anyRest {
		return Pattern{}, nil
	}
	rest, more := s, true
	for number := 1; more; number++ {
		var element string
		element, rest, more = strings.Cut(rest, ".")
		if element == anyElement || element == anyRest && !more {
			continue
		}
		if element == anyRest {
			return Pattern{}, fmt.Errorf("%w: element %d is ** but not the last", ErrPattern, number)
		}
		if fault := checkElement(element); fault != "" {
			return Pattern{}, fmt.Errorf("%w: element %d %s", ErrPattern, number, fault)
		}
	}
	return Pattern{text: s}, nil
}

// Match reports whether p covers n. It allocates nothing.
func (p Pattern) Match(n Name) bool {
	if p.text == "" {
		return true
	}
	pattern, name := p.text, string(n)
	for {
		want, patternRest, patternMore := strings.Cut(pattern, ".")
		if want == anyRest {
			return true // the name has at least this one element more
		}
		got, nameRest, nameMore := strings.Cut(name, ".")
		if want != anyElement && want != got || patternMore != nameMore {
			return false
		}
		if !patternMore {
			return true
		}
		pattern, name = patternRest, nameRest
	}
}

// String returns the text of p, which ParsePattern reads back as p.
func (p Pattern) String() string {
	if p.text == "" {
		return anyRest
	}
	return p.text
}
