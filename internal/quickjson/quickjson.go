// Package quickjson reads and writes JSON in the form in which nearly all of
// it comes, in one pass and without reflection. A Reader gives up on anything
// else: an escape, a byte outside printable ASCII, deep nesting, many fields. It
// never says that a text is wrong, only that it does not take it; whoever uses
// it has another way then.
//
// What a Reader takes is one JSON text in the profile of PROTOCOL.md §4. It
// has no I/O and knows no names of fields.
package quickjson

import "bytes"

const (
	maxDepth = 8 // arrays and objects inside one another
	maxNames = 8 // fields of an object that is skipped
)

// Reader reads one JSON text from its begin. After the first thing that it does
// not take all methods return zero values; OK tells. It is for one goroutine.
//
//	r := quickjson.NewReader(b)
//	for r.Enter('{'); r.More('}'); {
//		switch string(r.Name()) {
//		case "text":
//			text = string(r.Text())
//		default:
//			r.Fail()
//		}
//	}
//	if !r.OK() { … }
//
// Names that come twice are the caller's to see, but for those of a value that
// is skipped.
type Reader struct {
	b     []byte
	i     int // next byte
	depth int
	fresh bool // just inside an array or object
	bad   bool
}

// NewReader makes a Reader of b. What it returns aliases b.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Fail makes the Reader give up.
func (r *Reader) Fail() {
	r.bad = true
	r.i = len(r.b)
}

// OK reports whether the whole text was taken: nothing is left of it.
func (r *Reader) OK() bool {
	r.space()
	return !r.bad && r.depth == 0 && r.i == len(r.b)
}

// peek returns the next byte that is no space, 0 at the end.
func (r *Reader) peek() byte {
	r.space()
	if r.i < len(r.b) {
		return r.b[r.i]
	}
	return 0
}

func (r *Reader) space() {
	for r.i < len(r.b) && (r.b[r.i] == ' ' || r.b[r.i] == '\n' || r.b[r.i] == '\t' || r.b[r.i] == '\r') {
		r.i++
	}
}

// take takes c, or gives up.
func (r *Reader) take(c byte) {
	if r.peek() != c || r.bad {
		r.Fail()
		return
	}
	r.i++
}

// Enter takes the bracket that opens an array or object.
func (r *Reader) Enter(open byte) {
	r.take(open)
	if r.depth++; r.depth > maxDepth {
		r.Fail()
	}
	r.fresh = true
}

// More reports whether another element follows, and takes the comma before it;
// if none does, it takes the bracket that closes. The caller has to read the
// element.
func (r *Reader) More(end byte) bool {
	fresh := r.fresh
	r.fresh = false
	switch c := r.peek(); {
	case r.bad:
		return false
	case c == end:
		r.i++
		r.depth--
		return false
	case fresh:
		return true
	case c == ',':
		r.i++
		return true
	}
	r.Fail()
	return false
}

// Name returns the name of the next field, and takes its colon.
func (r *Reader) Name() []byte {
	name := r.Text()
	r.take(':')
	return name
}

// IsText reports whether the next value is a string.
func (r *Reader) IsText() bool { return r.peek() == '"' }

// Text returns a string.
func (r *Reader) Text() []byte {
	r.take('"')
	for i, c := range r.b[r.i:] {
		if c == '"' {
			text := r.b[r.i : r.i+i]
			r.i += i + 1
			return text
		}
		if c < ' ' || c > '~' || c == '\\' {
			break
		}
	}
	r.Fail()
	return nil
}

// Uint returns a whole number of at most 19 digits.
func (r *Reader) Uint() uint64 {
	digits := r.digits()
	if len(digits) > 19 || r.i < len(r.b) && (r.b[r.i] == '.' || r.b[r.i]|0x20 == 'e') {
		r.Fail()
		return 0
	}
	var n uint64
	for _, c := range digits {
		n = 10*n + uint64(c-'0')
	}
	return n
}

// digits takes at least one, without a leading zero.
func (r *Reader) digits() []byte {
	r.space()
	begin := r.i
	for r.i < len(r.b) && '0' <= r.b[r.i] && r.b[r.i] <= '9' {
		r.i++
	}
	digits := r.b[begin:r.i]
	if len(digits) == 0 || digits[0] == '0' && len(digits) > 1 {
		r.Fail()
		return nil
	}
	return digits
}

// Bool returns true or false.
func (r *Reader) Bool() bool {
	if r.peek() == 't' {
		r.word("true")
		return !r.bad
	}
	r.word("false")
	return false
}

func (r *Reader) word(w string) {
	if r.bad || len(r.b)-r.i < len(w) || string(r.b[r.i:r.i+len(w)]) != w {
		r.Fail()
		return
	}
	r.i += len(w)
}

// Skip takes any value and returns its bytes. Numbers with an exponent are not
// taken.
func (r *Reader) Skip() []byte {
	c := r.peek()
	begin := r.i
	switch {
	case c == '{':
		r.skipObject()
	case c == '[':
		for r.Enter('['); r.More(']'); {
			r.Skip()
		}
	case c == '"':
		r.Text()
	case c == 't', c == 'f':
		r.Bool()
	case c == 'n':
		r.word("null")
	default:
		r.skipNumber()
	}
	if r.bad {
		return nil
	}
	return r.b[begin:r.i]
}

func (r *Reader) skipObject() {
	var names [maxNames][]byte
	n := 0
	for r.Enter('{'); r.More('}'); n++ {
		name := r.Name()
		if n == maxNames {
			r.Fail()
			return
		}
		for _, other := range names[:n] {
			if bytes.Equal(other, name) {
				r.Fail()
				return
			}
		}
		names[n] = name
		r.Skip()
	}
}

func (r *Reader) skipNumber() {
	if r.peek() == '-' {
		r.i++
		if r.i < len(r.b) && (r.b[r.i] < '0' || r.b[r.i] > '9') { // digits would pass over a space
			r.Fail()
		}
	}
	r.digits()
	if r.i == len(r.b) || r.b[r.i]|0x20 != 'e' && r.b[r.i] != '.' {
		return
	}
	begin := r.i + 1
	for r.i++; r.i < len(r.b) && '0' <= r.b[r.i] && r.b[r.i] <= '9'; {
		r.i++
	}
	if r.b[begin-1] != '.' || r.i == begin || r.i < len(r.b) && r.b[r.i]|0x20 == 'e' {
		r.Fail()
	}
}
