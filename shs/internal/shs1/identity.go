package shs1

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"fmt"
	"sync"
)

// maxProven is how many peers' keys an Identity remembers, 64 bytes each.
const maxProven = 1024

// Identity is a long-term key with all that a handshake would otherwise work out
// of it each time, and keys for handshakes to come. It is safe for concurrent use.
type Identity struct {
	key    ed25519.PrivateKey // kept in one place: crypto/ed25519 finds its own form by that
	curve  *ecdh.PrivateKey   // the X25519 form
	proven proven
	ahead  ahead
}

// NewIdentity copies key. It panics if that is not 64 bytes.
func NewIdentity(key ed25519.PrivateKey) *Identity {
	curve, err := secretToCurve(key)
	if err != nil {
		panic("shs1: any 32 bytes are an X25519 secret")
	}
	return &Identity{
		key:   ed25519.PrivateKey(append(make([]byte, 0, ed25519.PrivateKeySize), key...)),
		curve: curve,
		ahead: newAhead(),
	}
}

// public is the long-term key of the world's view.
func (id *Identity) public() []byte { return id.key[ed25519.SeedSize:] }

// peerCurve is the X25519 form of a peer's long-term key, which must be a good
// one (CheckKey).
func (id *Identity) peerCurve(key *[32]byte) (*ecdh.PublicKey, error) {
	u, err := id.peerForm(key)
	if err != nil {
		return nil, err
	}
	return ecdh.X25519().NewPublicKey(u[:])
}

// peerForm works out the X25519 form of a good key, or finds it in proven.
func (id *Identity) peerForm(key *[32]byte) (u [32]byte, err error) {
	if u, ok := id.proven.get(key); ok {
		return u, nil
	}
	p, err := goodPoint(key[:])
	if err != nil {
		return u, err
	}
	return [32]byte(p.BytesMontgomery()), nil
}

// Expect is CheckKey for a key that our own side names, such as that of a server
// to dial, and remembers it if it is good. Keys that a stranger may choose are
// not for it.
func (id *Identity) Expect(key [32]byte) error {
	u, err := id.peerForm(&key)
	if err != nil {
		return err
	}
	id.proven.put(&key, u)
	return nil
}

// remember notes that the owner of key has proven it, and that it is good.
func (id *Identity) remember(key *[32]byte, curve *ecdh.PublicKey) {
	id.proven.put(key, [32]byte(curve.Bytes()))
}

// proven maps long-term keys that passed CheckKey to their X25519 forms: both
// follow from the key alone, so what is in it is never out of date. A key comes in
// when a handshake with its owner is completed, or by Expect: strangers cannot
// fill it.
type proven struct {
	mu   sync.Mutex
	keys map[[32]byte][32]byte
}

func (p *proven) get(key *[32]byte) (u [32]byte, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok = p.keys[*key]
	return u, ok
}

// put forgets some other key, whichever comes first, if there are too many.
func (p *proven) put(key *[32]byte, u [32]byte) {
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
		p.keys = make(map[[32]byte][32]byte)
	}
	p.keys[*key] = u
}

// ephemeral is a fresh X25519 key for one handshake, or that of a fixed secret.
func (id *Identity) ephemeral(fixed *[32]byte) (*ecdh.PrivateKey, error) {
	if fixed != nil {
		return ecdh.X25519().NewPrivateKey(fixed[:])
	}
	key, err := id.ahead.take()
	if err != nil {
		return nil, fmt.Errorf("ephemeral key: %w", err)
	}
	return key, nil
}
