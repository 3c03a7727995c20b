package policy

import (
	"errors"
	"fmt"
	"io"
)

// Peer is one line of an authorized_peers file.
type Peer struct {
	Key            Key
	Own, See, Talk []Pattern
	Level          Level // if HasLevel
	HasLevel       bool
	Tenant         string
	Admin          bool
	Rate           Rate   // zero: none
	Expires        int64  // ms since the Unix epoch, of invites only; not in the file, and not looked at here
	Comment        string // without the "#"
	Line           int    // from 1
}

// HasRights reports whether rights of its own stand on the line. Else those of its
// level hold.
func (p Peer) HasRights() bool { return len(p.Own)+len(p.See)+len(p.Talk) > 0 }

// Rate is at most N in so many Seconds. The zero Rate is no limit.
type Rate struct{ N, Seconds int }

// ErrKey says that a text is no key.
var ErrKey = errors.New("policy: a key is @, 44 characters of base64, .ed25519")

// LineError is a mistake in a file of lines.
type LineError struct {
	Line int // from 1
	Err  error
}

// Error begins with "line N: ".
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the mistake without its line.
func (e *LineError) Unwrap() error { return e.Err }

// ParsePeers reads an authorized_peers file.
func ParsePeers(r io.Reader) ([]Peer, error) { return nil, errors.ErrUnsupported }

// ParseRevoked reads a revoked_peers file: each key with its comment.
func ParseRevoked(r io.Reader) (map[Key]string, error) { return nil, errors.ErrUnsupported }

// ParseKey reads the text form of a key, in its one spelling.
func ParseKey(s string) (Key, error) { return Key{}, errors.ErrUnsupported }

// KeyText writes a key as ParseKey reads it.
func KeyText(k Key) string { return "" }
