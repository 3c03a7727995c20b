package shs

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// ErrNetworkKey is returned for a text that is not a network key.
var ErrNetworkKey = errors.New("shs: a network key is 44 characters of base64 (32 bytes)")

// NetworkKey says which network, or for which purpose, a handshake is: both
// sides must have the same one. A network key is public and proves nothing; a
// purpose key is derived from it, and is as secret as what went into it.
type NetworkKey [32]byte

// protocol names protocol and version in every derivation.
const protocol = "switchboard/1"

// DefaultNetworkKey is SHA-256 of "switchboard/1".
func DefaultNetworkKey() NetworkKey { return sha256.Sum256([]byte(protocol)) }

// ParseNetworkKey reads standard base64 with padding, strictly.
func ParseNetworkKey(s string) (NetworkKey, error) {
	k, ok := decodeKey(s)
	if !ok {
		return NetworkKey{}, ErrNetworkKey
	}
	return k, nil
}

// String returns what ParseNetworkKey reads.
func (k NetworkKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// IsZero says whether the key is not set.
func (k NetworkKey) IsZero() bool { return k == NetworkKey{} }

// Plain is the purpose key of plain mode between processes of two users of one
// machine, as the kernel knows them: a third user who forwards the handshake
// would need another key (PROTOCOL.md §2).
func (k NetworkKey) Plain(clientUID, serverUID uint32) NetworkKey {
	return k.purpose("plain", uint32Field(clientUID), uint32Field(serverUID))
}

// Direct is the purpose key of a direct link of a channel (PROTOCOL.md §7).
func (k NetworkKey) Direct(secret [32]byte, channel [16]byte, caller, callee PublicKey) NetworkKey {
	return k.purpose("direct", secret[:], channel[:], caller[:], callee[:])
}

// Sealed is the purpose key of the handshake inside a sealed channel; to is the
// name or session as the caller wrote it (PROTOCOL.md §8). It panics if to is
// longer than 65,535 bytes.
func (k NetworkKey) Sealed(channel [16]byte, to string) NetworkKey {
	return k.purpose("sealed", channel[:], textField(to))
}

// Invite is the purpose key under which an invite is redeemed (PROTOCOL.md §14).
func (k NetworkKey) Invite() NetworkKey { return k.purpose("invite") }

// purpose derives a purpose key: the first 32 bytes of HMAC-SHA-512 under k
// over "switchboard/1/" | label | 00 | fields. Every field has a fixed size or
// says its own, so no two purposes share an input.
func (k NetworkKey) purpose(label string, fields ...[]byte) NetworkKey {
	h := hmac.New(sha512.New, k[:])
	h.Write([]byte(protocol + "/" + label + "\x00"))
	for _, f := range fields {
		h.Write(f)
	}
	return NetworkKey(h.Sum(nil)[:len(k)])
}

func uint32Field(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

func textField(s string) []byte {
	if len(s) > 0xffff {
		panic("shs: text of a purpose key is longer than its length field can say")
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}
