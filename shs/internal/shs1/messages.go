package shs1

import (
	"crypto/sha512"
	"crypto/subtle"
)

// Sizes of the parts of messages, in bytes.
const (
	keySize       = 32 // any key, and a truncated HMAC
	signatureSize = 64
	boxOverhead   = 16 // Poly1305 in front of each secretbox
)

// hello is message 1 and message 2:
//
//	HMAC(network key, ephemeral) 32 | ephemeral X25519 key 32
//
// The HMAC is HMAC-SHA-512 cut to 32 bytes, libsodium's crypto_auth. The SHS
// paper keys message 2 with more; no implementation does.
type hello [2 * keySize]byte

func (m *hello) mac() []byte       { return m[:keySize] }
func (m *hello) ephemeral() []byte { return m[keySize:] }

// make makes the hello of an ephemeral key under a network key.
func (m *hello) make(network *[32]byte, ephemeral []byte) {
	copy(m.ephemeral(), ephemeral)
	mac := auth(network, (*[32]byte)(m.ephemeral()))
	copy(m.mac(), mac[:])
}

// under says whether the hello was made by somebody who knows the network key.
func (m *hello) under(network *[32]byte) bool {
	mac := auth(network, (*[32]byte)(m.ephemeral()))
	return subtle.ConstantTimeCompare(m.mac(), mac[:]) == 1
}

// auth is libsodium's crypto_auth, of 32 bytes. HMAC is written out, because
// crypto/hmac has 9 allocations.
func auth(key, data *[32]byte) [keySize]byte {
	var inner [sha512.BlockSize + keySize]byte
	var outer [sha512.BlockSize + sha512.Size]byte
	copy(inner[:], key[:])
	copy(outer[:], key[:])
	for i := range sha512.BlockSize {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	copy(inner[sha512.BlockSize:], data[:])
	sum := sha512.Sum512(inner[:])
	copy(outer[sha512.BlockSize:], sum[:])
	sum = sha512.Sum512(outer[:])
	return [keySize]byte(sum[:])
}

// clientProof is the inside of message 3:
//
//	signature by the client 64 | client's long-term key 32
//
// The paper has the two parts the other way round; no implementation does.
type clientProof [signatureSize + keySize]byte

func (m *clientProof) signature() []byte { return m[:signatureSize] }
func (m *clientProof) key() []byte       { return m[signatureSize:] }

// boxedClientProof is message 3 on the wire.
type boxedClientProof [boxOverhead + signatureSize + keySize]byte

// serverProof is the inside of message 4: a signature by the server.
type serverProof [signatureSize]byte

// boxedServerProof is message 4 on the wire.
type boxedServerProof [boxOverhead + signatureSize]byte

// clientStatement is what the client signs:
//
//	network key 32 | server's long-term key 32 | SHA-256(a·b) 32
type clientStatement [3 * keySize]byte

func newClientStatement(network *[32]byte, server []byte, hashAB *[32]byte) (st clientStatement) {
	copy(st[:], network[:])
	copy(st[keySize:], server)
	copy(st[2*keySize:], hashAB[:])
	return st
}

// serverStatement is what the server signs:
//
//	network key 32 | client's signature 64 | client's long-term key 32 | SHA-256(a·b) 32
type serverStatement [3*keySize + signatureSize]byte

func newServerStatement(network *[32]byte, client *clientProof, hashAB *[32]byte) (st serverStatement) {
	copy(st[:], network[:])
	copy(st[keySize:], client[:])
	copy(st[keySize+len(client):], hashAB[:])
	return st
}
