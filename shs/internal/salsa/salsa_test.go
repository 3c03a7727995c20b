package salsa

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/nacl/secretbox"
)

// eachPath runs a test on every path of this machine, and says which.
func eachPath(t *testing.T, f func(t *testing.T, path Path)) {
	t.Logf("paths of this machine: %v, best %v", Paths(), Best())
	for _, path := range Paths() {
		t.Run(path.String(), func(t *testing.T) { f(t, path) })
	}
}

// oracle is a direction made of secretbox.
type oracle struct {
	key   [32]byte
	nonce [24]byte
}

// seal returns tag and ciphertext under the next nonce.
func (o *oracle) seal(p []byte) []byte {
	box := secretbox.Seal(nil, p, &o.nonce, &o.key)
	increment(&o.nonce)
	return box
}

func increment(nonce *[24]byte) {
	for i := len(nonce) - 1; i >= 0; i-- {
		if nonce[i]++; nonce[i] != 0 {
			return
		}
	}
}

// noise is n bytes that differ from seed to seed.
func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	rand.NewChaCha8(key).Read(p)
	return p
}

// pairs of streams, one to seal and one to open, and the oracle beside them.
type trio struct {
	seal, open Stream
	want       oracle
}

func newTrio(path Path, key [32]byte, nonce [24]byte) *trio {
	x := &trio{want: oracle{key, nonce}}
	x.seal.Init(&key, &nonce, path)
	x.open.Init(&key, &nonce, path)
	return x
}

// pair seals a pair at some offset in memory, in place or not, compares it with
// secretbox's, and opens it.
func (x *trio) pair(head, body []byte, offset int, inPlace bool) error {
	wantHead, wantBody := x.want.seal(head), x.want.seal(body)

	// Bytes around dst must stay.
	room := bytes.Repeat([]byte{0xa5}, offset+len(body)+64)
	dst := room[offset:][:len(body)]
	src := body
	if inPlace {
		copy(dst, body)
		src = dst
	}
	x.seal.Next()
	var headTag, bodyTag [TagSize]byte
	x.seal.SealBody(&bodyTag, dst, src)
	gotHead := bytes.Clone(head)
	x.seal.SealHead(&headTag, gotHead)
	if got := append(headTag[:], gotHead...); !bytes.Equal(got, wantHead) {
		return fmt.Errorf("head of %d sealed as %x, want %x", len(head), got, wantHead)
	}
	if !bytes.Equal(bodyTag[:], wantBody[:TagSize]) || !bytes.Equal(dst, wantBody[TagSize:]) {
		return fmt.Errorf("body of %d at %d is sealed differently", len(body), offset)
	}
	for i, b := range room {
		if (i < offset || i >= offset+len(body)) && b != 0xa5 {
			return fmt.Errorf("body of %d at %d: byte %d behind it is written", len(body), offset, i-offset)
		}
	}

	x.open.Next()
	if !x.open.OpenHead(gotHead, &headTag) || !bytes.Equal(gotHead, head) {
		return fmt.Errorf("head of %d does not open", len(head))
	}
	if !x.open.OpenBody(dst, &bodyTag) || !bytes.Equal(dst, body) {
		return fmt.Errorf("body of %d at %d does not open", len(body), offset)
	}
	return nil
}

