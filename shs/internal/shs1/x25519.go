package shs1

import (
	"crypto/rand"
	"fmt"

	"filippo.io/edwards25519"
	"github.com/cloudflare/circl/dh/x25519"
)

// publicKey is an X25519 public key as it is on the wire.
type publicKey [keySize]byte

// keyPair is an X25519 key and its public half. It is used where it lies, and
// wiped there: nobody copies it.
type keyPair struct {
	secret [keySize]byte // not clamped
	public publicKey
}

// newEphemeral makes a random key.
func newEphemeral() *keyPair {
	k := new(keyPair)
	rand.Read(k.secret[:]) // never fails: crypto/rand ends the process instead
	k.derive()
	return k
}

// derive sets the public half: the secret times the base point, for which
// edwards25519 has tables. The order of that point is prime, so it does no harm
// that a scalar is reduced by it.
func (k *keyPair) derive() {
	var s edwards25519.Scalar
	if _, err := s.SetBytesWithClamping(k.secret[:]); err != nil {
		panic("shs1: any 32 bytes are an X25519 secret")
	}
	k.public = publicKey(new(edwards25519.Point).ScalarBaseMult(&s).BytesMontgomery())
	s = edwards25519.Scalar{}
}

// mix sets shared to the Diffie-Hellman of our key with a public one. It cannot be
// called with two publics, and refuses one that would make it zero. The ladder
// takes the same time whatever the secret; circl has it in assembly for amd64,
// where that of crypto/ecdh takes 1.5 times as long.
func (k *keyPair) mix(shared *[keySize]byte, public *publicKey) error {
	if !x25519.Shared((*x25519.Key)(shared), (*x25519.Key)(&k.secret), (*x25519.Key)(public)) {
		return fmt.Errorf("%w: shared secret is zero", ErrWeakKey)
	}
	return nil
}

func (k *keyPair) wipe() { *k = keyPair{} }
