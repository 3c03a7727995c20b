package muxrpc

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

const maxNesting = 16 // arrays and objects inside one another

var (
	errJSONUTF8    = errors.New("not UTF-8")
	errJSONSyntax  = errors.New("not JSON")
	errJSONNesting = errors.New("nested too deep")
	errJSONRepeat  = errors.New("repeated field name")
)

// checkJSON reports whether b is one JSON text in the profile of PROTOCOL.md §4: UTF-8 (so no half of a surrogate pair in
// an escape either), at most maxNesting levels, no field name twice in one object, compared after unescaping. It
// needs linear time and no stack of the peer's depth. What it accepts encoding/json accepts.
//
// each, if not nil, is called for every element of the outermost array or object with the bytes of its value, and of its
// unescaped name in an object. Both alias b or are fresh; neither may be changed.
func checkJSON(b []byte, each func(name, value []byte)) error {
	if !utf8.Valid(b) {
		return errJSONUTF8
	}
	c := checker{b: b, each: each}
	return c.run()
}

// level is one open array or object.
type level struct {
	object bool
	names  nameSet
}

// checker walks the text once. The levels have a fixed place: depth costs nothing.
type checker struct {
	b      []byte
	i      int // next byte
	each   func(name, value []byte)
	name   []byte // name of the outermost field being read
	start  int    // where its value begins
	depth  int
	levels [maxNesting]level
	pile   pile
}

// expect is what may come next.
type expect uint8

const (
	aValue expect = iota
	aValueOrClose
	aName
	aNameOrClose
	afterValue
)

func (c *checker) run() error {
	state := aValue
	for {
		c.space()
		if c.i == len(c.b) {
			if state == afterValue && c.depth == 0 {
				return nil
			}
			return errJSONSyntax
		}
		var err error
		switch state {
		case aValue, aValueOrClose:
			state, err = c.value(state == aValueOrClose)
		case aName, aNameOrClose:
			state, err = c.field(state == aNameOrClose)
		case afterValue:
			state, err = c.after()
		}
		if err != nil {
			return err
		}
	}
}

// value reads a scalar whole, or the opening bracket of what is none.
func (c *checker) value(mayClose bool) (expect, error) {
	if c.depth == 1 {
		c.start = c.i
	}
	switch ch := c.b[c.i]; {
	case ch == ']' && mayClose:
		return c.close()
	case ch == '{':
		return aNameOrClose, c.open(true)
	case ch == '[':
		return aValueOrClose, c.open(false)
	case ch == '"':
		if _, err := c.text(); err != nil {
			return 0, err
		}
	case ch == 't':
		return c.scalar("true")
	case ch == 'f':
		return c.scalar("false")
	case ch == 'n':
		return c.scalar("null")
	default:
		if err := c.number(); err != nil {
			return 0, err
		}
	}
	return c.ended()
}

// field reads a name and its colon.
func (c *checker) field(mayClose bool) (expect, error) {
	if c.b[c.i] == '}' && mayClose {
		return c.close()
	}
	if c.b[c.i] != '"' {
		return 0, errJSONSyntax
	}
	name, err := c.text()
	if err != nil {
		return 0, err
	}
	if !c.levels[c.depth-1].names.add(name, &c.pile) {
		return 0, errJSONRepeat
	}
	if c.depth == 1 {
		c.name = name
	}
	c.space()
	if c.i == len(c.b) || c.b[c.i] != ':' {
		return 0, errJSONSyntax
	}
	c.i++
	return aValue, nil
}

// after reads what stands behind a value inside an array or object.
func (c *checker) after() (expect, error) {
	if c.depth == 0 {
		return 0, errJSONSyntax // a second value
	}
	object := c.levels[c.depth-1].object
	switch ch := c.b[c.i]; {
	case ch == ',' && object:
		c.i++
		return aName, nil
	case ch == ',':
		c.i++
		return aValue, nil
	case ch == '}' && object, ch == ']' && !object:
		return c.close()
	}
	return 0, errJSONSyntax
}

func (c *checker) open(object bool) error {
	if c.depth == maxNesting {
		return errJSONNesting
	}
	c.levels[c.depth] = level{object: object, names: nameSet{base: c.pile.n}}
	c.depth++
	c.i++
	return nil
}

func (c *checker) close() (expect, error) {
	c.depth--
	c.pile.n = c.levels[c.depth].names.base
	c.levels[c.depth] = level{}
	c.i++
	return c.ended()
}

// ended notes the end of a value.
func (c *checker) ended() (expect, error) {
	if c.depth == 1 && c.each != nil {
		c.each(c.name, c.b[c.start:c.i])
	}
	return afterValue, nil
}

func (c *checker) scalar(word string) (expect, error) {
	if !bytes.HasPrefix(c.b[c.i:], []byte(word)) {
		return 0, errJSONSyntax
	}
	c.i += len(word)
	return c.ended()
}

func (c *checker) space() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\t', '\r', '\n':
			c.i++
		default:
			return
		}
	}
}

func (c *checker) number() error {
	if c.peek() == '-' {
		c.i++
	}
	if c.peek() == '0' {
		c.i++
	} else if !c.digits() {
		return errJSONSyntax
	}
	if c.peek() == '.' {
		c.i++
		if !c.digits() {
			return errJSONSyntax
		}
	}
	if c.peek() == 'e' || c.peek() == 'E' {
		c.i++
		if c.peek() == '+' || c.peek() == '-' {
			c.i++
		}
		if !c.digits() {
			return errJSONSyntax
		}
	}
	return nil
}

// peek is the next byte, 0 at the end.
func (c *checker) peek() byte {
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0
}

// digits skips decimal digits and reports whether there was one.
func (c *checker) digits() bool {
	begin := c.i
	for '0' <= c.peek() && c.peek() <= '9' {
		c.i++
	}
	return c.i > begin
}
