package policy

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLine is the longest line in bytes, without its end.
const maxLine = 4 << 10

const (
	keySigil  = "@"
	keySuffix = ".ed25519"
	keyBase64 = 44 // characters of 32 bytes in padded base64
)

// ErrKey says that a text is no key.
var ErrKey = errors.New("policy: a key is @, 44 characters of base64, .ed25519")

// ParseKey reads the text form of a key: @ + padded standard base64 + .ed25519. Each
// key has one spelling; any other is ErrKey. Whether an honest peer can have the key
// is the caller's to check.
func ParseKey(s string) (Key, error) {
	text, ok := strings.CutPrefix(s, keySigil)
	if !ok {
		return Key{}, ErrKey
	}
	if text, ok = strings.CutSuffix(text, keySuffix); !ok || len(text) != keyBase64 {
		return Key{}, ErrKey
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(Key{}) {
		return Key{}, ErrKey // fewer bytes where the decoder skipped line ends
	}
	return Key(b), nil
}

// KeyText writes a key as ParseKey reads it.
func KeyText(k Key) string {
	return keySigil + base64.StdEncoding.EncodeToString(k[:]) + keySuffix
}

// LineError is a mistake in a file of lines.
type LineError struct {
	Line int // from 1
	Err  error
}

// Error begins with "line N: ".
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the mistake without its line.
func (e *LineError) Unwrap() error { return e.Err }

// eachLine calls do with every line, without its end, which is \n or \r\n.
func eachLine(r io.Reader, do func(n int, line string) error) error {
	b := bufio.NewReaderSize(r, maxLine+len("\r\n"))
	for n := 1; ; n++ {
		raw, err := b.ReadSlice('\n')
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("reading line %d: %w", n, err)
		}
		line := cutEnd(string(raw))
		if len(line) > maxLine {
			return &LineError{n, fmt.Errorf("it is longer than %d bytes", maxLine)}
		}
		if err := checkText(line); err != nil {
			return &LineError{n, err}
		}
		if err := do(n, line); err != nil {
			return &LineError{n, err}
		}
		if ended {
			return nil
		}
	}
}

// cutEnd takes the end off a line.
func cutEnd(line string) string {
	if whole, ok := strings.CutSuffix(line, "\n"); ok {
		return strings.TrimSuffix(whole, "\r")
	}
	return line
}

// checkText refuses what an editor does not show.
func checkText(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("it is not UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\t' {
			return fmt.Errorf("it holds the control character %U", r)
		}
	}
	return nil
}

const blanks = " \t"

// word is one word of a line and where it stands.
type word struct {
	text     string
	from, to int
}

// split takes a line apart: the words before a comment, and the comment without "#".
func split(line string) (words []word, comment string) {
	text, comment, _ := strings.Cut(line, "#")
	for at := 0; at < len(text); {
		if strings.IndexByte(blanks, text[at]) >= 0 {
			at++
			continue
		}
		n := strings.IndexAny(text[at:], blanks)
		if n < 0 {
			n = len(text) - at
		}
		words = append(words, word{text[at : at+n], at, at + n})
		at += n
	}
	return words, strings.Trim(comment, blanks)
}
