package shs

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"testing"

	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/secretbox"
)

// This file is SHS1 and the box stream once more, in a straight line from the
// description, sharing no code with the package: an independent peer for tests.
// It checks only what an honest peer must.

// refHalf is one direction.
type refHalf struct {
	key   [32]byte
	nonce [24]byte
}

// refParty is one side of a handshake. Its zero fields are made by begin;
// attackers set them.
type refParty struct {
	network        [32]byte
	key            ed25519.PrivateKey
	server         []byte // B
	eph            []byte // own ephemeral secret
	ephPublic      []byte
	k2, k3         [32]byte
	hashAB         [32]byte
	zero           bool // an attacker's ephemeral of low order: a·b and a·B are 0
	sign           func(message []byte) (signature []byte)
	longTerm       []byte // own public key as sent
	write, read    refHalf
	hello1, hello2 []byte
}

func (p *refParty) begin() {
	if p.eph == nil {
		p.eph = make([]byte, 32)
		rand.Read(p.eph)
	}
	if p.ephPublic == nil {
		p.ephPublic, _ = curve25519.X25519(p.eph, curve25519.Basepoint)
	}
	if p.longTerm == nil {
		p.longTerm = p.key.Public().(ed25519.PublicKey)
	}
	if p.sign == nil {
		p.sign = func(m []byte) []byte { return ed25519.Sign(p.key, m) }
	}
}

var errReference = errors.New("reference: the other side does not follow the protocol")

func refMAC(key [32]byte, message []byte) []byte {
	h := hmac.New(sha512.New, key[:])
	h.Write(message)
	return h.Sum(nil)[:32]
}

// refMontgomery is u = (1+y)/(1-y) in big integers.
func refMontgomery(edwards []byte) []byte {
	prime := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	b := slices.Clone(edwards)
	b[31] &= 0x7f
	slices.Reverse(b)
	y := new(big.Int).SetBytes(b)
	above := new(big.Int).Add(big.NewInt(1), y)
	below := new(big.Int).Sub(big.NewInt(1), y)
	below.ModInverse(below.Mod(below, prime), prime)
	u := above.Mul(above, below)
	out := u.Mod(u, prime).FillBytes(make([]byte, 32))
	slices.Reverse(out)
	return out
}

func refSecret(key ed25519.PrivateKey) []byte {
	h := sha512.Sum512(key[:32])
	return h[:32]
}

// mul is X25519, or the zero of an attacker who has made it so.
func (p *refParty) mul(secret, public []byte) []byte {
	if p.zero {
		return make([]byte, 32)
	}
	out, err := curve25519.X25519(secret, public)
	if err != nil {
		panic(err) // only tests with honest peers come here
	}
	return out
}

// client runs the client's side.
func (p *refParty) client(rw io.ReadWriter) error {
	p.begin()
	p.hello1 = join(refMAC(p.network, p.ephPublic), p.ephPublic)
	if _, err := rw.Write(p.hello1); err != nil {
		return err
	}
	p.hello2 = make([]byte, 64)
	if _, err := io.ReadFull(rw, p.hello2); err != nil {
		return err
	}
	b := p.hello2[32:]
	if !bytes.Equal(p.hello2[:32], refMAC(p.network, b)) {
		return errReference
	}
	ab, aB := p.mul(p.eph, b), p.mul(p.eph, refMontgomery(p.server))
	p.hashAB = sha256.Sum256(ab)
	p.k2 = sha256.Sum256(join(p.network[:], ab, aB))
	sigA := p.sign(join(p.network[:], p.server, p.hashAB[:]))
	var zero [24]byte
	if _, err := rw.Write(secretbox.Seal(nil, join(sigA, p.longTerm), &zero, &p.k2)); err != nil {
		return err
	}
	if p.key == nil {
		_, err := io.ReadFull(rw, make([]byte, 80))
		return err // an attacker has no A to go on with
	}
	Ab := p.mul(refSecret(p.key), b)
	p.k3 = sha256.Sum256(join(p.network[:], ab, aB, Ab))
	msg4 := make([]byte, 80)
	if _, err := io.ReadFull(rw, msg4); err != nil {
		return err
	}
	sigB, ok := secretbox.Open(nil, msg4, &zero, &p.k3)
	if !ok || !ed25519.Verify(p.server, join(p.network[:], sigA, p.longTerm, p.hashAB[:]), sigB) {
		return errReference
	}
	p.finish(&p.write, p.server, p.hello2)
	p.finish(&p.read, p.longTerm, p.hello1)
	return nil
}

