//go:build !purego

package salsa

import "encoding/binary"

// mac is a Poly1305 in progress: three words of the sum, two of the multiplier,
// and two that are added at the end.
type mac [7]uint64

func (m *mac) init(key *[32]byte) {
	*m = mac{
		3: word(key[0:]) & 0x0ffffffc0fffffff, 4: word(key[8:]) & 0x0ffffffc0ffffffc,
		5: word(key[16:]), 6: word(key[24:]),
	}
}

// blocks takes the blocks of 16 bytes of p.
func (m *mac) blocks(p []byte) {
	if len(p) >= 16 {
		macBlocks((*[7]uint64)(m), &p[0], len(p)/16)
	}
}

// sum takes the end of the message, of any length, and puts the MAC into tag.
func (m *mac) sum(tag *[TagSize]byte, p []byte) {
	msg, blocks, lo, hi := parts(tag, p)
	macSum(tag, (*[7]uint64)(m), msg, blocks, lo, hi)
}

// sum puts the MAC of all of p into tag.
func sum(tag *[TagSize]byte, key *[32]byte, p []byte) {
	msg, blocks, lo, hi := parts(tag, p)
	macAll(tag, key, msg, blocks, lo, hi)
}

// parts takes the end of a message apart: whole blocks, from msg on, and what is
// left as a number. Without a block msg is any.
func parts(tag *[TagSize]byte, p []byte) (msg *byte, blocks int, lo, hi uint64) {
	if len(p) == 0 {
		return &tag[0], 0, 0, 0
	}
	lo, hi = partial(p, len(p)%16)
	return &p[0], len(p) / 16, lo, hi
}

func word(p []byte) uint64 { return binary.LittleEndian.Uint64(p) }

// partial is the number that the last n bytes of p are, at most 15, with a one
// behind them; zero if there are none.
func partial(p []byte, n int) (lo, hi uint64) {
	bits := uint(8 * n)
	switch tail := p[len(p)-n:]; {
	case n == 0:
		return 0, 0
	case n >= 8:
		return word(tail), word(tail[n-8:])>>(128-bits) | 1<<(bits-64)
	case len(p) >= 8:
		return word(p[len(p)-8:])>>(64-bits) | 1<<bits, 0
	default:
		for i, b := range tail {
			lo |= uint64(b) << (8 * i)
		}
		return lo | 1<<bits, 0
	}
}
