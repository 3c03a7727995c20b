package shs1

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// edges are secrets and public keys at the ends of the field and of the bytes.
func edges() [][32]byte {
	all := append(lowOrder[:], [32]byte{2}, [32]byte{9}, fieldPrime(-2), fieldPrime(+2), fieldPrime(+18),
		[32]byte(bytes.Repeat([]byte{0xff}, 32)))
	for _, b := range all[:len(all):len(all)] {
		b[31] ^= 0x80
		all = append(all, b)
	}
	return all
}

// compareX25519 runs a pair of keys here and in crypto/ecdh, and says whether the
// two have a shared secret.
func compareX25519(t *testing.T, secret, public [32]byte) bool {
	ours := keyPair{secret: secret}
	ours.derive()
	oracle, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil {
		t.Fatal(err)
	}
	if want := oracle.PublicKey().Bytes(); !bytes.Equal(ours.public[:], want) {
		t.Errorf("secret %x: public key %x, want %x", secret, ours.public, want)
	}
	theirs, err := ecdh.X25519().NewPublicKey(public[:])
	if err != nil {
		t.Fatal(err)
	}
	var got [32]byte
	want, wantErr := oracle.ECDH(theirs)
	switch err := ours.mix(&got, (*publicKey)(&public)); {
	case wantErr != nil && !errors.Is(err, ErrWeakKey):
		t.Errorf("public key %x: got %v, want %v", public, err, ErrWeakKey)
	case wantErr == nil && (err != nil || !bytes.Equal(got[:], want)):
		t.Errorf("secret %x, public key %x: got %x, %v, want %x", secret, public, got, err, want)
	}
	if ours.secret != secret || !bytes.Equal(theirs.Bytes(), public[:]) {
		t.Errorf("secret %x, public key %x: changed", secret, public)
	}
	return wantErr == nil
}

func TestX25519(t *testing.T) {
	shared := 0
	for _, secret := range edges() {
		for _, public := range edges() {
			if compareX25519(t, secret, public) {
				shared++
			}
		}
	}
	weak := 2 * len(lowOrder)
	if all := len(edges()); shared != all*(all-weak) {
		t.Errorf("%d pairs have a shared secret, want %d", shared, all*(all-weak))
	}
	for range 100 {
		compareX25519(t, newEphemeral().secret, newEphemeral().public)
	}
}

func FuzzX25519(f *testing.F) {
	for i, b := range edges() {
		f.Add(b[:], edges()[len(edges())-1-i][:])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var secret, public [32]byte
		copy(secret[:], a)
		copy(public[:], b)
		compareX25519(t, secret, public)
	})
}

// TestWiped holds on to ephemeral keys that were made ahead: nothing is left of
// those that a handshake took, however it ended, nor of those that none did.
func TestWiped(t *testing.T) {
	client, server := newTestIdentity(t), newTestIdentity(t)
	var all []*keyPair
	for range 4 {
		for _, id := range []*Identity{client, server} {
			key := newEphemeral()
			all = append(all, key)
			id.ahead.keys <- key
		}
	}
	for _, how := range []struct {
		network byte
		admits  error
		want    error
	}{{1, nil, nil}, {1, io.EOF, ErrRefused}, {2, nil, ErrRefused}} {
		a, b := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			Server(b, &Config{Key: server, Networks: [][32]byte{{1}}, Authorize: func([32]byte, int) error { return how.admits }})
			b.Close()
		})
		_, err := Client(a, &Config{Key: client, Networks: [][32]byte{{how.network}}, ServerKey: [32]byte(server.public())})
		if !errors.Is(err, how.want) {
			t.Errorf("got %v, want %v", err, how.want)
		}
		wg.Wait()
	}
	client.ahead.drop()
	server.ahead.drop()
	for i, key := range all {
		if *key != (keyPair{}) {
			t.Errorf("key %d is left", i)
		}
	}
}

// BenchmarkX25519 is each step beside that of crypto/ecdh.
func BenchmarkX25519(b *testing.B) {
	ours, theirs := newEphemeral(), newEphemeral()
	oracle, _ := ecdh.X25519().NewPrivateKey(ours.secret[:])
	public, _ := ecdh.X25519().NewPublicKey(theirs.public[:])
	var shared [32]byte
	for _, step := range []struct {
		name string
		run  func()
	}{
		{"mix", func() { ours.mix(&shared, &theirs.public) }},
		{"mix/ecdh", func() { oracle.ECDH(public) }},
		{"new", func() { newEphemeral() }},
		{"new/ecdh", func() { ecdh.X25519().GenerateKey(rand.Reader) }},
	} {
		b.Run(step.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				step.run()
			}
		})
	}
}
