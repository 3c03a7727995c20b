package shs

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

const (
	keySigil  = "@"
	keySuffix = ".ed25519"
	keyBase64 = 44 // characters of 32 bytes in padded base64
)

// ErrPublicKey is returned for a text that is not a public key.
var ErrPublicKey = errors.New("shs: a public key is @, 44 characters of base64, .ed25519")

// PublicKey is the long-term Ed25519 key by which a peer is known. Its text
// form is SSB's feed id: @ + standard base64 with padding + .ed25519
// (PROTOCOL.md, forms). It may be compared with == and used as a map key.
type PublicKey [32]byte

// ParsePublicKey reads the text form. Each key has one spelling; any other is
// an ErrPublicKey. It looks at the form only: see Check.
func ParsePublicKey(s string) (PublicKey, error) {
	b64, ok := strings.CutPrefix(s, keySigil)
	if !ok {
		return PublicKey{}, ErrPublicKey
	}
	if b64, ok = strings.CutSuffix(b64, keySuffix); !ok {
		return PublicKey{}, ErrPublicKey
	}
	k, ok := decodeKey(b64)
	if !ok {
		return PublicKey{}, ErrPublicKey
	}
	return k, nil
}

// decodeKey reads padded standard base64 of 32 bytes, in its one spelling: the
// last character before the padding has two spare bits, and Go's decoder skips
// line ends.
func decodeKey(s string) (key [32]byte, ok bool) {
	if len(s) != keyBase64 || strings.ContainsAny(s, "\r\n") {
		return key, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(key) {
		return key, false
	}
	return [32]byte(b), true
}

// String returns the text form.
func (k PublicKey) String() string {
	return keySigil + base64.StdEncoding.EncodeToString(k[:]) + keySuffix
}

// MarshalText returns the text form.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParsePublicKey.
func (k *PublicKey) UnmarshalText(text []byte) error {
	key, err := ParsePublicKey(string(text))
	if err != nil {
		return err
	}
	*k = key
	return nil
}

// IsZero says whether the key is not set.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// Check returns an ErrWeakKey for a key that no honest peer has: no point of
// the curve, of low or mixed order, or not canonical. A handshake never ends
// with such a key; Check tells of it when a configuration is loaded.
func (k PublicKey) Check() error { return shs1.CheckKey(k) }

// LogValue is the first 8 characters of the base64: enough to tell keys apart
// in a log.
func (k PublicKey) LogValue() slog.Value {
	return slog.StringValue(keySigil + base64.StdEncoding.EncodeToString(k[:6]))
}

// PrivateKey is a long-term Ed25519 key pair. The zero value is no key.
// However it is printed or logged, only "redacted" comes out.
type PrivateKey struct {
	pair [ed25519.PrivateKeySize]byte // seed | public key
}

const redacted = "redacted"

// GenerateKey makes a new random key.
func GenerateKey() PrivateKey {
	var seed [32]byte
	defer clear(seed[:])
	rand.Read(seed[:]) // never fails: crypto/rand ends the process instead
	return NewPrivateKey(seed)
}

// NewPrivateKey makes the key of a 32-byte seed.
func NewPrivateKey(seed [32]byte) PrivateKey {
	return PrivateKey{pair: [64]byte(ed25519.NewKeyFromSeed(seed[:]))}
}

// Public returns the public half.
func (k PrivateKey) Public() PublicKey { return PublicKey(k.pair[ed25519.SeedSize:]) }

// IsZero says whether the key is not set.
func (k PrivateKey) IsZero() bool { return k == PrivateKey{} }

// String returns "redacted".
func (k PrivateKey) String() string { return redacted }

// Format writes "redacted" whatever the verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { f.Write([]byte(redacted)) }

// LogValue is "redacted".
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }
