package shs

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/cad2f06c/switchboard/shs/internal/salsa"
)

// BenchmarkBox seals and opens 64 KiB in boxes of a size, in turn with secretbox,
// which seals and opens the same headers and bodies. It reports the fastest round:
// bytes a second, time a box, and how many times the time secretbox took.
func BenchmarkBox(b *testing.B) {
	for _, size := range []int{64, maxBody} {
		for _, path := range salsa.Paths() {
			b.Run(fmt.Sprintf("seal/%d/%v", size, path), func(b *testing.B) { benchSeal(b, size, path) })
			b.Run(fmt.Sprintf("open/%d/%v", size, path), func(b *testing.B) { benchOpen(b, size, path) })
		}
	}
}

// fastest is the shortest of several times.
type fastest time.Duration

func (f *fastest) add(d time.Duration) {
	if *f == 0 || fastest(d) < *f {
		*f = fastest(d)
	}
}

const benchBytes = 64 << 10 // of a round

func reportBox(b *testing.B, size int, ours, bare fastest) {
	b.ReportMetric(benchBytes/1e6/time.Duration(ours).Seconds(), "MB/s")
	b.ReportMetric(float64(ours)*float64(size)/benchBytes, "ns/box")
	b.ReportMetric(float64(bare)/float64(ours), "secretbox/ours")
	b.ReportMetric(0, "ns/op")
}

func benchSeal(b *testing.B, size int, path salsa.Path) {
	text := make([]byte, size)
	out := make([]byte, 0, 2*benchBytes)
	w := newBoxWriter(testHalf, path)
	ref := bareBox{key: testHalf.Key}
	var ours, bare fastest
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		out = out[:0]
		for range benchBytes / size {
			out, _ = w.appendFrame(out, text)
		}
		middle := time.Now()
		out = out[:0]
		for range benchBytes / size {
			out = ref.seal(out, text)
		}
		ours.add(middle.Sub(begin))
		bare.add(time.Since(middle))
	}
	reportBox(b, size, ours, bare)
}

func benchOpen(b *testing.B, size int, path salsa.Path) {
	text := make([]byte, size)
	w, r := newBoxWriter(testHalf, path), newBoxReader(testHalf, path)
	ref, refReader := bareBox{key: testHalf.Key}, bareBox{key: testHalf.Key}
	var ours, bare fastest
	src := make([]byte, 0, 2*benchBytes)
	b.ReportAllocs()
	for b.Loop() {
		src = src[:0]
		for range benchBytes / size {
			src, _ = w.appendFrame(src, text)
		}
		begin := time.Now()
		for p := src; len(p) > 0; {
			_, used, err := r.open(p)
			if err != nil {
				b.Fatal(err)
			}
			p = p[used:]
		}
		ours.add(time.Since(begin))

		src = src[:0]
		for range benchBytes / size {
			src = ref.seal(src, text)
		}
		begin = time.Now()
		for p := src; len(p) > 0; {
			n := refReader.open(text, p)
			if n == 0 {
				b.Fatal("secretbox does not open")
			}
			p = p[n:]
		}
		bare.add(time.Since(begin))
	}
	reportBox(b, size, ours, bare)
}

// bareBox is one direction made of secretbox alone. Its nonces do not carry.
type bareBox struct {
	key    [32]byte
	nonce  [24]byte
	header [boxHeader]byte
}

func (x *bareBox) next() *[24]byte {
	binary.BigEndian.PutUint64(x.nonce[16:], binary.BigEndian.Uint64(x.nonce[16:])+1)
	return &x.nonce
}

func (x *bareBox) seal(dst, p []byte) []byte {
	off := len(dst)
	dst = secretbox.Seal(dst[:off+boxHeader], p, x.next(), &x.key)
	binary.BigEndian.PutUint16(x.header[:], uint16(len(p)))
	copy(x.header[2:], dst[off+boxHeader:])
	secretbox.Seal(dst[:off], x.header[:], x.next(), &x.key)
	return dst
}

// open opens a box of len(dst) bytes and returns how many bytes it has.
func (x *bareBox) open(dst, src []byte) int {
	body := *x.next()
	if _, ok := secretbox.Open(x.header[:0], src[:boxHeaderSize], x.next(), &x.key); !ok {
		return 0
	}
	n := boxHeaderSize + len(dst)
	copy(src[boxHeader:], x.header[2:])
	if _, ok := secretbox.Open(dst[:0], src[boxHeader:n], &body, &x.key); !ok {
		return 0
	}
	return n
}
