package channel

import "slices"

// sendHalf is our direction of a resumable channel. Numbers count its bytes
// from 0; its end takes one, too.
//
//	open ──end──▸ ended ──all acknowledged, the end too──▸ over
//
// held are the bytes [una, end): all that was written and not acknowledged,
// never more than the window.
type sendHalf struct {
	held  store
	una   uint64 // all below is acknowledged
	nxt   uint64 // to be sent next; back to una when a path has died
	max   uint64 // all below was sent, once
	end   uint64 // all below was written
	limit uint64 // bytes below are welcome
	ended bool
}

// last is the number behind all that there is to send.
func (h *sendHalf) last() uint64 {
	if h.ended {
		return h.end + 1
	}
	return h.end
}

func (h *sendHalf) over() bool { return h.ended && h.una == h.last() }

// write takes what the window has room for.
func (h *sendHalf) write(b []byte, window uint64) int {
	n := min(uint64(len(b)), window-(h.end-min(h.una, h.end)))
	if n > 0 {
		h.held.put(h.end, b[:n])
		h.end += n
	}
	return int(n)
}

// ready returns how many bytes may be sent now, and whether it is the end's
// turn.
func (h *sendHalf) ready() (n uint64, fin bool) {
	if to := min(h.end, h.limit); h.nxt < to {
		n = to - h.nxt
	}
	return n, h.ended && h.nxt == h.end
}

// ack takes an ACK.
func (h *sendHalf) ack(off, n, window uint64) error {
	if off > h.max || n > window {
		return ErrFrame
	}
	if off > h.una {
		h.una = off
		h.nxt = max(h.nxt, off)
		h.held.drop(min(off, h.end), off >= h.end)
	}
	h.limit = max(h.limit, off+n)
	return nil
}

// maxParts bounds what comes out of order: each path is in order, so an honest
// end makes few.
const maxParts = 64

// recvHalf is the other end's direction.
//
//	open ──FIN──▸ ending ──all before it──▸ over
//
// held are the bytes [read, next), in order and unread, and those of parts,
// never beyond told, which is never more than the window beyond read.
type recvHalf struct {
	held  store
	read  uint64 // all below was read
	next  uint64 // all below has come
	parts []part // what has come beyond, in order, with gaps between
	told  uint64 // the limit that the other end knows
	acked uint64 // what next was when it was told
	fin   bool
	last  uint64 // the number of the end
	drop  bool   // nobody reads: what comes is thrown away
	owe   owing
}

// part are the numbers [lo, hi).
type part struct{ lo, hi uint64 }

// owing says whether the other end is to be told where we are.
type owing uint8

const (
	oweNothing owing = iota
	oweSoon          // with what is sent next, or after a while
	oweNow
)

func (h *recvHalf) over() bool { return h.fin && h.next == h.last }

// high is the number behind all that has come.
func (h *recvHalf) high() uint64 {
	if len(h.parts) > 0 {
		return h.parts[len(h.parts)-1].hi
	}
	return h.next
}

// data takes a DATA frame.
func (h *recvHalf) data(off uint64, b []byte, window uint64) error {
	end := off + uint64(len(b))
	if end < off || end > h.told || h.fin && end > h.last {
		return ErrFrame
	}
	if end <= h.next {
		h.owe = oweNow // the other end does not know
		return nil
	}
	if off < h.next {
		off, b = h.next, b[h.next-off:]
	}
	if !h.drop {
		h.held.put(off, b)
	}
	if off > h.next {
		h.owe = oweNow
		return h.beyond(part{off, end})
	}
	h.next = end
	for len(h.parts) > 0 && h.parts[0].lo <= h.next {
		h.next = max(h.next, h.parts[0].hi)
		h.parts = h.parts[1:]
	}
	if h.drop {
		h.discard()
	}
	if h.over() || h.next-h.acked >= window/4 {
		h.owe = oweNow
	}
	h.owe = max(h.owe, oweSoon)
	return nil
}

// beyond notes a part that is not next.
func (h *recvHalf) beyond(p part) error {
	i, _ := slices.BinarySearchFunc(h.parts, p.lo, func(q part, lo uint64) int {
		if q.hi < lo {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(h.parts) && h.parts[j].lo <= p.hi; j++ {
		p.lo, p.hi = min(p.lo, h.parts[j].lo), max(p.hi, h.parts[j].hi)
	}
	h.parts = slices.Replace(h.parts, i, j, p)
	if len(h.parts) > maxParts {
		return ErrFrame
	}
	return nil
}

// end takes a FIN frame.
func (h *recvHalf) end(off uint64) error {
	if off < h.high() || off > h.told || h.fin && off != h.last {
		return ErrFrame
	}
	h.fin, h.last, h.owe = true, off, oweNow
	return nil
}

// take reads what has come, in order.
func (h *recvHalf) take(b []byte, window uint64) int {
	n := int(min(uint64(len(b)), h.next-h.read))
	if n == 0 {
		return 0
	}
	h.held.get(b[:n], h.read)
	h.read += uint64(n)
	h.held.drop(h.read, h.read == h.high())
	if !h.fin && h.read+window-h.told >= window/4 {
		h.owe = oweNow
	}
	return n
}

// discard throws away what is there, and from now on what comes.
func (h *recvHalf) discard() {
	h.drop = true
	h.read = h.next
	h.held.drop(h.high(), true)
}

// ack is the ACK that says where we are.
func (h *recvHalf) ack(window uint64) frame {
	f := frame{kind: frameAck, off: h.next}
	if h.over() {
		f.off++
	} else {
		f.n = uint32(h.read + window - h.next)
		h.told = max(h.told, h.read+window)
	}
	h.acked, h.owe = h.next, oweNothing
	return f
}
