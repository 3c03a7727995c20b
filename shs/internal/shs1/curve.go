package shs1

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"fmt"

	"filippo.io/edwards25519"
)

// lowOrder holds the Montgomery u-coordinates of low order, of the curve and of
// its twist, in each spelling below 2^255: a shared secret with one of them is
// zero whatever our secret is. The top bit of a key is ignored by X25519, so
// two encodings stand for each.
var lowOrder = [...][32]byte{
	{},  // 0
	{1}, // 1
	{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
		0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00}, // order 8
	{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
		0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57}, // order 8
	fieldPrime(-1),
	fieldPrime(0),
	fieldPrime(+1),
}

// fieldPrime is the little-endian form of 2^255 - 19 + d, for a small d.
func fieldPrime(d int) [32]byte {
	b := [32]byte{byte(0xed + d)}
	for i := 1; i < 31; i++ {
		b[i] = 0xff
	}
	b[31] = 0x7f
	return b
}

// parseEphemeral reads the peer's X25519 key out of its hello. It refuses what
// would make the shared secret known to everybody, and our own key: a hello
// that was sent back to us. It does no curve arithmetic, so that a server can
// look at message 1 at no cost.
func parseEphemeral(b, own []byte) (u publicKey, err error) {
	masked := [32]byte(b)
	masked[31] &= 0x7f
	for i := range lowOrder {
		if masked == lowOrder[i] {
			return u, fmt.Errorf("%w: ephemeral key of low order", ErrWeakKey)
		}
	}
	if bytes.Equal(b, own) {
		return u, fmt.Errorf("%w: our own ephemeral key came back", ErrWeakKey)
	}
	return publicKey(b), nil
}

// setSecret makes the X25519 form of an Ed25519 key, libsodium's
// crypto_sign_ed25519_sk_to_curve25519.
func (k *keyPair) setSecret(key ed25519.PrivateKey) {
	h := sha512.Sum512(key[:ed25519.SeedSize])
	defer clear(h[:])
	copy(k.secret[:], h[:])
	k.derive()
}

// CheckKey refuses every Ed25519 public key that no honest party has, with an
// ErrWeakKey: no point of the curve, a spelling that is not the canonical one,
// a point of small order (it "signs" everything: eprint 2019/526 §7.1), and a
// point outside the prime-order group. libsodium refuses the same ones.
func CheckKey(key [32]byte) error {
	_, err := goodPoint(key[:])
	return err
}

func goodPoint(key []byte) (*edwards25519.Point, error) {
	p, err := new(edwards25519.Point).SetBytes(key)
	if err != nil {
		return nil, fmt.Errorf("%w: no point of the curve", ErrWeakKey)
	}
	// y ≥ p, or a sign for x = 0. All of these happen to fail below as well; the
	// protocol names them, so they have a line of their own.
	if !bytes.Equal(p.Bytes(), key) {
		return nil, fmt.Errorf("%w: not the canonical spelling", ErrWeakKey)
	}
	p8 := new(edwards25519.Point).MultByCofactor(p)
	if p8.Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, fmt.Errorf("%w: point of small order", ErrWeakKey)
	}
	// (l-1)·P + P is zero for a point of the prime-order group, whose order is l,
	// and for no other: l is odd, so a part of small order would stay.
	zero := edwards25519.NewScalar()
	lP := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(minusOne(), p, zero)
	if lP.Add(lP, p).Equal(edwards25519.NewIdentityPoint()) != 1 {
		return nil, fmt.Errorf("%w: point outside the prime-order group", ErrWeakKey)
	}
	return p, nil
}

// minusOne is l-1, for the order l of the prime-order group.
func minusOne() *edwards25519.Scalar {
	b := [32]byte{1}
	one, err := edwards25519.NewScalar().SetCanonicalBytes(b[:])
	if err != nil {
		panic("shs1: 1 is a canonical scalar")
	}
	return one.Negate(one)
}

// verify checks an Ed25519 signature. It refuses an R of small order, too: honest
// signers never make one. The key is to be checked beside: a weak one signs
// everything.
func verify(key, message, signature []byte) bool {
	return !smallOrder([32]byte(signature[:32])) && ed25519.Verify(key, message, signature)
}

// smallOrder says whether an Ed25519 point is one of the eight of small order, in
// any spelling: it is known by y alone.
func smallOrder(point [32]byte) bool {
	point[31] &= 0x7f
	for i := range smallOrderY {
		if point == smallOrderY[i] {
			return true
		}
	}
	return false
}

// smallOrderY holds the y-coordinates of the points of small order, in each
// spelling below 2^255.
var smallOrderY = [...][32]byte{
	{},  // 0: order 4
	{1}, // order 1
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05}, // order 8
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}, // order 8
	fieldPrime(-1), // order 2
	fieldPrime(0),
	fieldPrime(+1),
}
