package salsa

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	//lint:ignore SA1019 the oracle
	"golang.org/x/crypto/poly1305"
	//lint:ignore SA1019 the oracle
	"golang.org/x/crypto/salsa20/salsa"
)

func words[T uint32 | uint64](all ...T) (p []byte) {
	for _, v := range all {
		p, _ = binary.Append(p, binary.LittleEndian, v)
	}
	return p
}

// TestKernels runs every kernel on the machine of the tests, whatever this one has,
// and compares it with x/crypto, block by block.
func TestKernels(t *testing.T) {
	const chunks = 3
	key := noise(1, 32)
	var l lanes
	for i := range 8 {
		l.set(i, 0x0102030405060708*uint64(i+1), uint32(i*i))
	}
	given := slices.Concat(words(l[0][:]...), words(l[1][:]...), words(l[2][:]...))
	src := noise(2, chunks*chunk)
	want := bytes.Clone(src)
	for b := range chunks * 8 {
		var counter [16]byte
		binary.BigEndian.PutUint64(counter[:], 0x0102030405060708*uint64(b%8+1))
		binary.LittleEndian.PutUint64(counter[8:], uint64(b%8*(b%8)+b/8*8))
		p := want[b*block:][:block]
		salsa.XORKeyStream(p, p, &counter, (*[32]byte)(key))
	}
	for _, name := range []string{"xorAVX2", "xorAVX512"} {
		dst := make([]byte, len(src))
		call(t, name, dst, bytes.Clone(src), chunks, key, bytes.Clone(given))
		if !bytes.Equal(dst, want) {
			t.Errorf("%s differs from x/crypto", name)
		}
	}

	macKey := noise(3, 32)
	state := slices.Concat(words[uint64](0, 0, 0), macKey)
	for i, mask := range words[uint64](0x0ffffffc0fffffff, 0x0ffffffc0ffffffc) {
		state[24+i] &= mask
	}
	msg := noise(4, chunks*chunk+16)
	for _, name := range []string{"xorMacAVX2", "xorMacAVX512"} {
		dst, mac, tag := make([]byte, len(src)), bytes.Clone(state), make([]byte, TagSize)
		call(t, name, dst, bytes.Clone(src), bytes.Clone(msg), chunks, key, bytes.Clone(given), mac)
		call(t, "macSum", tag, mac, msg[chunks*chunk:], 1, uint64(0), uint64(0))
		var wantTag [TagSize]byte
		poly1305.Sum(&wantTag, msg, (*[32]byte)(macKey))
		if !bytes.Equal(dst, want) {
			t.Errorf("%s differs from x/crypto", name)
		}
		if !bytes.Equal(tag, wantTag[:]) {
			t.Errorf("%s: the MAC differs from x/crypto", name)
		}
	}
}

// TestMacs gives the Poly1305 functions messages and keys that carry far.
func TestMacs(t *testing.T) {
	ones, none := bytes.Repeat([]byte{255}, 80), make([]byte, 80)
	for _, key := range [][]byte{ones[:32], none[:32], noise(1, 32), append([]byte{1: 1}, ones[:30]...)} {
		for _, msg := range [][]byte{ones, none, noise(2, 80), append([]byte{0xfb}, ones[:79]...)} {
			for n := range 6 {
				msg := msg[:16*n]
				var want [TagSize]byte
				poly1305.Sum(&want, msg, (*[32]byte)(key))
				got := make([]byte, TagSize)
				call(t, "macAll", got, key, bytes.Clone(msg), n, uint64(0), uint64(0))
				if Best() != Portable {
					var tag [TagSize]byte
					if sum(&tag, (*[32]byte)(key), msg); tag != want {
						t.Errorf("key %x, %x: got %x, want %x", key, msg, tag, want)
					}
				}
				if !bytes.Equal(got, want[:]) {
					t.Errorf("key %x, %x on the machine of the tests: got %x, want %x", key, msg, got, want)
				}
			}
		}
	}
}
