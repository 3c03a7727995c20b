package control

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Args is the argument object of a method.
type Args interface {
	// field returns a pointer to the field of a name, or nil.
	field(name string) any
}

// Decode reads the one argument object of a call. Field names match by exact
// case (encoding/json alone would take any case), unknown fields are ignored,
// and no argument is an empty object. That args are well-formed JSON, their
// nesting and repeated fields were checked when the packet was parsed. Errors
// are *Error with BadRequest.
func Decode(args []json.RawMessage, v Args) error {
	switch {
	case len(args) == 0:
		return nil
	case len(args) > 1:
		return BadRequest.With("args holds one object, or nothing")
	}
	if quick(args[0], v) {
		return nil
	}
	return decodeFields(args[0], v)
}

// decodeFields is Decode of any object.
func decodeFields(arg json.RawMessage, v Args) error {
	s := scanner{b: arg}
	if !s.next('{') {
		return BadRequest.With("the argument is not an object")
	}
	if s.next('}') {
		return nil
	}
	for {
		name, ok := text(s.value())
		if !ok || !s.next(':') {
			return BadRequest.With("the argument is not an object")
		}
		value := s.value()
		if p := v.field(name); p != nil && !set(p, value) {
			return BadRequest.With(fmt.Sprintf("field %q has the wrong type or form", name))
		}
		if !s.next(',') {
			return nil
		}
	}
}

// set stores a value in the field at p, as json.Unmarshal does.
func set(p any, value []byte) bool {
	switch p := p.(type) {
	case *string:
		if s, ok := text(value); ok {
			*p = s
			return true
		}
	case *bool:
		if string(value) == "true" {
			*p = true
			return true
		}
	case *json.RawMessage:
		*p = bytes.Clone(value)
		return true
	}
	return json.Unmarshal(value, p) == nil
}

// text is the string in a value.
func text(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	var s string
	return s, json.Unmarshal(value, &s) == nil
}

// scanner splits JSON that is known to be well-formed.
type scanner struct {
	b []byte
	i int
}

// next skips spaces, and c if it comes next.
func (s *scanner) next(c byte) bool {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\r' || s.b[s.i] == '\n') {
		s.i++
	}
	if s.i == len(s.b) || s.b[s.i] != c {
		return false
	}
	s.i++
	return true
}

// value returns the next value's bytes.
func (s *scanner) value() []byte {
	s.next(0) // only spaces: 0 is nowhere in JSON
	begin, depth := s.i, 0
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case '"':
			s.skipText()
			if depth == 0 {
				return s.b[begin:s.i]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return s.b[begin:s.i]
			}
			if depth--; depth == 0 {
				s.i++
				return s.b[begin:s.i]
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return s.b[begin:s.i]
			}
		}
		s.i++
	}
	return s.b[begin:]
}

// skipText skips a string.
func (s *scanner) skipText() {
	for s.i++; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			return
		}
	}
	s.i = len(s.b)
}

// DecodeAnswer reads the server's answer as package json does: the server is
// trusted to say everything once.
func DecodeAnswer(raw json.RawMessage, v any) error {
	if quick(raw, v) {
		return nil
	}
	return json.Unmarshal(raw, v)
}
