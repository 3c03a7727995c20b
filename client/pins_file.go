package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/cad2f06c/switchboard/shs"
)

// Limits of a pins file, in bytes.
const (
	maxPins    = 1 << 20
	maxPinLine = 4 << 10
	maxName    = 255
)

// errPinsFile is about a pins file that somebody else can have written, or that
// is no such file.
var errPinsFile = errors.New("not to be trusted")

// pin is one line of a pins file.
type pin struct {
	key  shs.PublicKey
	line int // from 1
}

// parsePins reads a pins file: a name and its owner's key on each line, with an
// optional comment. Empty lines and lines that are only a comment are skipped.
//
//	org.example.echo @7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=.ed25519  # first use
//
// Whatever else stands on a line is an error that begins with "line N:", and so
// is a name that comes twice. Whether a key is one that honest peers have takes
// as long as a thousand lines, and is not asked: SHS does, of the one that is used.
func parsePins(text []byte) (map[string]pin, error) {
	all := make(map[string]pin)
	sc := bufio.NewScanner(bytes.NewReader(text))
	sc.Buffer(nil, maxPinLine)
	n := 0
	for sc.Scan() {
		n++
		content, _, _ := strings.Cut(sc.Text(), "#")
		fields := strings.FieldsFunc(content, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(fields) == 0 {
			continue
		}
		name, key, err := parsePin(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if first, twice := all[name]; twice {
			return nil, fmt.Errorf("line %d: %s stands on line %d already", n, name, first.line)
		}
		all[name] = pin{key, n}
	}
	if err := sc.Err(); err != nil { // bufio.ErrTooLong: a bytes.Reader has no errors
		return nil, fmt.Errorf("line %d: it is longer than %d bytes", n+1, maxPinLine)
	}
	return all, nil
}

// parsePin reads what stands on a line.
func parsePin(fields []string) (string, shs.PublicKey, error) {
	if len(fields) != 2 {
		return "", shs.PublicKey{}, errors.New("a line is a name, a key and an optional # comment")
	}
	if !isName(fields[0]) {
		return "", shs.PublicKey{}, fmt.Errorf("%.64q is not a name", fields[0])
	}
	key, err := shs.ParsePublicKey(fields[1])
	if err == nil && key.IsZero() { // which would stand for no key at all
		err = shs.ErrWeakKey
	}
	return fields[0], key, err
}

// isName says whether s is a name (PROTOCOL.md §5).
func isName(s string) bool {
	if len(s) > maxName {
		return false
	}
	for element := range strings.SplitSeq(s, ".") {
		for i, c := range []byte(element) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', c == '-':
			case i > 0 && '0' <= c && c <= '9':
			default:
				return false
			}
		}
		if element == "" {
			return false
		}
	}
	return true
}

// pinLine is a line without its comment and its end.
func pinLine(name string, key shs.PublicKey) string { return name + " " + key.String() }
