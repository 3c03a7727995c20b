package shs

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/secretbox"

	"github.com/cad2f06c/switchboard/shs/internal/salsa"
	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

// Bits of how, in the fuzz targets of handshakes: random bytes alone never get
// past the first check, so the target makes some of the checks come out right.
const (
	fixHello = 1 << iota // hello is an ephemeral key: put its HMAC in front
	fixBox               // proof is the inside of a box: seal it
)

// fuzzHello is a hello under the network key of the vector.
func fuzzHello(network, hello []byte, how byte) []byte {
	if how&fixHello == 0 || len(hello) < 32 {
		return hello
	}
	return join(refMAC([32]byte(network), hello[:32]), hello[:32])
}

// zeroOr is X25519, or zero where that is an error.
func zeroOr(secret, public []byte) []byte {
	out, err := curve25519.X25519(secret, public)
	if err != nil {
		return make([]byte, 32)
	}
	return out
}

// FuzzServerHandshake is an attacker who knows the network key and the server's
// key, and may even box what it likes.
func FuzzServerHandshake(f *testing.F) {
	v := vector(f)
	A := alice.Public()
	f.Add(v["msg1"], v["msg3"], byte(0))
	f.Add(v["msg1"][32:], v["msg3"], byte(fixHello))
	f.Add(v["msg1"][:40], []byte{}, byte(0))
	f.Add(make([]byte, 32), make([]byte, 96), byte(fixHello|fixBox))
	f.Add(v["msg1"][32:], make([]byte, 96), byte(fixHello|fixBox))
	f.Add(v["msg1"][32:], join(make([]byte, 64), A[:]), byte(fixHello|fixBox))
	for _, weak := range smallOrder() {
		f.Add(v["msg1"][32:], join(weak, make([]byte, 32), weak), byte(fixHello|fixBox))
	}
	f.Fuzz(func(t *testing.T, hello, proof []byte, how byte) {
		hello = fuzzHello(v["network"], hello, how)
		msg3 := proof
		var hashAB [32]byte
		if len(hello) == 64 && how&fixBox != 0 {
			a := hello[32:]
			ab, aB := zeroOr(v["serverEphemeral"], a), zeroOr(refSecret(bob.pair[:]), a)
			k2 := sha256.Sum256(join(v["network"], ab, aB))
			hashAB = sha256.Sum256(ab)
			msg3 = secretbox.Seal(nil, proof, new([24]byte), &k2)
		}
		client := &script{Reader: bytes.NewReader(join(hello, msg3))}
		s, err := shs1.Server(client, vectorConfig(v, "serverSeed", "serverEphemeral"))
		switch n := client.Len(); {
		case err != nil && n != 0 && n != 64:
			t.Fatalf("%v after %d bytes", err, n)
		case err == nil && n != 64+80:
			t.Fatalf("content after %d bytes", n)
		case err == nil && shs1.CheckKey(s.Remote) != nil:
			t.Fatalf("content with %x", s.Remote)
		case err == nil && how&fixBox != 0 && len(proof) == 96 &&
			!ed25519.Verify(s.Remote[:], join(v["network"], v["serverKey"], hashAB[:]), proof[:64]):
			t.Fatalf("content with a signature %x", proof)
		}
	})
}

// FuzzClientHandshake is an attacker in the server's place.
func FuzzClientHandshake(f *testing.F) {
	v := vector(f)
	f.Add(v["msg2"], v["msg4"], byte(0))
	f.Add(v["msg2"][32:], v["msg4"], byte(fixHello))
	f.Add(v["msg2"][:1], []byte{}, byte(0))
	f.Add(make([]byte, 32), make([]byte, 64), byte(fixHello|fixBox))
	f.Add(v["msg2"][32:], make([]byte, 64), byte(fixHello|fixBox))
	for _, weak := range smallOrder() {
		f.Add(v["msg2"][32:], join(weak, make([]byte, 32)), byte(fixHello|fixBox))
	}
	aB := zeroOr(v["clientEphemeral"], refMontgomery(v["serverKey"]))
	f.Fuzz(func(t *testing.T, hello, proof []byte, how byte) {
		hello = fuzzHello(v["network"], hello, how)
		msg4 := proof
		if len(hello) == 64 && how&fixBox != 0 {
			b := hello[32:]
			ab, Ab := zeroOr(v["clientEphemeral"], b), zeroOr(refSecret(alice.pair[:]), b)
			k3 := sha256.Sum256(join(v["network"], ab, aB, Ab))
			msg4 = secretbox.Seal(nil, proof, new([24]byte), &k3)
		}
		server := &script{Reader: bytes.NewReader(join(hello, msg4))}
		_, err := shs1.Client(server, vectorConfig(v, "clientSeed", "clientEphemeral"))
		if n := server.Len(); n != 64 && n != 64+112 {
			t.Fatalf("%v after %d bytes", err, n)
		}
		// Only bob can sign, and the one signature of his that is about is in
		// the vector.
		if err == nil && !bytes.Equal(join(hello, msg4)[:64+80], join(v["msg2"], v["msg4"])) {
			t.Fatalf("content with %x %x", hello, msg4)
		}
	})
}

