package shs1

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
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
	K := &cfg.Networks[0]
	A, a, B, err := clientKeys(cfg)
	if err != nil {
		return nil, err
	}
	var s secrets
	defer s.wipe()

	// Message 1: client hello.
	msg1 := newHello(K, a.PublicKey().Bytes())
	if _, err := rw.Write(msg1[:]); err != nil {
		return nil, fmt.Errorf("writing client hello: %w", refused(err))
	}

	// Message 2: server hello.
	var msg2 hello
	if _, err := io.ReadFull(rw, msg2[:]); err != nil {
		return nil, fmt.Errorf("reading server hello: %w", refused(err))
	}
	if !msg2.under(K) {
		return nil, fmt.Errorf("server hello: %w", ErrHello)
	}
	b, err := parseEphemeral(msg2.ephemeral(), msg1.ephemeral())
	if err != nil {
		return nil, fmt.Errorf("server hello: %w", err)
	}

	// Message 3: client proof, boxed under K | a·b | a·B.
	if err := s.mixHello(K, a, b, a, B); err != nil {
		return nil, fmt.Errorf("server hello: %w", err)
	}
	var proof clientProof
	copy(proof.signature(), ed25519.Sign(cfg.Key, clientStatement(K, cfg.ServerKey[:], s.hashAB[:])))
	copy(proof.key(), cfg.Key[ed25519.SeedSize:])
	if _, err := rw.Write(s.seal(&s.k2, proof[:])); err != nil {
		return nil, fmt.Errorf("writing client proof: %w", refused(err))
	}

	// Message 4: server proof, boxed under K | a·b | a·B | A·b.
	if err := s.mixProof(K, A, b); err != nil {
		return nil, fmt.Errorf("server hello: %w", err)
	}
	var msg4 boxedServerProof
	if _, err := io.ReadFull(rw, msg4[:]); err != nil {
		return nil, fmt.Errorf("reading server proof: %w", refused(err))
	}
	var answer serverProof
	if !s.open(&s.k3, answer[:], msg4[:]) ||
		!verify(cfg.ServerKey[:], serverStatement(K, &proof, s.hashAB[:]), answer[:]) {
		return nil, fmt.Errorf("server proof: %w", ErrProof)
	}

	return &Session{
		Remote: cfg.ServerKey,
		Write:  s.half(cfg.ServerKey[:], &msg2),
		Read:   s.half(proof.key(), msg1),
	}, nil
}

// clientKeys makes the keys for the client's Diffie-Hellmans.
func clientKeys(cfg *Config) (A, a *ecdh.PrivateKey, B *ecdh.PublicKey, err error) {
	if B, err = publicToCurve(cfg.ServerKey[:]); err != nil {
		return nil, nil, nil, fmt.Errorf("server key: %w", err)
	}
	if A, err = secretToCurve(cfg.Key); err != nil {
		return nil, nil, nil, fmt.Errorf("own key: %w", err)
	}
	if a, err = newEphemeral(cfg.Ephemeral); err != nil {
		return nil, nil, nil, fmt.Errorf("ephemeral key: %w", err)
	}
	return A, a, B, nil
}

// Server runs the server's side of a handshake over rw, as Client does the
// other. It writes nothing before it has seen a valid client hello, and nothing
// after a client proof that does not hold or that cfg.Authorize refuses.
func Server(rw io.ReadWriter, cfg *Config) (*Session, error) {
	// Message 1: client hello. A stranger to the network costs an HMAC per key.
	var msg1 hello
	if _, err := io.ReadFull(rw, msg1[:]); err != nil {
		return nil, fmt.Errorf("reading client hello: %w", cut(err))
	}
	network := slices.IndexFunc(cfg.Networks, func(K [32]byte) bool { return msg1.under(&K) })
	if network < 0 {
		return nil, fmt.Errorf("client hello: %w", ErrHello)
	}
	K := &cfg.Networks[network]

	// Message 2: server hello.
	b, err := newEphemeral(cfg.Ephemeral)
	if err != nil {
		return nil, fmt.Errorf("ephemeral key: %w", err)
	}
	a, err := parseEphemeral(msg1.ephemeral(), b.PublicKey().Bytes())
	if err != nil {
		return nil, fmt.Errorf("client hello: %w", err)
	}
	msg2 := newHello(K, b.PublicKey().Bytes())
	if _, err := rw.Write(msg2[:]); err != nil {
		return nil, fmt.Errorf("writing server hello: %w", cut(err))
	}

	// Message 3: client proof. The Diffie-Hellmans wait for it: whoever sends a
	// hello and leaves has cost one key pair.
	var msg3 boxedClientProof
	if _, err := io.ReadFull(rw, msg3[:]); err != nil {
		return nil, fmt.Errorf("reading client proof: %w", cut(err))
	}
	var s secrets
	defer s.wipe()
	proof, A, err := s.readClientProof(cfg, K, a, b, &msg3)
	if err != nil {
		return nil, fmt.Errorf("client proof: %w", err)
	}
	client := [32]byte(proof.key())
	if err := cfg.authorize(client, network); err != nil {
		return nil, fmt.Errorf("authorizing client: %w", err)
	}

	// Message 4: server proof, boxed under K | a·b | a·B | A·b.
	if err := s.mixProof(K, b, A); err != nil {
		return nil, fmt.Errorf("client proof: %w", err)
	}
	answer := ed25519.Sign(cfg.Key, serverStatement(K, proof, s.hashAB[:]))
	if _, err := rw.Write(s.seal(&s.k3, answer)); err != nil {
		return nil, fmt.Errorf("writing server proof: %w", cut(err))
	}

	return &Session{
		Remote:  client,
		Network: network,
		Write:   s.half(client[:], &msg1),
		Read:    s.half(cfg.Key[ed25519.SeedSize:], msg2),
	}, nil
}

