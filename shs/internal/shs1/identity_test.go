package shs1

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"testing"
)

func newTestIdentity(t testing.TB) *Identity {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return NewIdentity(key)
}

// TestProven fills the set of known keys past its bound.
func TestProven(t *testing.T) {
	var p proven
	var key [32]byte
	for i := range uint64(3 * maxProven) {
		binary.BigEndian.PutUint64(key[:], i)
		p.put(&key, [32]byte{1})
		p.put(&key, [32]byte{1})
		if _, ok := p.get(&key); !ok {
			t.Fatalf("key %d is forgotten at once", i)
		}
	}
	if len(p.keys) != maxProven {
		t.Errorf("%d keys, want %d", len(p.keys), maxProven)
	}
}

// TestPeerCurve: a known key has the form that it had at first, and a weak one
// never gets known.
func TestPeerCurve(t *testing.T) {
	id, peer := newTestIdentity(t), newTestIdentity(t)
	key := [32]byte(peer.public())
	var forms []*ecdh.PublicKey
	for range 2 {
		u, err := id.peerCurve(&key)
		if err != nil {
			t.Fatal(err)
		}
		id.remember(&key, u)
		forms = append(forms, u)
	}
	if !forms[0].Equal(forms[1]) || !forms[0].Equal(peer.curve.PublicKey()) {
		t.Errorf("forms %x, %x, want %x", forms[0].Bytes(), forms[1].Bytes(), peer.curve.PublicKey().Bytes())
	}
	for _, y := range smallOrderY {
		if _, err := id.peerCurve(&y); !errors.Is(err, ErrWeakKey) {
			t.Errorf("%x: got %v, want %v", y, err, ErrWeakKey)
		}
	}
	if len(id.proven.keys) != 1 {
		t.Errorf("%d keys are known, want 1", len(id.proven.keys))
	}
}

// TestAuth compares with crypto/hmac.
func TestAuth(t *testing.T) {
	var key, data [32]byte
	for range 100 {
		rand.Read(key[:])
		rand.Read(data[:])
		h := hmac.New(sha512.New, key[:])
		h.Write(data[:])
		if got, want := auth(&key, &data), h.Sum(nil)[:32]; !bytes.Equal(got[:], want) {
			t.Fatalf("key %x, data %x: got %x, want %x", key, data, got, want)
		}
	}
}
