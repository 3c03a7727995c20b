package salsa

import (
	"crypto/subtle"

	//lint:ignore SA1019 general purpose is what its notice warns of; secretbox is made of it
	"golang.org/x/crypto/poly1305"
)

const (
	// TagSize is how many bytes a secretbox has beyond what is in it.
	TagSize = poly1305.TagSize
	// MaxHead is how many bytes the head of a pair has at most.
	MaxHead = block - 32
)

// SealHead encrypts the head in hand in place and returns its MAC.
func (s *Stream) SealHead(p []byte) (tag [TagSize]byte) {
	subtle.XORBytes(p, p, s.pair[32:block][:len(p)])
	poly1305.Sum(&tag, p, (*[32]byte)(s.pair))
	return tag
}

// OpenHead decrypts the head in hand in place if tag is its MAC, and says whether.
func (s *Stream) OpenHead(p []byte, tag *[TagSize]byte) bool {
	if !poly1305.Verify(tag, p, (*[32]byte)(s.pair)) {
		return false
	}
	subtle.XORBytes(p, p, s.pair[32:block][:len(p)])
	return true
}

// SealBody encrypts the body in hand from src to dst, which has the same length
// and is the same bytes or does not overlap. It returns the MAC.
func (s *Stream) SealBody(dst, src []byte) (tag [TagSize]byte) {
	s.xorBody(dst, src)
	poly1305.Sum(&tag, dst, (*[32]byte)(s.pair[block:]))
	return tag
}

// OpenBody decrypts the body in hand in place if tag is its MAC, and says whether.
func (s *Stream) OpenBody(p []byte, tag *[TagSize]byte) bool {
	if !poly1305.Verify(tag, p, (*[32]byte)(s.pair[block:])) {
		return false
	}
	s.xorBody(p, p)
	return true
}

// xorBody XORs the body's key stream into dst from src. It begins in the middle of
// block 0, whose first half is the key of the MAC.
func (s *Stream) xorBody(dst, src []byte) {
	dst = dst[:len(src)]
	made := s.pair[block+32:]
	if len(src) > len(made) {
		made = made[:32]
	}
	n := subtle.XORBytes(dst, src, made)
	dst, src = dst[n:], src[n:]
	switch {
	case len(src) == 0:
	case s.path == Portable:
		s.xor(dst, src, 1)
	default:
		s.xorLanes(dst, src)
	}
}

// xorLanes is xor from block 1 on with a kernel.
func (s *Stream) xorLanes(dst, src []byte) {
	var l lanes
	for i := range 8 {
		l.set(i, s.low, uint32(1+i))
	}
	xorChunks(s.path, dst, src, &s.sub, &l)
	whole := len(src) / chunk * chunk
	if whole == len(src) {
		return
	}
	for i := range 8 {
		l[2][i] += uint32(whole / block)
	}
	var last [chunk]byte
	copy(last[:], src[whole:])
	xorChunks(s.path, last[:], last[:], &s.sub, &l)
	copy(dst[whole:], last[:])
}
