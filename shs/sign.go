package shs

import (
	"crypto/ed25519"
	"strings"
)

// SignatureSize is the size of a signature in bytes.
const SignatureSize = ed25519.SignatureSize

// Sign signs "switchboard/1/" | label | 00 | fields, with the Ed25519 key as it is.
// Each statement has a label of its own, without a zero byte, and fields of fixed
// sizes, 96 or 160 bytes in all never: these are what a handshake signs.
func (k PrivateKey) Sign(label string, fields ...[]byte) []byte {
	return ed25519.Sign(k.pair[:], statement(label, fields))
}

// Verify reports whether the key, which must pass Check, has signed with Sign.
func (k PublicKey) Verify(label string, signature []byte, fields ...[]byte) bool {
	return len(signature) == SignatureSize && k.Check() == nil && ed25519.Verify(k[:], statement(label, fields), signature)
}

func statement(label string, fields [][]byte) []byte {
	if strings.Contains(label, "\x00") {
		panic("shs: the label of a statement holds a zero byte")
	}
	b := []byte(protocol + "/" + label + "\x00")
	for _, f := range fields {
		b = append(b, f...)
	}
	if len(b) == 96 || len(b) == 160 {
		panic("shs: a statement is as long as one of a handshake")
	}
	return b
}