func (cfg *Config) authorize(client [32]byte, network int) error {
	if cfg.Authorize == nil {
		return nil
	}
	return cfg.Authorize(client, network)
}

// readClientProof opens and checks message 3, and returns the client's key as a
// point for A·b as well.
func (s *secrets) readClientProof(cfg *Config, K *[32]byte, a *ecdh.PublicKey, b *ecdh.PrivateKey, msg3 *boxedClientProof) (*clientProof, *ecdh.PublicKey, error) {
	B, err := secretToCurve(cfg.Key)
	if err != nil {
		return nil, nil, err
	}
	if err := s.mixHello(K, b, a, B, a); err != nil {
		return nil, nil, err
	}
	var proof clientProof
	opened := s.open(&s.k2, proof[:], msg3[:])
	server := cfg.Key[ed25519.SeedSize:]
	if !opened {
		// A box that does not open tells whether the client knew B. Spend the
		// time of the checks that follow all the same, so that a prober cannot
		// tell by the clock (the close looks the same).
		copy(proof.key(), server)
		copy(proof.signature(), server)
	}
	A, err := publicToCurve(proof.key())
	if err != nil {
		return nil, nil, err
	}
	if !verify(proof.key(), clientStatement(K, server, s.hashAB[:]), proof.signature()) || !opened {
		return nil, nil, ErrProof
	}
	return &proof, A, nil
}

// secrets is what a handshake must forget. crypto/ecdh offers no way to wipe
// its own copies of keys; they go with the garbage.
type secrets struct {
	ab, aB []byte
	hashAB [32]byte // SHA-256(a·b)
	k2     [32]byte // SHA-256(K | a·b | a·B): key of message 3
	k3     [32]byte // SHA-256(K | a·b | a·B | A·b): key of message 4
}

// mixHello derives what both sides know after the hellos, from own and remote
// parts of a·b and of a·B.
func (s *secrets) mixHello(K *[32]byte, abSecret *ecdh.PrivateKey, abPublic *ecdh.PublicKey, aBSecret *ecdh.PrivateKey, aBPublic *ecdh.PublicKey) error {
	var err error
	if s.ab, err = mix(abSecret, abPublic); err != nil {
		return err
	}
	if s.aB, err = mix(aBSecret, aBPublic); err != nil {
		return err
	}
	s.hashAB = sha256.Sum256(s.ab)
	s.k2 = hash(K[:], s.ab, s.aB)
	return nil
}

// mixProof derives the key of message 4 from own and remote part of A·b.
func (s *secrets) mixProof(K *[32]byte, secret *ecdh.PrivateKey, public *ecdh.PublicKey) error {
	Ab, err := mix(secret, public)
	if err != nil {
		return err
	}
	defer clear(Ab)
	s.k3 = hash(K[:], s.ab, s.aB, Ab)
	return nil
}

// half derives the box stream towards the owner of the long-term key receiver,
// whose hello was h: key SHA-256(SHA-256(k3) | receiver), nonce the first 24
// bytes of the hello.
func (s *secrets) half(receiver []byte, h *hello) Half {
	k := sha256.Sum256(s.k3[:])
	defer clear(k[:])
	return Half{Key: hash(k[:], receiver), Nonce: [24]byte(h[:24])}
}

// seal and open box one message. Each key is used for one box only, which makes
// the fixed zero nonce safe.
func (s *secrets) seal(key *[32]byte, message []byte) []byte {
	return secretbox.Seal(nil, message, new([24]byte), key)
}

func (s *secrets) open(key *[32]byte, message, box []byte) bool {
	_, ok := secretbox.Open(message[:0], box, new([24]byte), key)
	return ok
}

func (s *secrets) wipe() {
	clear(s.ab)
	clear(s.aB)
	*s = secrets{}
}

// hash is SHA-256 of the joined parts. It makes no copy of them.
func hash(parts ...[]byte) [32]byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
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
