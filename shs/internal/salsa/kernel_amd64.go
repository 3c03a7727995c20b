//go:build !purego

package salsa

import "golang.org/x/sys/cpu"

// offers says whether this machine has what a path needs.
func offers(p Path) bool {
	switch p {
	case AVX2:
		return cpu.X86.HasAVX2
	case AVX512:
		return cpu.X86.HasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL
	}
	return true
}

//go:noescape
func xorAVX2(dst, src *byte, chunks int, key *[32]byte, lanes *[3][8]uint32)

//go:noescape
func xorAVX512(dst, src *byte, chunks int, key *[32]byte, lanes *[3][8]uint32)

// xorChunks XORs the key stream of eight blocks, and of the eight behind each, and
// so on, into dst from src, which must be the same bytes or not overlap. What is
// left when no 512 bytes are, it does not touch.
func xorChunks(path Path, dst, src []byte, key *[32]byte, l *lanes) {
	n := len(src) / chunk
	if n == 0 {
		return
	}
	_ = dst[n*chunk-1]
	if path == AVX512 {
		xorAVX512(&dst[0], &src[0], n, key, (*[3][8]uint32)(l))
	} else {
		xorAVX2(&dst[0], &src[0], n, key, (*[3][8]uint32)(l))
	}
}
