// Package salsa seals and opens the boxes of one direction of a box stream
// (PROTOCOL.md §2): pairs of NaCl secretboxes, XSalsa20-Poly1305, under nonces
// that count up. It makes the same bytes as golang.org/x/crypto/nacl/secretbox, at
// less cost:
//
//   - The key that HSalsa20 derives stays as long as the first 16 bytes of the
//     nonce do.
//   - Where the processor has AVX2 or AVX-512VL, a kernel makes eight blocks of key
//     stream at a time, and takes the Poly1305 of other bytes while it does.
//   - There, the blocks that a short pair needs are made for two pairs at once,
//     before the second is there: its nonces are known.
//
// On other processors, and with the build tag purego, key stream and Poly1305 are
// those of golang.org/x/crypto. The kernels are written by the module in gen.
package salsa

import "slices"

// Path is a way to make key stream. All make the same.
type Path uint8

// The paths. Which of them a machine offers is said by Paths.
const (
	Portable Path = iota // golang.org/x/crypto
	AVX2
	AVX512 // AVX-512F and VL
)

// String returns the name of the path.
func (p Path) String() string {
	return [...]string{"portable", "avx2", "avx512"}[p]
}

// Best returns the fastest path of this machine.
func Best() Path {
	switch {
	case offers(AVX512):
		return AVX512
	case offers(AVX2):
		return AVX2
	}
	return Portable
}

// Paths returns all paths of this machine, for tests that take each.
func Paths() []Path {
	all := []Path{Portable, AVX2, AVX512}
	return slices.DeleteFunc(all, func(p Path) bool { return !offers(p) })
}
