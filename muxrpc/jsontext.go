package muxrpc

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a string whose opening quote is the next byte and returns it without quotes and escapes. Without an escape the
// result aliases the input.
func (c *checker) text() ([]byte, error) {
	c.i++
	begin := c.i
	for c.i < len(c.b) {
		switch ch := c.b[c.i]; {
		case ch == '"':
			c.i++
			return c.b[begin : c.i-1], nil
		case ch == '\\':
			return c.escaped(begin)
		case ch < ' ':
			return nil, errJSONSyntax
		}
		c.i++
	}
	return nil, errJSONSyntax
}

// escaped goes on where text met its first escape.
func (c *checker) escaped(begin int) ([]byte, error) {
	out := bytes.Clone(c.b[begin:c.i])
	for c.i < len(c.b) {
		switch ch := c.b[c.i]; {
		case ch == '"':
			c.i++
			return out, nil
		case ch == '\\':
			r, err := c.escape()
			if err != nil {
				return nil, err
			}
			out = utf8.AppendRune(out, r)
			continue
		case ch < ' ':
			return nil, errJSONSyntax
		default:
			out = append(out, ch)
		}
		c.i++
	}
	return nil, errJSONSyntax
}

// escape reads one escape, or the two that make a surrogate pair.
func (c *checker) escape() (rune, error) {
	if c.i+1 >= len(c.b) {
		return 0, errJSONSyntax
	}
	ch := c.b[c.i+1]
	if ch == 'u' {
		return c.unicode()
	}
	c.i += 2
	switch ch {
	case '"', '\\', '/':
		return rune(ch), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	}
	return 0, errJSONSyntax
}

func (c *checker) unicode() (rune, error) {
	r, ok := c.hex4()
	if !ok {
		return 0, errJSONSyntax
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	// Half a pair is no text: decoders replace it, so two different names could become one.
	low, ok := c.hex4()
	if !ok {
		return 0, errJSONUTF8
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, errJSONUTF8
	}
	return r, nil
}

// hex4 reads an escape of \u and four hex digits.
func (c *checker) hex4() (rune, bool) {
	if len(c.b)-c.i < 6 || c.b[c.i] != '\\' || c.b[c.i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, ch := range c.b[c.i+2 : c.i+6] {
		switch {
		case '0' <= ch && ch <= '9':
			ch -= '0'
		case 'a' <= ch && ch <= 'f':
			ch -= 'a' - 10
		case 'A' <= ch && ch <= 'F':
			ch -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(ch)
	}
	c.i += 6
	return r, true
}

const fewNames = 16 // so many names of all open objects are compared one by one

// pile is the few names of all open objects, the innermost's last.
type pile struct {
	names [fewNames][]byte
	n     int
}

// nameSet is the names met in one object. Few are on the pile and cost no allocation; where it has no room they go into a map,
// whose seeded hash keeps the time linear whatever names the peer chose.
type nameSet struct {
	base int // where the few begin on the pile
	many map[string]struct{}
}

// add reports whether name was new.
func (s *nameSet) add(name []byte, p *pile) bool {
	if s.many == nil {
		few := p.names[s.base:p.n]
		for _, have := range few {
			if bytes.Equal(have, name) {
				return false
			}
		}
		if p.n < fewNames {
			p.names[p.n] = name
			p.n++
			return true
		}
		s.many = make(map[string]struct{}, 2*fewNames)
		for _, have := range few {
			s.many[string(have)] = struct{}{}
		}
		p.n = s.base
	}
	before := len(s.many)
	s.many[string(name)] = struct{}{}
	return len(s.many) > before
}
