package shs1

import (
	"crypto/hmac"
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

// newHello makes the hello of an ephemeral key under a network key.
func newHello(network *[32]byte, ephemeral []byte) *hello {
	var m hello
	copy(m.ephemeral(), ephemeral)
	copy(m.mac(), auth(network, ephemeral))
	return &m
}

// under says whether the hello was made by somebody who knows the network key.
func (m *hello) under(network *[32]byte) bool {
	return subtle.ConstantTimeCompare(m.mac(), auth(network, m.ephemeral())) == 1
}

// auth is libsodium's crypto_auth.
func auth(key *[32]byte, data []byte) []byte {
	h := hmac.New(sha512.New, key[:])
	h.Write(data)
	return h.Sum(nil)[:keySize]
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
func clientStatement(network *[32]byte, server, hashAB []byte) []byte {
	return concat(network[:], server, hashAB)
}

// serverStatement is what the server signs:
//
//	network key 32 | client's signature 64 | client's long-term key 32 | SHA-256(a·b) 32
func serverStatement(network *[32]byte, client *clientProof, hashAB []byte) []byte {
	return concat(network[:], client[:], hashAB)
}

// concat joins parts in a slice of its own.
func concat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
