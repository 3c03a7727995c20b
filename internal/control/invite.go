package control

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/cad2f06c/switchboard/shs"
)

// Invite is what the code of an invite holds: where the server is, and the seed of
// the key that may redeem it. It is a secret. NetworkKey is zero for the default.
type Invite struct {
	Addresses  string
	NetworkKey shs.NetworkKey
	seed       [32]byte
}

// MaxInviteAddresses is the longest text of addresses in an invite, in bytes.
const MaxInviteAddresses = 2 << 10

// ErrInvite says that a text is no code of an invite.
var ErrInvite = errors.New("not an invite: a code begins with sbi1. and is pasted whole")

// The code is "sbi1." and base64url, without padding, of
//
//	flags u8 | seed 32 | network key 32, if flags is 1 | addresses | sum 4
//
// where sum is the beginning of the SHA-256 of "switchboard/1/code" | 00 | all
// before.
const (
	codePrefix = "sbi1."
	codeSum    = 4
	codeOther  = 1 // flag: there is a network key
)

// NewInvite makes an invite with a new seed.
func NewInvite(addresses string) Invite {
	i := Invite{Addresses: addresses}
	rand.Read(i.seed[:])
	return i
}

// Key is the one-time key.
func (i Invite) Key() shs.PrivateKey { return shs.NewPrivateKey(i.seed) }

// String hides the seed, however the invite is printed or logged.
func (i Invite) String() string { return "invite of " + i.Key().Public().String() }

// Format writes String whatever the verb.
func (i Invite) Format(f fmt.State, _ rune) { fmt.Fprint(f, i.String()) }

// Code returns what ParseInvite reads.
func (i Invite) Code() string {
	b := append([]byte{0}, i.seed[:]...)
	if !i.NetworkKey.IsZero() {
		b[0] = codeOther
		b = append(b, i.NetworkKey[:]...)
	}
	b = append(b, i.Addresses...)
	return codePrefix + base64.RawURLEncoding.EncodeToString(append(b, sum(b)...))
}

func sum(b []byte) []byte {
	s := sha256.Sum256(append([]byte("switchboard/1/code\x00"), b...))
	return s[:codeSum]
}

// ParseInvite reads a code. Blanks and line ends, which a mail may have put into it,
// are skipped; one that was cut, or changed in any other way, is ErrInvite.
func ParseInvite(code string) (Invite, error) {
	text, ok := strings.CutPrefix(strings.Join(strings.Fields(code), ""), codePrefix)
	if !ok || len(text) > 2*MaxInviteAddresses {
		return Invite{}, ErrInvite
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 1+32+codeSum {
		return Invite{}, ErrInvite
	}
	b, check := b[:len(b)-codeSum], b[len(b)-codeSum:]
	if !bytes.Equal(sum(b), check) || b[0]&^codeOther != 0 {
		return Invite{}, ErrInvite
	}
	i := Invite{seed: [32]byte(b[1:33])}
	rest := b[33:]
	if b[0] == codeOther {
		if len(rest) < 32 {
			return Invite{}, ErrInvite
		}
		i.NetworkKey, rest = shs.NetworkKey(rest[:32]), rest[32:]
		if i.NetworkKey.IsZero() {
			return Invite{}, ErrInvite
		}
	}
	i.Addresses = string(rest)
	if _, err := shs.ParseAddresses(i.Addresses); err != nil || len(rest) > MaxInviteAddresses {
		return Invite{}, ErrInvite
	}
	return i, nil
}
