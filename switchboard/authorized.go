package switchboard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cad2f06c/switchboard/shs"
)

// maxAuthorizedLine is the longest line of an authorized_peers file, in bytes.
const maxAuthorizedLine = 4 << 10

// ParseAuthorized reads an authorized_peers file: the keys that may connect over
// TCP, one on a line, with an optional comment. Empty lines and lines that are
// only a comment are skipped.
//
//	@7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=.ed25519  # the build machine
//
// The result is never nil and maps each key to its comment, without the "#".
// Whatever else stands on a line is an error that begins with "line N:", and so
// is a key that comes twice, or that no honest peer has (shs.ErrWeakKey): a rule
// that is not enforced must not look as if it were.
func ParseAuthorized(r io.Reader) (map[shs.PublicKey]string, error) {
	peers := make(map[shs.PublicKey]string)
	lines := make(map[shs.PublicKey]int)
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxAuthorizedLine)
	n := 0
	for sc.Scan() {
		n++
		text, comment, _ := strings.Cut(sc.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		key, err := shs.ParsePublicKey(fields[0])
		if err == nil {
			err = key.Check()
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(fields) > 1 {
			return nil, fmt.Errorf("line %d: %s", n, whyNoOption(fields[1]))
		}
		if first, twice := lines[key]; twice {
			return nil, fmt.Errorf("line %d: the key stands on line %d already", n, first)
		}
		lines[key] = n
		peers[key] = strings.TrimSpace(comment)
	}
	if errors.Is(sc.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: it is longer than %d bytes", n+1, maxAuthorizedLine)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("reading authorized peers: %w", err)
	}
	return peers, nil
}

// whyNoOption says why a word behind the key is refused.
func whyNoOption(word string) string {
	name, _, isOption := strings.Cut(word, "=")
	switch name {
	case "own", "see", "talk", "level", "tenant":
		if isOption {
			return name + "= is not enforced yet, so it must not stand here; only a key and a # comment may"
		}
	}
	return fmt.Sprintf("unknown option %.64q; a line is a key and an optional # comment", word)
}

// LoadAuthorized is ParseAuthorized on a file, which must belong to the caller
// or root and be writable by nobody else (else ErrUnsafePath). Its errors name
// the file.
func LoadAuthorized(path string) (map[shs.PublicKey]string, error) {
	if err := checkOwned(path, 0); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	peers, err := ParseAuthorized(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return peers, nil
}
