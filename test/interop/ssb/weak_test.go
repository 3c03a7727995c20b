package ssb

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"io"
	"testing"
	"time"

	ref "github.com/ssbc/go-muxrpc/v2"

	"filippo.io/edwards25519"
	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/secretbox"

	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

// TestCraftedClient sends what makes the reference's server panic and stock
// JavaScript's exit: a long-term key under which one signature fits all
// messages, and an ephemeral key whose shared secrets are zero. The server
// says nothing after the message that betrays it, and goes on serving.
func TestCraftedClient(t *testing.T) {
	id := newIdentity(t)
	h := host.Start(t, id.ours.Public())
	identityPoint := edwards25519.NewIdentityPoint().Bytes()
	for _, row := range []struct {
		name string
		weak bool // the ephemeral key, too: no knowledge of the server's key is needed
		want int  // bytes that the server sends
	}{
		{"weak long-term key", false, 64},
		{"weak long-term and ephemeral key", true, 0},
	} {
		for _, network := range host.Networks() {
			t.Run(row.name+"/"+network, func(t *testing.T) {
				conn := h.DialRaw(t, network)
				if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				secret, public := ephemeral(t, row.weak)
				if _, err := conn.Write(append(authenticate(public), public...)); err != nil {
					t.Fatal(err)
				}
				got := 0
				key := sum(networkKey(), make([]byte, 32), make([]byte, 32))
				if !row.weak {
					hello := make([]byte, 64)
					n, err := io.ReadFull(conn, hello)
					if got += n; err != nil {
						t.Fatal(err)
					}
					key = sum(networkKey(), shared(t, secret, hello[32:]), shared(t, secret, montgomery(t, h.Key)))
				}
				// R = identity and S = 0 fit every message under this key.
				proof := append(append(identityPoint, make([]byte, 32)...), identityPoint...)
				conn.Write(secretbox.Seal(nil, proof, new([24]byte), &key)) // the server may be gone already
				rest, _ := io.ReadAll(conn)                                 // an end or a reset
				if got += len(rest); got != row.want {
					t.Errorf("the server sent %d bytes, want %d", got, row.want)
				}
			})
		}
	}
	for _, network := range host.Networks() {
		var now int64
		err := session(t, dialServer(t, h, network, id), nil).Async(host.Context(t), &now, ref.TypeJSON, ref.Method{"ping"})
		if err != nil {
			t.Errorf("over %s afterwards: %v", network, err)
		}
	}
}

func ephemeral(t *testing.T, weak bool) (secret, public []byte) {
	t.Helper()
	secret = make([]byte, 32)
	rand.Read(secret)
	if weak {
		return secret, make([]byte, 32)
	}
	public, err := curve25519.X25519(secret, curve25519.Basepoint)
	if err != nil {
		t.Fatal(err)
	}
	return secret, public
}

func authenticate(b []byte) []byte {
	mac := hmac.New(sha512.New, networkKey())
	mac.Write(b)
	return mac.Sum(nil)[:32]
}

func sum(parts ...[]byte) [32]byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

func shared(t *testing.T, secret, public []byte) []byte {
	t.Helper()
	b, err := curve25519.X25519(secret, public)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func montgomery(t *testing.T, key shs.PublicKey) []byte {
	t.Helper()
	p, err := new(edwards25519.Point).SetBytes(key[:])
	if err != nil {
		t.Fatal(err)
	}
	return p.BytesMontgomery()
}
