package mux

// buffer is a first-in first-out queue of bytes. What it holds is at most
// about twice what is in it, however small the pieces are that it was filled
// with: a new chunk is as large as all that is there already, within minChunk
// and maxChunk.
type buffer struct {
	chunks []*chunk
	off    int // read so far of chunks[0]
	n      int // bytes in the queue
	held   int // capacity of all chunks
}

func (b *buffer) append(p []byte) {
	for len(p) > 0 {
		last := len(b.chunks) - 1
		if last < 0 || len(b.chunks[last].p) == cap(b.chunks[last].p) {
			c := getChunk(min(max(len(p), b.n), maxChunk))
			b.chunks = append(b.chunks, c)
			b.held += cap(c.p)
			last++
		}
		c := b.chunks[last]
		k := min(len(p), cap(c.p)-len(c.p))
		c.p = append(c.p, p[:k]...)
		b.n += k
		p = p[k:]
	}
}

// read moves up to len(p) bytes out.
func (b *buffer) read(p []byte) int {
	n := 0
	for n < len(p) && b.n > 0 {
		c := b.chunks[0]
		k := copy(p[n:], c.p[b.off:])
		n += k
		b.n -= k
		b.off += k
		if b.off == len(c.p) {
			b.shift()
		}
	}
	return n
}

// peek copies up to len(p) bytes and leaves them.
func (b *buffer) peek(p []byte) int {
	n, off := 0, b.off
	for _, c := range b.chunks {
		n += copy(p[n:], c.p[off:])
		off = 0
	}
	return n
}

// shift gives up the first chunk, all of which has been read.
func (b *buffer) shift() {
	c := b.chunks[0]
	b.off = 0
	b.held -= cap(c.p)
	c.put()
	last := copy(b.chunks, b.chunks[1:])
	b.chunks[last] = nil
	b.chunks = b.chunks[:last]
	if last == 0 && cap(b.chunks) > 1 {
		b.chunks = nil
	}
}

// drop empties the buffer and returns how many bytes were in it.
func (b *buffer) drop() int {
	n := b.n
	for _, c := range b.chunks {
		c.put()
	}
	*b = buffer{}
	return n
}