func TestSizes(t *testing.T) {
	eachPath(t, func(t *testing.T, path Path) {
		x := newTrio(path, [32]byte(noise(1, 32)), [24]byte(noise(2, 24)))
		text := noise(3, 4096)
		for n := range 4097 {
			if err := x.pair(text[:n%(MaxHead+1)], text[:n], n%67, n%3 > 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestCarry begins shortly before a nonce carries into each of its bytes, and on
// into the prefix, where the derived key changes within a pair and between pairs.
func TestCarry(t *testing.T) {
	eachPath(t, func(t *testing.T, path Path) {
		for ones := range 25 { // bytes of 255 at the end
			for before := range 12 {
				nonce := [24]byte(noise(uint64(ones), 24))
				for i := range ones {
					nonce[23-i] = 255
				}
				if ones < 24 {
					nonce[23-ones] &= 0x7f
				}
				for range before { // nonce -= before
					for i := 23; i >= 0; i-- {
						if nonce[i]--; nonce[i] != 255 {
							break
						}
					}
				}
				x := newTrio(path, [32]byte(noise(9, 32)), nonce)
				for i, n := range []int{64, 0, 1000, 33, 4096, 200, 64, 1} {
					if err := x.pair(noise(5, 18), noise(6, n), 0, true); err != nil {
						t.Fatalf("%d ones, %d before, pair %d: %v", ones, before, i, err)
					}
				}
			}
		}
	})
}

// TestForgery inverts bits of heads, bodies and their tags. What does not open
// must not be there in the clear.
func TestForgery(t *testing.T) {
	eachPath(t, func(t *testing.T, path Path) {
		key, nonce := [32]byte(noise(1, 32)), [24]byte(noise(2, 24))
		for _, size := range []int{18, 160, 200, 544, 700, 1055, 4096} {
			head, text := noise(3, 18), noise(4, size)
			var s Stream
			s.Init(&key, &nonce, path)
			s.Next()
			body := make([]byte, size)
			var headTag, bodyTag [TagSize]byte
			s.SealHead(&headTag, head)
			s.SealBody(&bodyTag, body, text)
			for bit := 0; bit < 8*(TagSize+size); bit += 1 + size/100 {
				p := append(bodyTag[:], body...)
				p[bit/8] ^= 1 << (bit % 8)
				if s.OpenBody(p[TagSize:], (*[TagSize]byte)(p)) {
					t.Fatalf("body of %d with bit %d inverted opens", size, bit)
				}
				for at := 0; at+8 <= size; at++ {
					if bytes.Equal(p[TagSize+at:][:8], text[at:at+8]) {
						t.Fatalf("body of %d with bit %d inverted does not open, and byte %d is decrypted", size, bit, at)
					}
				}
			}
			for bit := range 8 * (TagSize + len(head)) {
				p := append(headTag[:], head...)
				p[bit/8] ^= 1 << (bit % 8)
				if s.OpenHead(p[TagSize:], (*[TagSize]byte)(p)) {
					t.Fatalf("head with bit %d inverted opens", bit)
				}
			}
			if s.OpenHead(head, &bodyTag) || !s.OpenHead(head, &headTag) || !s.OpenBody(body, &bodyTag) || !bytes.Equal(body, text) {
				t.Errorf("size %d: the good ones do not open, or a head does under a body's tag", size)
			}
		}
	})
}

// TestWipe looks for the key in what is left.
func TestWipe(t *testing.T) {
	eachPath(t, func(t *testing.T, path Path) {
		key, nonce := [32]byte(noise(1, 32)), [24]byte(noise(2, 24))
		var s Stream
		s.Init(&key, &nonce, path)
		s.Next()
		made := s.ahead
		if bytes.Equal(made, make([]byte, len(made))) {
			t.Fatal("no key stream is made")
		}
		s.Wipe()
		if s.key != [32]byte{} || s.sub != [32]byte{} || s.ahead != nil || s.pair != nil {
			t.Errorf("the stream keeps %+v", s)
		}
		if !bytes.Equal(made, make([]byte, len(made))) {
			t.Errorf("key stream is left: %x", made)
		}
		defer func() {
			if recover() == nil {
				t.Error("a wiped stream goes on without a key")
			}
		}()
		s.Next()
	})
}

func TestAllocs(t *testing.T) {
	eachPath(t, func(t *testing.T, path Path) {
		var s Stream
		key, nonce := [32]byte(noise(1, 32)), [24]byte(noise(2, 24))
		head, body := noise(3, 18), noise(4, 4096)
		s.Init(&key, &nonce, path)
		s.Next()
		var tag [TagSize]byte
		if n := testing.AllocsPerRun(100, func() {
			s.Next()
			s.SealBody(&tag, body, body)
			s.SealHead(&tag, head)
			s.Next()
			s.OpenHead(head, &tag)
			s.OpenBody(body, &tag)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// FuzzSecretbox compares pairs of any size at any place, from any nonce on, with
// secretbox's.
func FuzzSecretbox(f *testing.F) {
	f.Add(noise(1, 32), noise(2, 24), noise(3, 700), uint16(64), uint16(4096), uint16(0), byte(0))
	f.Add([]byte{}, bytes.Repeat([]byte{255}, 24), []byte{}, uint16(0), uint16(31), uint16(1), byte(1))
	for ones := range 24 {
		nonce := append(make([]byte, 24-ones), bytes.Repeat([]byte{255}, ones)...)
		nonce[23] -= byte(ones % 8)
		f.Add(noise(uint64(ones), 32), nonce, []byte("text"), uint16(ones*170), uint16(4096-ones), uint16(64), byte(ones))
	}
	f.Fuzz(func(t *testing.T, key, nonce, text []byte, a, b, c uint16, how byte) {
		var k [32]byte
		var n [24]byte
		copy(k[:], key)
		copy(n[:], nonce)
		body := make([]byte, 4096)
		for i := range body {
			body[i] = byte(i)
		}
		copy(body, text)
		for _, path := range Paths() {
			x := newTrio(path, k, n)
			for i, size := range []uint16{a, b, c, a ^ b, b ^ c} {
				size %= 4097
				head := body[:int(how)%(MaxHead+1)]
				if err := x.pair(head, body[:size], int(how>>2), (int(how)+i)%2 == 0); err != nil {
					t.Fatalf("%v, pair %d: %v", path, i, err)
				}
			}
		}
	})
}
