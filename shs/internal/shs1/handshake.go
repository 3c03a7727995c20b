package shs1

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"syscall"

	"golang.org/x/crypto/nacl/secretbox"
)

// Notation, as in PROTOCOL.md §2: K is the network key; A and B are the
// long-term keys of client and server, a and b their ephemeral ones; x·y is
// X25519 of the secret of one with the public key of the other.

// Client runs the client's side of a handshake over rw. It reads and writes
// exactly the bytes of the four messages. After an error rw is of no more use;
// the caller closes it.
func Client(rw io.ReadWriter, cfg *Config) (*Session, error) {
	B, err := cfg.Key.peerCurve(&cfg.ServerKey)
	if err != nil {
		return nil, fmt.Errorf("server key: %w", err)
	}
	x := &exchange{Identity: cfg.Key, K: &cfg.Networks[0]}
	defer x.wipe()
	x.own = cfg.Key.ephemeral(cfg.Ephemeral)

	// Message 1: client hello.
	x.hello1.make(x.K, x.own.public[:])
	if _, err := rw.Write(x.hello1[:]); err != nil {
		return nil, fmt.Errorf("writing client hello: %w", refused(err))
	}

	// Message 2: server hello. What needs no b is worked out before it is there.
	if err := x.own.mix(&x.aB, &B); err != nil {
		return nil, fmt.Errorf("server key: %w", err)
	}
	b, err := x.readServerHello(rw)
	if err != nil {
		return nil, err
	}

	// Message 3: client proof, boxed under K | a·b | a·B.
	if err := x.mixHello(&b); err != nil {
		return nil, fmt.Errorf("server hello: %w", err)
	}
	statement := newClientStatement(x.K, cfg.ServerKey[:], &x.hashAB)
	copy(x.proof3.signature(), ed25519.Sign(x.key, statement[:]))
	copy(x.proof3.key(), x.public())
	seal(x.boxed3[:0], x.proof3[:], &x.k2)
	if _, err := rw.Write(x.boxed3[:]); err != nil {
		return nil, fmt.Errorf("writing client proof: %w", refused(err))
	}

	// Message 4: server proof, boxed under K | a·b | a·B | A·b.
	if err := x.mixProof(&x.curve, &b); err != nil {
		return nil, fmt.Errorf("server hello: %w", err)
	}
	if _, err := io.ReadFull(rw, x.boxed4[:]); err != nil {
		return nil, fmt.Errorf("reading server proof: %w", refused(err))
	}
	answer := newServerStatement(x.K, &x.proof3, &x.hashAB)
	if !open(x.proof4[:0], x.boxed4[:], &x.k3) || !verify(cfg.ServerKey[:], answer[:], x.proof4[:]) {
		return nil, fmt.Errorf("server proof: %w", ErrProof)
	}

	x.remember(&cfg.ServerKey, B)
	return &Session{
		Remote: cfg.ServerKey,
		Write:  x.half(cfg.ServerKey[:], &x.hello2),
		Read:   x.half(x.public(), &x.hello1),
	}, nil
}

