package names

import (
	"errors"
	"fmt"
	"strings"
)

// maxName is the longest name in bytes, as on D-Bus (PROTOCOL.md §5).
const maxName = 255

// reserved is the server's own name; with everything below it nobody claims it.
const reserved = "switchboard"

// ErrInvalid says that a text is no name.
var ErrInvalid = errors.New("names: invalid name")

// Name is a well-known name that ParseName has accepted: 1 to 255 bytes,
// elements [A-Za-z_-][A-Za-z0-9_-]* joined by dots. One element is enough, and
// names differ by case. The registry takes a Name as it is and does not parse it
// again.
type Name string

// ParseName checks s against the grammar of names. Its error is ErrInvalid,
// wrapped with what is wrong, never with s itself: s may be anything, of any
// length.
func ParseName(s string) (Name, error) {
	if len(s) == 0 || len(s) > maxName {
		return "", fmt.Errorf("%w: %d bytes, not 1 to %d", ErrInvalid, len(s), maxName)
	}
	number := 0
	for element := range strings.SplitSeq(s, ".") {
		number++
		if fault := checkElement(element); fault != "" {
			return "", fmt.Errorf("%w: element %d %s", ErrInvalid, number, fault)
		}
	}
	return Name(s), nil
}

// Reserved reports whether n belongs to the server: "switchboard" and every name
// below it. "Switchboard" and "switchboard-x" are names like any other.
func Reserved(n Name) bool {
	rest, ok := strings.CutPrefix(string(n), reserved)
	return ok && (rest == "" || rest[0] == '.')
}

// checkElement says what is wrong with one element of a name, or "".
func checkElement(s string) string {
	if s == "" {
		return "is empty"
	}
	if '0' <= s[0] && s[0] <= '9' {
		return "begins with a digit"
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return fmt.Sprintf("holds the byte %#02x", c)
		}
	}
	return ""
}
