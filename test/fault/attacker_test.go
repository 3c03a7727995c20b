//go:build fault

package fault_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"

	"filippo.io/edwards25519"
	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/secretbox"

	"github.com/cad2f06c/switchboard/shs"
)

// party is one side of the handshake and the box stream in the hands of an
// attacker: written once more from PROTOCOL.md §2, checking nothing, and with
// every part open to be set to what no honest peer sends.
type party struct {
	network   []byte
	key       ed25519.PrivateKey // nil: has none, and ends where one is needed
	public    []byte             // own long-term key as sent
	server    []byte             // long-term key of the server
	eph       []byte
	ephPublic []byte
	zero      bool // the ephemeral key makes all shared secrets zero
	sign      func(message []byte) []byte
	hello     [2][]byte
	out, in   direction
}

// direction is one way of the box stream.
type direction struct {
	key   [32]byte
	nonce [24]byte
}

var errAttacker = errors.New("attacker: the other side does not follow the protocol")

// newParty is an honest party with the key of seed, facing server; more may be
// changed before it begins.
func newParty(seed [32]byte, server shs.PublicKey) *party {
	network := shs.DefaultNetworkKey()
	p := &party{network: network[:], server: server[:], key: ed25519.NewKeyFromSeed(seed[:]), eph: make([]byte, 32)}
	rand.Read(p.eph)
	p.public = p.key.Public().(ed25519.PublicKey)
	p.ephPublic, _ = curve25519.X25519(p.eph, curve25519.Basepoint) // never fails for the base point
	p.sign = func(m []byte) []byte { return ed25519.Sign(p.key, m) }
	return p
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func (p *party) mac(b []byte) []byte {
	h := hmac.New(sha512.New, p.network)
	h.Write(b)
	return h.Sum(nil)[:32]
}

func (p *party) hash(parts ...[]byte) [32]byte { return sha256.Sum256(join(parts...)) }

// mul is X25519, or zero where somebody has arranged for it.
func (p *party) mul(secret, public []byte) []byte {
	out, err := curve25519.X25519(secret, public)
	if p.zero || err != nil {
		return make([]byte, 32)
	}
	return out
}

// onCurve is the X25519 form of a long-term key.
func onCurve(key []byte) []byte {
	p, err := new(edwards25519.Point).SetBytes(key)
	if err != nil {
		return make([]byte, 32)
	}
	return p.BytesMontgomery()
}

// half is the X25519 secret of a long-term key.
func (p *party) half() []byte {
	h := sha512.Sum512(p.key.Seed())
	return h[:32]
}

// hello1 is message 1.
func (p *party) hello1() []byte {
	p.hello[0] = join(p.mac(p.ephPublic), p.ephPublic)
	return p.hello[0]
}

// client runs the client's side as far as it can.
func (p *party) client(rw io.ReadWriter) error {
	if _, err := rw.Write(p.hello1()); err != nil {
		return err
	}
	p.hello[1] = make([]byte, 64)
	if !p.zero || p.key != nil { // who knows all secrets need not wait
		if _, err := io.ReadFull(rw, p.hello[1]); err != nil {
			return err
		}
	}
	b := p.hello[1][32:]
	ab, aB := p.mul(p.eph, b), p.mul(p.eph, onCurve(p.server))
	hashAB := p.hash(ab)
	k2 := p.hash(p.network, ab, aB)
	sigA := p.sign(join(p.network, p.server, hashAB[:]))
	if _, err := rw.Write(secretbox.Seal(nil, join(sigA, p.public), new([24]byte), &k2)); err != nil {
		return err
	}
	msg4 := make([]byte, 80)
	if _, err := io.ReadFull(rw, msg4); err != nil {
		return err
	}
	if p.key == nil {
		return nil
	}
	k3 := p.hash(p.network, ab, aB, p.mul(p.half(), b))
	sigB, ok := secretbox.Open(nil, msg4, new([24]byte), &k3)
	if !ok || !ed25519.Verify(p.server, join(p.network, sigA, p.public, hashAB[:]), sigB) {
		return errAttacker
	}
	p.finish(k3, p.server, p.public)
	return nil
}

// serve runs the server's side as far as it can, with key and public those of
// the server.
func (p *party) serve(rw io.ReadWriter) error {
	p.hello[0] = make([]byte, 64)
	if _, err := io.ReadFull(rw, p.hello[0]); err != nil {
		return err
	}
	a := p.hello[0][32:]
	if _, err := rw.Write(join(p.mac(p.ephPublic), p.ephPublic)); err != nil {
		return err
	}
	msg3 := make([]byte, 112)
	if _, err := io.ReadFull(rw, msg3); err != nil {
		return err
	}
	ab, aB := p.mul(p.eph, a), p.mul(p.half(), a)
	hashAB := p.hash(ab)
	k2 := p.hash(p.network, ab, aB)
	proof, ok := secretbox.Open(nil, msg3, new([24]byte), &k2)
	if !ok {
		return errAttacker
	}
	k3 := p.hash(p.network, ab, aB, p.mul(p.eph, onCurve(proof[64:])))
	_, err := rw.Write(secretbox.Seal(nil, p.sign(join(p.network, proof, hashAB[:])), new([24]byte), &k3))
	return err
}

// finish derives the keys of the box stream at the client.
func (p *party) finish(k3 [32]byte, server, client []byte) {
	s := p.hash(k3[:])
	p.out = direction{p.hash(s[:], server), [24]byte(p.hello[1])}
	p.in = direction{p.hash(s[:], client), [24]byte(p.hello[0])}
}

// next returns the nonce, and counts on.
func (d *direction) next() *[24]byte {
	was := d.nonce
	for i := len(d.nonce) - 1; i >= 0; i-- {
		if d.nonce[i]++; d.nonce[i] != 0 {
			break
		}
	}
	return &was
}

// seal is a box; its header claims size bytes.
func (d *direction) seal(body []byte, size int) []byte {
	n := d.next()
	boxed := secretbox.Seal(nil, body, d.next(), &d.key)
	header := binary.BigEndian.AppendUint16(nil, uint16(size))
	return append(secretbox.Seal(nil, append(header, boxed[:16]...), n, &d.key), boxed[16:]...)
}

func (d *direction) goodbye() []byte { return secretbox.Seal(nil, make([]byte, 18), d.next(), &d.key) }

// open reads a box; io.EOF is the goodbye.
func (d *direction) open(r io.Reader) ([]byte, error) {
	boxed := make([]byte, 34)
	if _, err := io.ReadFull(r, boxed); err != nil {
		return nil, err
	}
	header, ok := secretbox.Open(nil, boxed, d.next(), &d.key)
	if !ok {
		return nil, errAttacker
	}
	if bytes.Equal(header, make([]byte, 18)) {
		return nil, io.EOF
	}
	body := make([]byte, binary.BigEndian.Uint16(header))
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	if body, ok = secretbox.Open(nil, join(header[2:], body), d.next(), &d.key); !ok {
		return nil, errAttacker
	}
	return body, nil
}

// order8 is y of a point of order 8; order8b that of the other pair.
const (
	order8  = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
	order8b = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
)

// smallOrder are all encodings of Ed25519 points of small order: seven values
// of y, each with both signs.
func smallOrder(t testing.TB) [][]byte {
	return bothTops(unhex(t, order8), unhex(t, order8b))
}

// lowOrder are all encodings of X25519 keys of low order.
func lowOrder(t testing.TB) [][]byte {
	return bothTops(unhex(t, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
		unhex(t, "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"))
}

// bothTops are 0, 1, two values of order 8, p-1, p and p+1, with and without
// the top bit.
func bothTops(a, b []byte) (all [][]byte) {
	prime := join([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30), []byte{0x7f})
	one, below, above := make([]byte, 32), slices.Clone(prime), slices.Clone(prime)
	one[0] = 1
	below[0]--
	above[0]++
	for _, v := range [][]byte{make([]byte, 32), one, a, b, below, prime, above} {
		w := slices.Clone(v)
		w[31] ^= 0x80
		all = append(all, v, w)
	}
	return all
}

// mixedOrder is a good key plus each point of small order but zero.
func mixedOrder(t testing.TB, good []byte) (all [][]byte) {
	p, perr := new(edwards25519.Point).SetBytes(good)
	small, err := new(edwards25519.Point).SetBytes(unhex(t, order8))
	must(t, errors.Join(perr, err))
	for range 7 {
		all = append(all, p.Add(p, small).Bytes())
	}
	return all
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	must(t, err)
	return b
}

// forge signs under a weak key A, of which a is the part that is known: the
// rest is right by luck, for one nonce in eight.
func forge(t testing.TB, A []byte, a *edwards25519.Scalar) func([]byte) []byte {
	return func(message []byte) []byte {
		for i := range uint64(1 << 12) {
			r := scalar(t, binary.BigEndian.AppendUint64([]byte("nonce"), i))
			sig := signature(t, new(edwards25519.Point).ScalarBaseMult(r).Bytes(), r, A, a, message)
			if ed25519.Verify(A, message, sig) {
				return sig
			}
		}
		return make([]byte, 64) // a spelling that Go's Verify does not take either
	}
}

// signature is R and S = r + k·a.
func signature(t testing.TB, R []byte, r *edwards25519.Scalar, A []byte, a *edwards25519.Scalar, message []byte) []byte {
	if a == nil {
		return join(R, r.Bytes())
	}
	k := scalar(t, join(R, A, message))
	return join(R, k.MultiplyAdd(k, a, r).Bytes())
}

func scalar(t testing.TB, b []byte) *edwards25519.Scalar {
	h := sha512.Sum512(b)
	s, err := edwards25519.NewScalar().SetUniformBytes(h[:])
	must(t, err)
	return s
}

// secretScalar is the secret of a key as a scalar.
func secretScalar(t testing.TB, key ed25519.PrivateKey) *edwards25519.Scalar {
	h := sha512.Sum512(key.Seed())
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	must(t, err)
	return s
}