// Server runs the server's side of a handshake over rw, as Client does the
// other. It writes nothing before it has seen a valid client hello, and nothing
// after a client proof that does not hold or that cfg.Authorize refuses.
func Server(rw io.ReadWriter, cfg *Config) (*Session, error) {
	x := &exchange{Identity: cfg.Key}
	defer x.wipe()

	// Message 1: client hello. A stranger to the network costs an HMAC per key.
	if _, err := io.ReadFull(rw, x.hello1[:]); err != nil {
		return nil, fmt.Errorf("reading client hello: %w", cut(err))
	}
	network := -1
	for i := range cfg.Networks { // all of them, whichever it is
		if x.hello1.under(&cfg.Networks[i]) && network < 0 {
			network = i
		}
	}
	if network < 0 {
		return nil, fmt.Errorf("client hello: %w", ErrHello)
	}
	x.K = &cfg.Networks[network]

	// Message 2: server hello.
	var a publicKey
	if err := cfg.work(1, func() (err error) { a, err = x.makeServerHello(cfg); return err }); err != nil {
		return nil, err
	}
	if _, err := rw.Write(x.hello2[:]); err != nil {
		return nil, fmt.Errorf("writing server hello: %w", cut(err))
	}

	// Message 3: client proof. The Diffie-Hellmans wait for it: whoever sends a
	// hello and leaves has cost one key pair.
	if _, err := io.ReadFull(rw, x.boxed3[:]); err != nil {
		return nil, fmt.Errorf("reading client proof: %w", cut(err))
	}
	var A publicKey
	if err := cfg.work(3, func() (err error) { A, err = x.makeServerProof(cfg, &a, network); return err }); err != nil {
		return nil, err
	}

	// Message 4: server proof.
	if _, err := rw.Write(x.boxed4[:]); err != nil {
		return nil, fmt.Errorf("writing server proof: %w", cut(err))
	}
	client := [32]byte(x.proof3.key())
	x.remember(&client, A)
	return &Session{
		Remote:  client,
		Network: network,
		Write:   x.half(client[:], &x.hello1),
		Read:    x.half(x.public(), &x.hello2),
	}, nil
}

// makeServerHello makes message 2, and returns the client's ephemeral key.
func (x *exchange) makeServerHello(cfg *Config) (a publicKey, err error) {
	x.own = cfg.Key.ephemeral(cfg.Ephemeral)
	x.hello2.make(x.K, x.own.public[:])
	if a, err = parseEphemeral(x.hello1.ephemeral(), x.hello2.ephemeral()); err != nil {
		return a, fmt.Errorf("client hello: %w", err)
	}
	return a, nil
}

// makeServerProof checks message 3, asks whether the client is admitted, and
// makes message 4, boxed under K | a·b | a·B | A·b. It returns the client's key
// for A·b.
func (x *exchange) makeServerProof(cfg *Config, a *publicKey, network int) (A publicKey, err error) {
	if A, err = x.openClientProof(a); err != nil {
		return A, fmt.Errorf("client proof: %w", err)
	}
	if err := cfg.authorize([32]byte(x.proof3.key()), network); err != nil {
		return A, fmt.Errorf("authorizing client: %w", err)
	}
	if err := x.mixProof(x.own, &A); err != nil {
		return A, fmt.Errorf("client proof: %w", err)
	}
	answer := newServerStatement(x.K, &x.proof3, &x.hashAB)
	seal(x.boxed4[:0], ed25519.Sign(x.key, answer[:]), &x.k3)
	return A, nil
}

func (cfg *Config) work(message int, do func() error) error {
	if cfg.Work == nil {
		return do()
	}
	return cfg.Work(message, do)
}

func (cfg *Config) authorize(client [32]byte, network int) error {
	if cfg.Authorize == nil {
		return nil
	}
	return cfg.Authorize(client, network)
}

// exchange is one handshake: its messages as they are on the wire, and what is
// in them and must be forgotten.
type exchange struct {
	*Identity
	K *[32]byte

	hello1, hello2 hello
	boxed3         boxedClientProof
	proof3         clientProof
	boxed4         boxedServerProof
	proof4         serverProof

	own    *keyPair // our ephemeral key: a at the client, b at the server
	ab, aB [32]byte
	hashAB [32]byte // SHA-256(a·b)
	k2     [32]byte // SHA-256(K | a·b | a·B): key of message 3
	k3     [32]byte // SHA-256(K | a·b | a·B | A·b): key of message 4
}

// readServerHello reads and checks message 2.
func (x *exchange) readServerHello(r io.Reader) (b publicKey, err error) {
	if _, err := io.ReadFull(r, x.hello2[:]); err != nil {
		return b, fmt.Errorf("reading server hello: %w", refused(err))
	}
	if !x.hello2.under(x.K) {
		return b, fmt.Errorf("server hello: %w", ErrHello)
	}
	if b, err = parseEphemeral(x.hello2.ephemeral(), x.hello1.ephemeral()); err != nil {
		return b, fmt.Errorf("server hello: %w", err)
	}
	return b, nil
}

