package salsa

import (
	"crypto/subtle"
	"encoding/binary"

	//lint:ignore SA1019 general purpose is what its notice warns of; secretbox is made of it
	"golang.org/x/crypto/poly1305"
)

const (
	// TagSize is how many bytes a secretbox has beyond what is in it.
	TagSize = poly1305.TagSize
	// MaxHead is how many bytes the head of a pair has at most.
	MaxHead = block - 32
)

// SealHead encrypts the head in hand in place and puts its MAC into tag.
func (s *Stream) SealHead(tag *[TagSize]byte, p []byte) {
	subtle.XORBytes(p, p, s.pair[32:block][:len(p)])
	s.sum(tag, s.headKey(), p)
}

// OpenHead decrypts the head in hand in place if tag is its MAC, and says whether.
func (s *Stream) OpenHead(p []byte, tag *[TagSize]byte) bool {
	if !s.verify(tag, s.headKey(), p) {
		return false
	}
	subtle.XORBytes(p, p, s.pair[32:block][:len(p)])
	return true
}

// SealBody encrypts the body in hand from src to dst, which has the same length
// and is the same bytes or does not overlap. It puts the MAC into tag.
func (s *Stream) SealBody(tag *[TagSize]byte, dst, src []byte) {
	dst = dst[:len(src)]
	if s.path != Portable && len(src) > len(s.begun()) {
		s.sealLong(tag, dst, src)
		return
	}
	s.xorShort(dst, src)
	s.sum(tag, s.bodyKey(), dst)
}

// OpenBody decrypts the body in hand in place if tag is its MAC, and says whether.
// If not, what is in p is of no use.
func (s *Stream) OpenBody(p []byte, tag *[TagSize]byte) bool {
	if s.path != Portable && len(p) > len(s.begun()) {
		return s.openLong(p, tag)
	}
	if !s.verify(tag, s.bodyKey(), p) {
		return false
	}
	s.xorShort(p, p)
	return true
}

// The keys of the MACs are the first halves of blocks 0.
func (s *Stream) headKey() *[32]byte { return (*[32]byte)(s.pair) }
func (s *Stream) bodyKey() *[32]byte { return (*[32]byte)(s.pair[block:]) }

// begun is the part of the body's key stream that is made.
func (s *Stream) begun() []byte { return s.pair[block+32:] }

// sum puts the MAC of p into tag.
func (s *Stream) sum(tag *[TagSize]byte, key *[32]byte, p []byte) {
	if s.path == Portable {
		poly1305.Sum(tag, p, key)
	} else {
		sum(tag, key, p)
	}
}

// verify says whether tag is the MAC of p.
func (s *Stream) verify(tag *[TagSize]byte, key *[32]byte, p []byte) bool {
	var want [TagSize]byte
	s.sum(&want, key, p)
	return equal(&want, tag)
}

// equal compares without telling by the time it takes where they differ.
func equal(a, b *[TagSize]byte) bool {
	lo := binary.LittleEndian.Uint64(a[:]) ^ binary.LittleEndian.Uint64(b[:])
	hi := binary.LittleEndian.Uint64(a[8:]) ^ binary.LittleEndian.Uint64(b[8:])
	return lo|hi == 0
}

// xorShort XORs the body's key stream into dst from src, by what is begun and by
// x/crypto.
func (s *Stream) xorShort(dst, src []byte) {
	n := subtle.XORBytes(dst, src, s.begun())
	if n < len(src) {
		s.xor(dst[n:], src[n:], 1)
	}
}

// sealLong is SealBody by a kernel. The kernel takes the MAC of a chunk while it
// encrypts the next.
func (s *Stream) sealLong(tag *[TagSize]byte, dst, src []byte) {
	var m mac
	m.init(s.bodyKey())
	var l lanes
	l.begin(s.low)
	done := subtle.XORBytes(dst, src, s.begun()[:32])
	if len(src)-done >= chunk {
		xorChunks(s.path, dst[done:done+chunk], src[done:done+chunk], &s.sub, &l)
		done += chunk
	}
	taken := 0 // into the MAC
	if n := (len(src) - done) / chunk * chunk; n > 0 {
		xorMacChunks(s.path, dst[done:], src[done:done+n], dst, &s.sub, &l, &m)
		done += n
		taken += n
	}
	if rest := src[done:]; len(rest) > 0 {
		var last [chunk]byte
		copy(last[:], rest)
		if done-taken >= chunk {
			xorMacChunks(s.path, last[:], last[:], dst[taken:], &s.sub, &l, &m)
			taken += chunk
		} else {
			xorChunks(s.path, last[:], last[:], &s.sub, &l)
		}
		copy(dst[done:], last[:])
	}
	m.sum(tag, dst[taken:])
}

// openLong is OpenBody by a kernel. The kernel takes the MAC of a chunk before it
// overwrites it; what it has decrypted is wiped if the MAC is wrong.
func (s *Stream) openLong(p []byte, tag *[TagSize]byte) bool {
	var m mac
	m.init(s.bodyKey())
	var l lanes
	l.begin(s.low)
	long := (len(p) - 32) / chunk * chunk // bytes that are decrypted where they are
	end := p[32+long:]
	var last [chunk]byte
	taken := 32 // into the MAC
	if len(end) >= chunk-32 {
		// The end first, aside: then there is a chunk of the MAC for each of the
		// key stream.
		after := l
		after.skip(long / chunk)
		copy(last[:], end)
		xorMacChunks(s.path, last[:], last[:], p, &s.sub, &after, &m)
		taken = chunk
	} else {
		m.blocks(p[:taken])
	}
	xorMacChunks(s.path, p[32:], p[32:32+long], p[taken:], &s.sub, &l, &m)
	taken += long
	var want [TagSize]byte
	m.sum(&want, p[taken:])
	if !equal(&want, tag) {
		clear(p)
		return false
	}
	subtle.XORBytes(p, p[:32], s.begun())
	if 0 < len(end) && len(end) < chunk-32 {
		copy(last[:], end)
		xorChunks(s.path, last[:], last[:], &s.sub, &l)
	}
	copy(end, last[:])
	return true
}