// FuzzBoxStream changes one byte of a good stream, or none.
func FuzzBoxStream(f *testing.F) {
	f.Add([]byte{5, 0, 255}, uint16(3), uint32(0), byte(0), []byte{})
	f.Add([]byte{5, 0, 255}, uint16(5000), uint32(40), byte(1), []byte{})
	f.Add([]byte{}, uint16(1), uint32(0), byte(0), []byte("behind it"))
	f.Fuzz(func(t *testing.T, sizes []byte, piece uint16, at uint32, mask byte, behind []byte) {
		ref := refHalf{key: testHalf.Key, nonce: testHalf.Nonce}
		var wire, want []byte
		empty := 0
		for i, size := range sizes[:min(len(sizes), 2*maxEmpty)] {
			body := bytes.Repeat([]byte{byte(i)}, int(size)*16>>(i/4))
			wire = append(wire, ref.seal(body)...)
			want = append(want, body...)
			if empty++; len(body) > 0 {
				empty = 0
			}
			if empty > maxEmpty {
				t.Skip("too many empty boxes")
			}
		}
		wire = append(wire, ref.goodbye()...)
		wire[int(at)%len(wire)] ^= mask
		wire = append(wire, behind...)

		for _, path := range salsa.Paths() {
			r := newReader(pieces{stream{Reader: bytes.NewReader(wire)}, int(piece) + 1}, newBoxReader(testHalf, path))
			got, err := readInto(r, int(piece)%5000+1)
			if !bytes.HasPrefix(want, got) {
				t.Fatalf("%v: got %d bytes that were not sent", path, len(got))
			}
			if mask == 0 && !bytes.Equal(got, want) {
				t.Fatalf("%v: got %d bytes, %v, want %d", path, len(got), err, len(want))
			}
			if mask == 0 && len(behind) == 0 && err != io.EOF || mask != 0 && !errors.Is(err, ErrProtocol) {
				t.Fatalf("%v: mask %#x, %d bytes behind: got %v", path, mask, len(behind), err)
			}
		}
	})
}

// readInto reads to the error with a buffer of a size.
func readInto(r *reader, size int) (got []byte, err error) {
	buf := make([]byte, size)
	for err == nil {
		var n int
		n, err = r.read(buf)
		got = append(got, buf[:n]...)
	}
	return got, err
}

// FuzzBoxBytes is a peer with the key that seals what it likes: bodies of any
// size, and each maybe not what its header says, the stream whole or cut anywhere.
func FuzzBoxBytes(f *testing.F) {
	f.Add([]byte("\x00\x05hello\x00\x00"), uint16(3), uint16(9), byte(0))
	f.Add([]byte("\x10\x00four thousand\xff\xff"), uint16(3000), uint16(0), byte(2))
	f.Add(bytes.Repeat([]byte{0, 0}, 70), uint16(33), uint16(1), byte(0))
	f.Add([]byte("\x00\x05hello\x00\x40world"), uint16(0), uint16(0), byte(5))
	f.Fuzz(func(t *testing.T, script []byte, piece, cut uint16, how byte) {
		ref := refHalf{key: testHalf.Key, nonce: testHalf.Nonce}
		var wire, want []byte
		var bodies []int // their sizes
		for len(script) >= 2 && len(wire) < 1<<20 {
			body := make([]byte, binary.BigEndian.Uint16(script))
			script = script[2:]
			script = script[copy(body, script):]
			wire = append(wire, ref.seal(body)...)
			want = append(want, body...)
			bodies = append(bodies, len(body))
			wire[len(wire)-1] ^= how >> 2
		}
		if how&2 != 0 {
			wire = append(wire, ref.goodbye()...)
		}
		wire = wire[:len(wire)-min(len(wire), int(cut))]
		n, wantErr := plainSense(wire, bodies, how>>2 != 0)
		for _, path := range salsa.Paths() {
			r := newReader(pieces{stream{Reader: bytes.NewReader(wire)}, int(piece) + 1}, newBoxReader(testHalf, path))
			got, err := readInto(r, int(piece)%5000+1)
			if !bytes.Equal(got, want[:n]) || !errors.Is(err, wantErr) {
				t.Fatalf("%v: got %d bytes, %v, want %d, %v", path, len(got), err, n, wantErr)
			}
		}
	})
}

