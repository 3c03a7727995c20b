package main

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"os"
	"time"

	"filippo.io/edwards25519"
	"golang.org/x/crypto/nacl/secretbox"
)

// side is what one side of a Secret Handshake cannot do without, and nothing
// else: no packets, no connection, no product. The key objects are kept. Its X25519
// is the standard library's, whatever the product's is: it measures the machine.
type side struct {
	own  *ecdh.PrivateKey
	peer ed25519.PublicKey
	priv ed25519.PrivateKey
}

func newSide() (*side, error) {
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	return &side{own, pub, priv}, err
}

// shake makes a fresh key, converts the peer's, and does three X25519, one
// signature and the check of one, a seal and an opening, two MACs and six hashes.
func (s *side) shake() error {
	fresh, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	point, err := new(edwards25519.Point).SetBytes(s.peer)
	if err != nil {
		return err
	}
	peer, err := ecdh.X25519().NewPublicKey(point.BytesMontgomery())
	if err != nil {
		return err
	}
	var secret [32]byte
	for _, k := range []*ecdh.PrivateKey{fresh, fresh, s.own} {
		shared, err := k.ECDH(peer)
		if err != nil {
			return err
		}
		once := sha256.Sum256(shared)
		secret = sha256.Sum256(append(once[:], secret[:]...))
	}
	for range 2 {
		mac := hmac.New(sha512.New, secret[:])
		mac.Write(s.peer)
		copy(secret[:], mac.Sum(nil))
	}
	sig := ed25519.Sign(s.priv, secret[:])
	opened, ok := secretbox.Open(nil, secretbox.Seal(nil, append(sig, s.peer...), new([24]byte), &secret), new([24]byte), &secret)
	if !ok || !ed25519.Verify(s.peer, secret[:], opened[:len(sig)]) {
		return errors.New("a good signature was refused")
	}
	return nil
}

// handshakes is how many bare handshakes one core does in a second of processor
// time.
func handshakes(d time.Duration) (float64, error) {
	s, err := newSide()
	if err != nil {
		return 0, err
	}
	n, begun := 0, cpu(os.Getpid())
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		if err := s.shake(); err != nil {
			return 0, err
		}
	}
	used := cpu(os.Getpid()) - begun
	if used == 0 {
		return 0, errors.ErrUnsupported
	}
	return float64(n) / used.Seconds(), nil
}
