// Shs1peer is the program under test of npm's shs1-test: it shakes hands over
// standard input and output, then writes what came of it.
//
//	shs1peer NETWORK-KEY SECRET-KEY PUBLIC-KEY    as server
//	shs1peer NETWORK-KEY SERVER-KEY               as client, with a fresh key
//	shs1peer -serve SOCKET                        both, for many; see serve
//
// All arguments are hex; a secret key is seed and public key, 64 bytes. After a
// handshake it writes encryption key 32 | encryption nonce 24 | decryption key
// 32 | decryption nonce 24 and exits with 0. After a bad message it exits with 1
// without a further byte; why is on standard error if SHS1PEER_VERBOSE is set.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

func main() {
	stdio := struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}
	what := func() error { return run(os.Args[1:], stdio) }
	if len(os.Args) == 3 && os.Args[1] == "-serve" {
		what = func() error { return serve(os.Args[2], stdio) }
	}
	if err := what(); err != nil {
		if os.Getenv("SHS1PEER_VERBOSE") != "" {
			fmt.Fprintln(os.Stderr, "shs1peer:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, rw io.ReadWriter) error {
	if len(args) != 2 && len(args) != 3 {
		return errors.New("usage: shs1peer NETWORK-KEY SECRET-KEY PUBLIC-KEY | shs1peer NETWORK-KEY SERVER-KEY")
	}
	network, err := decode(args[0], 32)
	if err != nil {
		return fmt.Errorf("network key: %w", err)
	}
	cfg := &shs1.Config{Networks: [][32]byte{[32]byte(network)}}
	shake := shs1.Server
	if len(args) == 2 {
		shake = shs1.Client
		server, err := decode(args[1], 32)
		if err != nil {
			return fmt.Errorf("server key: %w", err)
		}
		cfg.ServerKey = [32]byte(server)
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		cfg.Key = shs1.NewIdentity(key)
	} else {
		key, err := decodePair(args[1], args[2])
		if err != nil {
			return err
		}
		cfg.Key = shs1.NewIdentity(key)
	}

	s, err := shake(rw, cfg)
	if err != nil {
		return err
	}
	var out []byte
	for _, h := range []shs1.Half{s.Write, s.Read} {
		out = append(append(out, h.Key[:]...), h.Nonce[:]...)
	}
	_, err = rw.Write(out)
	return err
}

// decodePair reads a secret key and checks it against its public key.
func decodePair(secret, public string) (ed25519.PrivateKey, error) {
	sk, err := decode(secret, ed25519.PrivateKeySize)
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	pk, err := decode(public, ed25519.PublicKeySize)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	if !bytes.Equal(sk[ed25519.SeedSize:], pk) {
		return nil, errors.New("secret and public key do not agree")
	}
	return sk, nil
}

func decode(s string, size int) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err == nil && len(b) != size {
		err = fmt.Errorf("%d bytes, want %d", len(b), size)
	}
	return b, err
}