// plainSense says how many bytes a reader must give of boxes with these bodies,
// and how it must end. Whether the last byte of each box is false is told.
func plainSense(wire []byte, bodies []int, bad bool) (n int, err error) {
	empty := 0
	for _, size := range bodies {
		if empty++; size > 0 {
			empty = 0
		}
		switch frame := boxHeaderSize + size; {
		case len(wire) < boxHeaderSize:
			return n, io.ErrUnexpectedEOF
		case size > maxBody, bad && size == 0:
			return n, ErrProtocol
		case len(wire) < frame:
			return n, io.ErrUnexpectedEOF
		case bad, empty > maxEmpty:
			return n, ErrProtocol
		default:
			wire = wire[frame:]
			n += size
		}
	}
	if len(wire) < boxHeaderSize {
		return n, io.ErrUnexpectedEOF
	}
	return n, io.EOF
}

// FuzzPlainStream compares the reader with a few straight lines.
func FuzzPlainStream(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x05hello\x00\x00\x00\x00"), uint16(1))
	f.Add([]byte("\x00\x00\x00\x05hello\x00\x00\x00\x00x"), uint16(100))
	f.Add([]byte("\xff\xff\xff\xffhello"), uint16(3))
	f.Add([]byte("\x00\x00\x00"), uint16(3))
	f.Fuzz(func(t *testing.T, wire []byte, piece uint16) {
		var want []byte
		wantErr := io.ErrUnexpectedEOF
		for rest := wire; len(rest) >= 4; {
			size := binary.BigEndian.Uint32(rest)
			rest = rest[4:]
			if size == 0 {
				wantErr = io.EOF
				if len(rest) > 0 {
					wantErr = ErrProtocol
				}
				break
			}
			n := min(int64(size), int64(len(rest)))
			want = append(want, rest[:n]...)
			rest = rest[n:]
		}
		r := newReader(pieces{stream{Reader: bytes.NewReader(wire)}, int(piece) + 1}, new(plainReader))
		got, err := readInto(r, int(piece)%5000+1)
		// Bytes behind the goodbye show only if they are there with it.
		if !bytes.Equal(got, want) || !errors.Is(err, wantErr) && (wantErr != ErrProtocol || err != io.EOF) {
			t.Fatalf("got %q, %v, want %q, %v", got, err, want, wantErr)
		}
	})
}

func FuzzParseAddresses(f *testing.F) {
	key := bob.Public()
	shs := "~shs:" + base64.StdEncoding.EncodeToString(key[:])
	for _, s := range []string{
		"unix:/run/s" + shs, "unix:/a!~b!;c!!d" + shs, "net:a:1" + shs, "net:::1:1" + shs, "net:[::1]:1" + shs,
		"net::1" + shs + ";ws://x", "net:a:1", "!", ";", "~", "", "net:fe80::1%a:1" + shs,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseAddresses(s)
		if err != nil {
			if !errors.Is(err, ErrAddress) || got != nil {
				t.Fatalf("%q: got %v, %v", s, got, err)
			}
			return
		}
		text := FormatAddresses(got)
		again, err := ParseAddresses(text)
		if err != nil || !slices.Equal(again, got) {
			t.Fatalf("%q: written as %q, read as %v, %v", s, text, again, err)
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add(alice.Public().String())
	f.Add("@AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=.ed25519")
	f.Add("@.ed25519")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		key, err := ParsePublicKey(s)
		if err == nil && key.String() != s {
			t.Fatalf("%q is another spelling of %v", s, key)
		}
		if err != nil && (!errors.Is(err, ErrPublicKey) || !key.IsZero()) {
			t.Fatalf("%q: got %v, %v", s, key, err)
		}
		if network, err := ParseNetworkKey(s); err == nil && network.String() != s {
			t.Fatalf("%q is another spelling of %v", s, network)
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(ssbSecret))
	f.Add([]byte(ssbSecret[:200]))
	f.Add(formatKeyFile(bob))
	f.Add([]byte("{}"))
	f.Add([]byte("#"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := parseKeyFile(text)
		if err != nil {
			if !errors.Is(err, ErrKeyFile) || !key.IsZero() {
				t.Fatalf("got %v, %v", key.Public(), err)
			}
			return
		}
		if again, err := parseKeyFile(formatKeyFile(key)); again != key || err != nil {
			t.Fatalf("written and read again: %v", err)
		}
		seed := [32]byte(key.pair[:32])
		if NewPrivateKey(seed) != key {
			t.Fatal("the halves do not agree")
		}
	})
}