// serve runs the server's side; p.server is its own public key.
func (p *refParty) serve(rw io.ReadWriter) (client []byte, err error) {
	p.begin()
	p.hello1 = make([]byte, 64)
	if _, err := io.ReadFull(rw, p.hello1); err != nil {
		return nil, err
	}
	a := p.hello1[32:]
	if !bytes.Equal(p.hello1[:32], refMAC(p.network, a)) {
		return nil, errReference
	}
	p.hello2 = join(refMAC(p.network, p.ephPublic), p.ephPublic)
	if _, err := rw.Write(p.hello2); err != nil {
		return nil, err
	}
	msg3 := make([]byte, 112)
	if _, err := io.ReadFull(rw, msg3); err != nil {
		return nil, err
	}
	ab, aB := p.mul(p.eph, a), p.mul(refSecret(p.key), a)
	p.hashAB = sha256.Sum256(ab)
	p.k2 = sha256.Sum256(join(p.network[:], ab, aB))
	var zero [24]byte
	proof, ok := secretbox.Open(nil, msg3, &zero, &p.k2)
	if !ok || !ed25519.Verify(proof[64:], join(p.network[:], p.server, p.hashAB[:]), proof[:64]) {
		return nil, errReference
	}
	client = proof[64:]
	Ab := p.mul(p.eph, refMontgomery(client))
	p.k3 = sha256.Sum256(join(p.network[:], ab, aB, Ab))
	sigB := p.sign(join(p.network[:], proof, p.hashAB[:]))
	if _, err := rw.Write(secretbox.Seal(nil, sigB, &zero, &p.k3)); err != nil {
		return nil, err
	}
	p.finish(&p.write, client, p.hello1)
	p.finish(&p.read, p.server, p.hello2)
	return client, nil
}

func (p *refParty) finish(h *refHalf, receiver, hello []byte) {
	twice := sha256.Sum256(p.k3[:])
	h.key = sha256.Sum256(join(twice[:], receiver))
	h.nonce = [24]byte(hello)
}

// use returns the current nonce and counts it on, as a big integer.
func (h *refHalf) use() *[24]byte {
	was := h.nonce
	n := new(big.Int).SetBytes(h.nonce[:])
	n.Add(n, big.NewInt(1))
	n.Mod(n, new(big.Int).Lsh(big.NewInt(1), 192))
	n.FillBytes(h.nonce[:])
	return &was
}

func (h *refHalf) seal(body []byte) []byte {
	n := h.use()
	boxed := secretbox.Seal(nil, body, h.use(), &h.key)
	header := append([]byte{byte(len(body) >> 8), byte(len(body))}, boxed[:16]...)
	return append(secretbox.Seal(nil, header, n, &h.key), boxed[16:]...)
}

func (h *refHalf) goodbye() []byte {
	return secretbox.Seal(nil, make([]byte, 18), h.use(), &h.key)
}

// open reads one box; io.EOF is the goodbye.
func (h *refHalf) open(r io.Reader) ([]byte, error) {
	boxed := make([]byte, 34)
	if _, err := io.ReadFull(r, boxed); err != nil {
		return nil, err
	}
	header, ok := secretbox.Open(nil, boxed, h.use(), &h.key)
	if !ok {
		return nil, errReference
	}
	if bytes.Equal(header, make([]byte, 18)) {
		return nil, io.EOF
	}
	body := make([]byte, int(header[0])<<8|int(header[1]))
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	body, ok = secretbox.Open(nil, join(header[2:], body), h.use(), &h.key)
	if !ok {
		return nil, errReference
	}
	return body, nil
}

// refAlice is the reference as alice who dials bob.
func refAlice() *refParty {
	key := alice.pair
	server := bob.Public()
	return &refParty{network: DefaultNetworkKey(), key: key[:], server: server[:]}
}

// refBob is the reference as bob.
func refBob() *refParty {
	p, key := refAlice(), bob.pair
	p.key = key[:]
	return p
}

func TestReferenceClient(t *testing.T) {
	raw, rawServer := net.Pipe()
	_, cfg := configs(Box)
	server := Server(rawServer, cfg)
	defer server.Abort()
	go echo(server)
	p := refAlice()
	if err := p.client(raw); err != nil {
		t.Fatal(err)
	}
	checkEcho(t, raw, p)
}

func TestReferenceServer(t *testing.T) {
	rawClient, raw := net.Pipe()
	cfg, _ := configs(Box)
	client := Client(rawClient, cfg)
	defer client.Abort()
	go echo(client)
	p := refBob()
	remote, err := p.serve(raw)
	if err != nil {
		t.Fatal(err)
	}
	if key := PublicKey(remote); key != alice.Public() {
		t.Errorf("the client is %v, want %v", key, alice.Public())
	}
	checkEcho(t, raw, p)
}

// echo sends back what it reads, then the goodbye.
func echo(c *Conn) {
	if _, err := io.Copy(c, c); err == nil {
		c.CloseWrite()
	}
}

// checkEcho talks box stream to an echo.
func checkEcho(t *testing.T, raw net.Conn, p *refParty) {
	t.Helper()
	for _, size := range []int{1, 5, 4095, 4096} {
		want := bytes.Repeat([]byte{byte(size)}, size)
		if _, err := raw.Write(p.write.seal(want)); err != nil {
			t.Fatal(err)
		}
		got, err := p.read.open(raw)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("echo of %d bytes: got %d, %v", size, len(got), err)
		}
	}
	if _, err := raw.Write(p.write.goodbye()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.read.open(raw); err != io.EOF {
		t.Errorf("after the goodbye: got %v, want its answer", err)
	}
}
