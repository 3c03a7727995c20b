package salsa

import (
	"encoding/binary"
	"math"

	//lint:ignore SA1019 low level is what its notice warns of; secretbox is made of it
	"golang.org/x/crypto/salsa20/salsa"
)

const (
	block = 64        // bytes of a block of key stream
	chunk = 8 * block // bytes that a kernel makes at a time
	pairs = 2         // pairs that are begun ahead
	slots = 4         // blocks of each
)

// Stream is one direction. Its secretboxes come in pairs: a head under a nonce n
// and a body under n+1; then n grows by 2. Next goes to the next pair, of which
// head and body are then each sealed once, or each opened, in any order.
//
// Init makes it ready, Wipe ends it. It is not safe for concurrent use.
type Stream struct {
	key    [32]byte // of the direction
	sub    [32]byte // HSalsa20 of key and prefix
	prefix [16]byte // the nonce of the body in hand begins so
	low    uint64   // and ends so, big-endian
	path   Path
	ready  bool
	left   uint8 // pairs in ahead behind the one in hand

	// ahead holds the first blocks of some pairs: the head's block 0 and the
	// body's 0, and if a kernel made them the body's 1 and 2. Nil before Next.
	ahead []byte
	pair  []byte // of ahead: the pair in hand
}

// Init keys s. The nonce is that of the first head, a 24-byte big-endian number.
func (s *Stream) Init(key *[32]byte, nonce *[24]byte, path Path) {
	*s = Stream{key: *key, prefix: [16]byte(nonce[:]), low: binary.BigEndian.Uint64(nonce[16:]), path: path, ready: true}
	if s.low == 0 { // the step to the first nonce carries again
		for i := len(s.prefix) - 1; i >= 0; i-- {
			s.prefix[i]--
			if s.prefix[i] != math.MaxUint8 {
				break
			}
		}
	}
	s.low--
	s.derive()
}

// Wipe forgets the key and the key stream.
func (s *Stream) Wipe() {
	clear(s.ahead)
	*s = Stream{}
}

// Next goes to the next pair. It panics if s has no key.
func (s *Stream) Next() {
	if !s.ready {
		panic("salsa: stream without a key")
	}
	switch {
	case s.left > 0:
		s.left--
		s.low += 2
		s.pair = s.ahead[(pairs-1-int(s.left))*slots*block:][:slots*block]
	case s.path == Portable || s.low > math.MaxUint64-2*pairs:
		s.begin()
	default:
		s.beginAhead()
	}
}

// begin makes the first blocks of one pair, whose nonces may carry.
func (s *Stream) begin() {
	if s.ahead == nil {
		s.ahead = make([]byte, 2*block)
	}
	s.pair = s.ahead[:2*block]
	clear(s.pair)
	for p := s.pair; len(p) > 0; p = p[block:] {
		if s.low++; s.low == 0 {
			for i := len(s.prefix) - 1; i >= 0; i-- {
				if s.prefix[i]++; s.prefix[i] != 0 {
					break
				}
			}
			s.derive()
		}
		s.xor(p[:block], p[:block], 0)
	}
}

// beginAhead makes the first blocks of some pairs, whose nonces do not carry.
func (s *Stream) beginAhead() {
	if len(s.ahead) < chunk {
		s.ahead = make([]byte, chunk)
	}
	clear(s.ahead)
	var l lanes
	for i := range uint64(pairs) {
		l.set(int(slots*i), s.low+2*i+1, 0)
		for b := range slots - 1 {
			l.set(int(slots*i)+1+b, s.low+2*i+2, uint32(b))
		}
	}
	xorChunks(s.path, s.ahead, s.ahead, &s.sub, &l)
	s.low += 2
	s.left = pairs - 1
	s.pair = s.ahead[:slots*block]
}

// derive makes the key of all nonces with this prefix.
func (s *Stream) derive() { salsa.HSalsa20(&s.sub, &s.prefix, &s.key, &salsa.Sigma) }

// xor XORs the key stream of the nonce in hand from a block on into dst from src.
func (s *Stream) xor(dst, src []byte, from uint64) {
	var counter [16]byte
	binary.BigEndian.PutUint64(counter[:], s.low)
	binary.LittleEndian.PutUint64(counter[8:], from)
	salsa.XORKeyStream(dst, src, &counter, &s.sub)
}

// lanes are the nonces and numbers of eight blocks: of each nonce's last 8 bytes
// both little-endian halves, then the block's number.
type lanes [3][8]uint32

func (l *lanes) set(lane int, low uint64, block uint32) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], low)
	l[0][lane] = binary.LittleEndian.Uint32(b[:])
	l[1][lane] = binary.LittleEndian.Uint32(b[4:])
	l[2][lane] = block
}

// begin is the first chunk of a body, behind block 0.
func (l *lanes) begin(low uint64) {
	for i := range 8 {
		l.set(i, low, uint32(1+i))
	}
}

// skip counts by chunks.
func (l *lanes) skip(chunks int) {
	for i := range l[2] {
		l[2][i] += uint32(8 * chunks)
	}
}
