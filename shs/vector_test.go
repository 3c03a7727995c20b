package shs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/shs/internal/salsa"
	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

func sum(s string) [32]byte { return sha256.Sum256([]byte(s)) }

// vector is testdata/shs1.txt: a name and hex bytes in each line.
func vector(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/shs1.txt")
	if err != nil {
		t.Fatal(err)
	}
	v := make(map[string][]byte)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v[name], err = hex.DecodeString(value); err != nil || len(v[name]) == 0 {
			t.Fatalf("line %q: %v", line, err)
		}
	}
	if len(v) != 16 {
		t.Fatalf("the vector has %d lines, want 16", len(v))
	}
	return v
}

// script plays the other side: it gives what it is told, and keeps what it gets.
type script struct {
	io.Reader
	bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) { return s.Reader.Read(p) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func vectorConfig(v map[string][]byte, seed, ephemeral string) *shs1.Config {
	key := NewPrivateKey([32]byte(v[seed]))
	eph := [32]byte(v[ephemeral])
	return &shs1.Config{
		Key:       shs1.NewIdentity(key.pair[:]),
		Networks:  [][32]byte{[32]byte(v["network"])},
		ServerKey: [32]byte(v["serverKey"]),
		Ephemeral: &eph,
	}
}

func TestVectorHandshake(t *testing.T) {
	v := vector(t)
	check := func(what string, got []byte, want ...string) {
		t.Helper()
		var w []byte
		for _, name := range want {
			w = append(w, v[name]...)
		}
		if !bytes.Equal(got, w) {
			t.Errorf("%s: got %x, want %x", what, got, w)
		}
	}

	server := &script{Reader: bytes.NewReader(join(v["msg2"], v["msg4"]))}
	s, err := shs1.Client(server, vectorConfig(v, "clientSeed", "clientEphemeral"))
	if err != nil {
		t.Fatal(err)
	}
	check("client sends", server.Bytes(), "msg1", "msg3")
	check("client writes under", s.Write.Key[:], "clientToServer")
	check("client reads under", s.Read.Key[:], "serverToClient")
	check("client's remote", s.Remote[:], "serverKey")

	client := &script{Reader: bytes.NewReader(join(v["msg1"], v["msg3"]))}
	s, err = shs1.Server(client, vectorConfig(v, "serverSeed", "serverEphemeral"))
	if err != nil {
		t.Fatal(err)
	}
	check("server sends", client.Bytes(), "msg2", "msg4")
	check("server writes under", s.Write.Key[:], "serverToClient")
	check("server reads under", s.Read.Key[:], "clientToServer")
	check("server's remote", s.Remote[:], "clientKey")
}

func TestVectorBoxStream(t *testing.T) {
	v := vector(t)
	half := shs1.Half{Key: [32]byte(v["clientToServer"]), Nonce: [24]byte(v["msg2"])}
	w := newBoxWriter(half, salsa.Best())
	sevens := bytes.Repeat([]byte{7}, 4097)
	stream, _ := w.appendFrame(nil, []byte("hello"))
	if !bytes.Equal(stream, v["hello"]) {
		t.Errorf("hello: got %x, want %x", stream, v["hello"])
	}
	stream, n := w.appendFrame(stream, sevens)
	if n != 4096 {
		t.Errorf("a box took %d bytes, want 4096", n)
	}
	stream, _ = w.appendFrame(stream, sevens[n:])
	stream = w.appendGoodbye(stream)
	if !bytes.HasSuffix(stream, v["goodbye"]) || len(stream) != 4238 {
		t.Errorf("goodbye: got %x of %d bytes, want %x", stream[len(stream)-34:], len(stream), v["goodbye"])
	}
	if got := sha256.Sum256(stream); !bytes.Equal(got[:], v["streamSHA256"]) {
		t.Errorf("stream: got %x, want %x", got, v["streamSHA256"])
	}
	got, err := readAll(newBoxReader(half, salsa.Best()), stream)
	if want := join([]byte("hello"), sevens); !bytes.Equal(got, want) || err != io.EOF {
		t.Errorf("reading it: got %d bytes, %v, want %d, EOF", len(got), err, len(want))
	}
}

func TestPurposeKeys(t *testing.T) {
	k := DefaultNetworkKey()
	var secret [32]byte
	for i := range secret {
		secret[i] = byte(i)
	}
	channel := [16]byte{0x5f, 0x0c, 0x2a, 0x9b, 0xe1, 0xd3, 0x47, 0x80, 0xa6, 0xb1, 0xc2, 0xd3, 0xe4, 0xf5, 0x06, 0x17}
	for _, tt := range []struct {
		name string
		got  NetworkKey
		want string
	}{
		{"plain", k.Plain(1000, 1000), "8042e6649155add920827351d3b132bb2d57ba8972fa756add60887d93ac09fd"},
		{"direct", k.Direct(secret, channel, alice.Public(), bob.Public()), "3c8aab51b54259944d483490a373e48887cb76dd7cbd6bcac6201e4bc5424019"},
		{"sealed", k.Sealed(channel, "org.example.echo"), "ac9f74f1b429abdb8323102e68b8197b19cc51fceffd850f3b47ddfea0aa8a94"},
	} {
		if got := hex.EncodeToString(tt.got[:]); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	if got, err := ParseNetworkKey(k.String()); got != k || err != nil {
		t.Errorf("parsing %s: got %v, %v", k, got, err)
	}
	if _, err := ParseNetworkKey(k.String()[1:]); err == nil {
		t.Error("43 characters are taken for a network key")
	}
}

func TestNonceCarry(t *testing.T) {
	for _, before := range []string{
		"000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000ff",
		"00ffffffffffffffffffffffffffffffffffffffffffffff",
		"ffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		b, _ := hex.DecodeString(before)
		// Two boxes and a goodbye cross the carry, against the reference.
		half := shs1.Half{Key: sum("carry"), Nonce: [24]byte(b)}
		w, ref := newBoxWriter(half, salsa.Best()), refHalf{key: half.Key, nonce: half.Nonce}
		var got, want []byte
		for _, p := range []string{"one", "two"} {
			got, _ = w.appendFrame(got, []byte(p))
			want = append(want, ref.seal([]byte(p))...)
		}
		if got, want = w.appendGoodbye(got), append(want, ref.goodbye()...); !bytes.Equal(got, want) {
			t.Errorf("from nonce %s: got %x, want %x", before, got, want)
		}
	}
}
