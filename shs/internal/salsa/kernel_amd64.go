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

//go:noescape
func xorMacAVX2(dst, src, msg *byte, chunks int, key *[32]byte, lanes *[3][8]uint32, mac *[7]uint64)

//go:noescape
func xorMacAVX512(dst, src, msg *byte, chunks int, key *[32]byte, lanes *[3][8]uint32, mac *[7]uint64)

//go:noescape
func macBlocks(mac *[7]uint64, msg *byte, blocks int)

//go:noescape
func macSum(tag *[16]byte, mac *[7]uint64, msg *byte, blocks int, lo, hi uint64)

//go:noescape
func macAll(tag *[16]byte, key *[32]byte, msg *byte, blocks int, lo, hi uint64)

// xorChunks XORs the key stream of eight blocks, and of the eight behind each, and
// so on, into dst from src, which must be the same bytes or not overlap. What is
// left when no 512 bytes are, it does not touch. It counts l on.
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
	l.skip(n)
}

// xorMacChunks is xorChunks, and takes as many bytes of msg into m. Each chunk of
// msg is read before the same chunk of dst is written.
func xorMacChunks(path Path, dst, src, msg []byte, key *[32]byte, l *lanes, m *mac) {
	n := len(src) / chunk
	if n == 0 {
		return
	}
	_, _ = dst[n*chunk-1], msg[n*chunk-1]
	if path == AVX512 {
		xorMacAVX512(&dst[0], &src[0], &msg[0], n, key, (*[3][8]uint32)(l), (*[7]uint64)(m))
	} else {
		xorMacAVX2(&dst[0], &src[0], &msg[0], n, key, (*[3][8]uint32)(l), (*[7]uint64)(m))
	}
	l.skip(n)
}
