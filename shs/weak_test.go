package shs

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"testing"

	"filippo.io/edwards25519"
	"golang.org/x/crypto/curve25519"
)

// F13: keys that no honest party has, with which the attack of eprint 2019/526
// §7.1 logs in without knowing the server.

// torsion8 is a point of order 8, with which all others of small order come.
const torsion8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"

// smallOrder are all encodings of Ed25519 points of small order: seven values of
// y, two of which are not below p, each with both signs.
func smallOrder() [][]byte {
	prime := append(append([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f)
	above, below := slices.Clone(prime), slices.Clone(prime)
	above[0]++
	below[0]--
	y8, _ := hex.DecodeString(torsion8)
	y8b, _ := hex.DecodeString("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
	y8b[31] &= 0x7f
	one := make([]byte, 32)
	one[0] = 1
	return bothSigns(make([]byte, 32), one, y8, y8b, below, prime, above)
}

// lowOrderU are all encodings of X25519 keys of low order.
func lowOrderU() [][]byte {
	prime := append(append([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f)
	above, below := slices.Clone(prime), slices.Clone(prime)
	above[0]++
	below[0]--
	one := make([]byte, 32)
	one[0] = 1
	a, _ := hex.DecodeString("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
	b, _ := hex.DecodeString("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")
	return bothSigns(make([]byte, 32), one, a, b, below, prime, above)
}

func bothSigns(values ...[]byte) (all [][]byte) {
	for _, v := range values {
		w := slices.Clone(v)
		w[31] ^= 0x80
		all = append(all, v, w)
	}
	return all
}

// mixedOrder are a good key plus each point of small order.
func mixedOrder(t *testing.T, good PublicKey) (all [][]byte) {
	t.Helper()
	y8, _ := hex.DecodeString(torsion8)
	T, err := new(edwards25519.Point).SetBytes(y8)
	if err != nil {
		t.Fatal(err)
	}
	p, err := new(edwards25519.Point).SetBytes(good[:])
	if err != nil {
		t.Fatal(err)
	}
	for range 7 {
		all = append(all, p.Add(p, T).Bytes())
	}
	return all
}

// TestWeakConstants shows that the lists are what they say.
func TestWeakConstants(t *testing.T) {
	for _, b := range smallOrder() {
		p, err := new(edwards25519.Point).SetBytes(b)
		if err != nil {
			t.Errorf("%x is no point", b)
		} else if p.MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) != 1 {
			t.Errorf("%x is not of small order", b)
		}
	}
	secret := sum("any secret")
	for _, b := range lowOrderU() {
		if _, err := curve25519.X25519(secret[:], b); err == nil {
			t.Errorf("%x is not of low order", b)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for _, b := range append(smallOrder(), mixedOrder(t, alice.Public())...) {
		if err := PublicKey(b).Check(); !errors.Is(err, ErrWeakKey) {
			t.Errorf("%x: got %v, want %v", b, err, ErrWeakKey)
		}
	}
	for y := range byte(19) { // every y from p on, with both signs
		b := bytes.Repeat([]byte{0xff}, 32)
		b[0] = 0xed + y
		for _, top := range []byte{0x7f, 0xff} {
			b[31] = top
			if err := PublicKey(b).Check(); !errors.Is(err, ErrWeakKey) {
				t.Errorf("%x: got %v, want %v", b, err, ErrWeakKey)
			}
		}
	}
	noPoint := PublicKey{2} // y = 2 is not on the curve
	if err := noPoint.Check(); !errors.Is(err, ErrWeakKey) {
		t.Errorf("no point: got %v, want %v", err, ErrWeakKey)
	}
	for range 100 {
		if err := GenerateKey().Public().Check(); err != nil {
			t.Errorf("a good key: %v", err)
		}
	}
}

// forge signs under a weak key: S·B = R + k·A holds by luck if k·A is that of
// the part of A we know, which takes 8 tries at most on average. known is the
// secret scalar of the part of large order, nil if there is none.
func forge(t *testing.T, A []byte, known *edwards25519.Scalar) func([]byte) []byte {
	return func(message []byte) []byte {
		for i := range uint64(1 << 16) {
			r := scalar(binary.BigEndian.AppendUint64([]byte("nonce"), i))
			R := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
			sig := signWith(R, r, A, known, message)
			if ed25519.Verify(A, message, sig) {
				return sig
			}
		}
		return make([]byte, 64) // not canonical: Verify compares spellings of A nowhere, but may refuse
	}
}

// signWith is R and S = r + k·a.
func signWith(R []byte, r *edwards25519.Scalar, A []byte, a *edwards25519.Scalar, message []byte) []byte {
	if a == nil {
		return join(R, r.Bytes())
	}
	k := scalar(join(R, A, message))
	return join(R, k.MultiplyAdd(k, a, r).Bytes())
}

// scalar is SHA-512 modulo the group order.
func scalar(b []byte) *edwards25519.Scalar {
	h := sha512.Sum512(b)
	s, err := edwards25519.NewScalar().SetUniformBytes(h[:])
	if err != nil {
		panic(err)
	}
	return s
}

// secretScalar is the secret of a key as a scalar.
func secretScalar(key PrivateKey) *edwards25519.Scalar {
	h := sha512.Sum512(key.pair[:32])
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		panic(err)
	}
	return s
}

// attackServer runs an attacker against our server and checks that it fails.
func attackServer(t *testing.T, attacker *refParty, sent int) {
	t.Helper()
	a, b := net.Pipe()
	rec := &recording{Conn: b}
	_, cfg := configs(Box)
	cfg.Authorize = func(k PublicKey, _ Mode) error {
		t.Errorf("asked to authorize %x", k[:])
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- Server(rec, cfg).Handshake(t.Context()) }()
	attacker.client(a)
	err := <-done
	if !errors.Is(err, ErrWeakKey) && !errors.Is(err, ErrProof) {
		t.Errorf("ephemeral %x, key %x: got %v, want %v", attacker.ephPublic, attacker.longTerm, err, ErrWeakKey)
	}
	if rec.Len() != sent {
		t.Errorf("ephemeral %x, key %x: the server sent %d bytes, want %d", attacker.ephPublic, attacker.longTerm, rec.Len(), sent)
	}
}

func TestWeakEphemeralAtServer(t *testing.T) {
	for _, u := range lowOrderU() {
		for _, A := range smallOrder() {
			attacker := refAlice()
			attacker.key, attacker.longTerm, attacker.zero, attacker.ephPublic = nil, A, true, u
			attacker.sign = forge(t, A, nil)
			attackServer(t, attacker, 0)
		}
	}
}

func TestWeakClientKey(t *testing.T) {
	for _, A := range smallOrder() {
		attacker := refAlice() // knows the server's key, and has a good ephemeral
		attacker.key, attacker.longTerm, attacker.sign = nil, A, forge(t, A, nil)
		attackServer(t, attacker, 64)
	}
	for _, A := range mixedOrder(t, alice.Public()) {
		attacker := refAlice()
		attacker.key, attacker.longTerm, attacker.sign = nil, A, forge(t, A, secretScalar(alice))
		attackServer(t, attacker, 64)
	}
}

func TestWeakClientSignature(t *testing.T) {
	for _, R := range smallOrder() {
		attacker := refAlice()
		key := alice.Public()
		attacker.sign = func(m []byte) []byte {
			return signWith(R, edwards25519.NewScalar(), key[:], secretScalar(alice), m)
		}
		attackServer(t, attacker, 64)
	}
}

// attackClient runs an attacking server against our client.
func attackClient(t *testing.T, attacker *refParty, sent int) {
	t.Helper()
	a, b := net.Pipe()
	rec := &recording{Conn: a}
	cfg, _ := configs(Box)
	done := make(chan error, 1)
	client := Client(rec, cfg)
	go func() { done <- client.Handshake(t.Context()) }()
	attacker.serve(b)
	b.Close()
	err := <-done
	if !errors.Is(err, ErrWeakKey) && !errors.Is(err, ErrProof) {
		t.Errorf("ephemeral %x: got %v, want %v", attacker.ephPublic, err, ErrWeakKey)
	}
	if rec.Len() != sent || !client.RemoteKey().IsZero() {
		t.Errorf("ephemeral %x: the client sent %d bytes, want %d; remote %v", attacker.ephPublic, rec.Len(), sent, client.RemoteKey())
	}
}

func TestWeakEphemeralAtClient(t *testing.T) {
	for _, u := range lowOrderU() {
		attacker := refBob()
		attacker.zero, attacker.ephPublic = true, u
		attackClient(t, attacker, 64)
	}
}

func TestWeakServerSignature(t *testing.T) {
	key := bob.Public()
	for _, R := range smallOrder() {
		attacker := refBob()
		attacker.sign = func(m []byte) []byte {
			return signWith(R, edwards25519.NewScalar(), key[:], secretScalar(bob), m)
		}
		attackClient(t, attacker, 64+112)
	}
}

// TestWeakServerKey is a configured key: nothing may leave the client.
func TestWeakServerKey(t *testing.T) {
	for _, B := range append(smallOrder(), mixedOrder(t, bob.Public())...) {
		a, b := net.Pipe()
		go drain(b)
		rec := &recording{Conn: a}
		err := Client(rec, &Config{Key: alice, ServerKey: PublicKey(B)}).Handshake(t.Context())
		if !errors.Is(err, ErrWeakKey) || rec.Len() != 0 {
			t.Errorf("%x: got %v after %d bytes, want %v after none", B, err, rec.Len(), ErrWeakKey)
		}
		if _, err := ParseAddresses(Address{"unix", "/s", PublicKey(B)}.String()); !errors.Is(err, ErrWeakKey) {
			t.Errorf("%x in an address: got %v, want %v", B, err, ErrWeakKey)
		}
	}
}

// TestReflectedHello is a server that knows nothing and sends our hello back.
func TestReflectedHello(t *testing.T) {
	a, b := net.Pipe()
	cfg, _ := configs(Box)
	go func() {
		hello := make([]byte, 64)
		b.Read(hello)
		b.Write(hello)
		drain(b)
	}()
	if err := Client(a, cfg).Handshake(t.Context()); !errors.Is(err, ErrWeakKey) {
		t.Errorf("got %v, want %v", err, ErrWeakKey)
	}
}