// openClientProof opens and checks message 3, and returns the client's key for
// A·b.
func (x *exchange) openClientProof(a *publicKey) (A publicKey, err error) {
	if err := x.curve.mix(&x.aB, a); err != nil {
		return A, err
	}
	if err := x.mixHello(a); err != nil {
		return A, err
	}
	opened := open(x.proof3[:0], x.boxed3[:], &x.k2)
	if !opened {
		// A box that does not open tells whether the client knew B. Spend the
		// time of the signature all the same, so that a prober cannot tell by the
		// clock (the close looks the same).
		copy(x.proof3.key(), x.public())
		sig := x.proof3.signature()
		copy(sig, x.public())
		copy(sig[32:], x.public())
		sig[63] &= 0x0f // canonical, and not zero: either would take less
	}
	statement := newClientStatement(x.K, x.public(), &x.hashAB)
	if !verify(x.proof3.key(), statement[:], x.proof3.signature()) || !opened {
		// Likewise the time of looking at a key that nobody has proven.
		if p, err := goodPoint(x.public()); err == nil {
			p.BytesMontgomery()
		}
		return A, ErrProof
	}
	// Only now the key itself, which takes less time if it is known: that only
	// its owner may learn. A weak key has "signed" above and ends here.
	return x.peerCurve((*[32]byte)(x.proof3.key()))
}

// mixHello derives what both sides know after the hellos, from the other's
// ephemeral key and from a·B, which is there.
func (x *exchange) mixHello(other *publicKey) error {
	if err := x.own.mix(&x.ab, other); err != nil {
		return err
	}
	x.hashAB = sha256.Sum256(x.ab[:])
	x.k2 = hash(x.K[:], x.ab[:], x.aB[:])
	return nil
}

// mixProof derives the key of message 4 from own and remote part of A·b.
func (x *exchange) mixProof(secret *keyPair, public *publicKey) error {
	var Ab [32]byte
	defer clear(Ab[:])
	if err := secret.mix(&Ab, public); err != nil {
		return err
	}
	x.k3 = hash(x.K[:], x.ab[:], x.aB[:], Ab[:])
	return nil
}

// half derives the box stream towards the owner of the long-term key receiver,
// whose hello was h: key SHA-256(SHA-256(k3) | receiver), nonce the first 24
// bytes of the hello.
func (x *exchange) half(receiver []byte, h *hello) Half {
	k := sha256.Sum256(x.k3[:])
	defer clear(k[:])
	return Half{Key: hash(k[:], receiver), Nonce: [24]byte(h[:24])}
}

func (x *exchange) wipe() {
	if x.own != nil {
		x.own.wipe()
	}
	*x = exchange{}
}

// seal and open box one message. Each key is used for one box only, which makes
// the fixed zero nonce safe. Both append to dst, which has room.
func seal(dst, message []byte, key *[32]byte) {
	secretbox.Seal(dst, message, new([24]byte), key)
}

func open(dst, box []byte, key *[32]byte) bool {
	_, ok := secretbox.Open(dst, box, new([24]byte), key)
	return ok
}

// hash is SHA-256 of the joined parts, 128 bytes at most.
func hash(parts ...[]byte) [32]byte {
	var all [4 * keySize]byte
	defer clear(all[:])
	n := 0
	for _, p := range parts {
		n += copy(all[n:], p)
	}
	return sha256.Sum256(all[:n])
}

// refused turns the end of the connection into ErrRefused: the server closes,
// and by that alone says no. A message cut in its middle is a cut.
func refused(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return ErrRefused
	}
	return err
}

// cut keeps io.EOF for the clean end of a stream, which a handshake has not.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
