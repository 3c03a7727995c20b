package shs1

import (
	"crypto/ed25519"
	"sync"
)

// maxProven is how many peers' keys an Identity remembers, 64 bytes each.
const maxProven = 1024

// Identity is a long-term key with all that a handshake would otherwise work out
// of it each time, and keys for handshakes to come. It is safe for concurrent use.
type Identity struct {
	key    ed25519.PrivateKey // kept in one place: crypto/ed25519 finds its own form by that
	curve  keyPair            // the X25519 form
	proven proven
	ahead  ahead
}

// NewIdentity copies key. It panics if that is not 64 bytes.
func NewIdentity(key ed25519.PrivateKey) *Identity {
	id := &Identity{
		key:   ed25519.PrivateKey(append(make([]byte, 0, ed25519.PrivateKeySize), key[:ed25519.PrivateKeySize]...)),
		ahead: newAhead(),
	}
	id.curve.setSecret(id.key)
	return id
}

// public is the long-term key of the world's view.
func (id *Identity) public() []byte { return id.key[ed25519.SeedSize:] }

// peerCurve works out the X25519 form of a peer's long-term key, or finds it in
// proven. The key must be a good one (CheckKey).
func (id *Identity) peerCurve(key *[32]byte) (u publicKey, err error) {
	if u, ok := id.proven.get(key); ok {
		return u, nil
	}
	p, err := goodPoint(key[:])
	if err != nil {
		return u, err
	}
	return publicKey(p.BytesMontgomery()), nil
}

// Expect is CheckKey for a key that our own side names, such as that of a server
// to dial, and remembers it if it is good. Keys that a stranger may choose are
// not for it.
func (id *Identity) Expect(key [32]byte) error {
	u, err := id.peerCurve(&key)
	if err != nil {
		return err
	}
	id.proven.put(&key, u)
	return nil
}

// remember notes that the owner of key has proven it, and that it is good.
func (id *Identity) remember(key *[32]byte, u publicKey) { id.proven.put(key, u) }

// proven maps long-term keys that passed CheckKey to their X25519 forms: both
// follow from the key alone, so what is in it is never out of date. A key comes in
// when a handshake with its owner is completed, or by Expect: strangers cannot
// fill it.
type proven struct {
	mu   sync.Mutex
	keys map[[32]byte]publicKey
}

func (p *proven) get(key *[32]byte) (u publicKey, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok = p.keys[*key]
	return u, ok
}

// put forgets some other key, whichever comes first, if there are too many.
func (p *proven) put(key *[32]byte, u publicKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.keys[*key]; ok {
		return
	}
	if len(p.keys) >= maxProven {
		for other := range p.keys {
			delete(p.keys, other)
			break
		}
	}
	if p.keys == nil {
		p.keys = make(map[[32]byte]publicKey)
	}
	p.keys[*key] = u
}

// ephemeral is a fresh X25519 key for one handshake, or that of a fixed secret.
func (id *Identity) ephemeral(fixed *[32]byte) *keyPair {
	if fixed == nil {
		return id.ahead.take()
	}
	key := &keyPair{secret: *fixed}
	key.derive()
	return key
}
