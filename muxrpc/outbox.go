package muxrpc

import (
	"net"
	"slices"
	"sync"
)

const (
	pieceSize = 16 << 10 // most bytes handed to the conn at once, under one deadline
	spareSize = 16       // most packets for which an idle session keeps room
	boxSize   = 4096     // a body is only cut at multiples of this, where its boxes end anyway
)

// outbox holds the packets that wait to be written, at most max bytes of them or one packet. Who finds it full waits in line.
//
// One goroutine at a time has the turn: it takes pieces and writes them. Whoever queues a packet while nobody has the turn gets
// it; a turn is never dropped while a packet is queued.
type outbox struct {
	// set at construction
	max   int
	start func() // runs the writing goroutine, which has the turn; called with mu held

	mu      sync.Mutex
	queue   []outgoing
	size    int // bytes queued or being written
	waiters []*waiter
	writing bool  // somebody has the turn
	bye     bool  // a goodbye has been queued: nothing may follow
	shut    bool  // our direction is to be ended when all is written
	dead    bool  // the session is over: nothing is written any more
	err     error // sticky: no packet is accepted any more

	turn turn // of who has the turn
}

// turn is what has been taken from the queue and is not yet written.
type turn struct {
	batch []outgoing // all that was taken
	cut   cutter
	bufs  [][]byte // room for the next piece
	rest  [][]byte // of the piece that was begun
	left  int      // bytes in rest
}

// outgoing is one packet as it will be written: the body is the parts in order.
type outgoing struct {
	h    header
	body []byte
	more [][]byte // further parts of the body
}

func (o *outgoing) size() int {
	n := headerSize + len(o.body)
	for _, b := range o.more {
		n += len(b)
	}
	return n
}

// part is the header, the body, or one of what more there is.
func (o *outgoing) part(i int) []byte {
	switch i {
	case 0:
		return o.h[:]
	case 1:
		return o.body
	}
	return o.more[i-2]
}

// waiter is one sender in line.
type waiter struct {
	packet outgoing
	ready  chan struct{} // closed once packet is queued or err is set
	err    error
}

// send queues o, whose parts it keeps, and waits while there is no room, until cancel (nil: for ever) is closed. queued means that
// o will be written unless the session dies first; it is false without an error when cancelled. mine means that the caller has the
// turn now.
func (q *outbox) send(o outgoing, cancel <-chan struct{}) (queued, mine bool, err error) {
	q.mu.Lock()
	if q.err != nil {
		defer q.mu.Unlock()
		return false, false, q.err
	}
	if len(q.waiters) == 0 && q.fitsLocked(&o) {
		defer q.mu.Unlock()
		q.pushLocked(o)
		mine = !q.writing
		q.writing = true
		return true, mine, nil
	}
	w := &waiter{packet: o, ready: make(chan struct{})}
	q.waiters = append(q.waiters, w)
	q.mu.Unlock()

	select {
	case <-w.ready:
		return w.err == nil, false, w.err
	case <-cancel:
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiters, w)
	if i < 0 { // it got through, or the session ended, in the same moment
		return w.err == nil, false, w.err
	}
	q.waiters = slices.Delete(q.waiters, i, i+1)
	q.admitLocked() // the next in line may be shorter
	return false, false, nil
}

// trySend is send for who does not wait: queued is false if there is no room.
func (q *outbox) trySend(o outgoing) (queued, mine bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil || len(q.waiters) > 0 || !q.fitsLocked(&o) {
		return false, false, q.err
	}
	q.pushLocked(o)
	mine = !q.writing
	q.writing = true
	return true, mine, nil
}

func (q *outbox) fitsLocked(o *outgoing) bool {
	return q.size == 0 || q.size+o.size() <= q.max
}

func (q *outbox) pushLocked(o outgoing) {
	q.queue = append(q.queue, o)
	q.size += o.size()
}

// admitLocked lets in who waits, in order, as far as there is room. Somebody has the turn, or the queue is over.
func (q *outbox) admitLocked() {
	for len(q.waiters) > 0 && q.fitsLocked(&q.waiters[0].packet) {
		w := q.waiters[0]
		q.waiters = slices.Delete(q.waiters, 0, 1)
		q.pushLocked(w.packet)
		close(w.ready)
	}
}

// finish ends the queue: nothing is accepted any more; a goodbye comes last if bye; with shut the writing goroutine then ends
// our direction. It never blocks.
func (q *outbox) finish(bye, shut bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if bye && !q.bye {
		q.bye = true
		q.pushLocked(outgoing{}) // nine zeros
	}
	q.shut = q.shut || shut
	q.failLocked(net.ErrClosed)
	if !q.writing && !q.dead && (len(q.queue) > 0 || q.shut) {
		q.writing = true
		q.start()
	}
}

// fail drops all that waits: the session is dead.
func (q *outbox) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue, q.dead = nil, true
	q.failLocked(err)
}

func (q *outbox) failLocked(err error) {
	if q.err == nil {
		q.err = err
	}
	for _, w := range q.waiters {
		w.err = q.err
		close(w.ready)
	}
	q.waiters = nil
}

// What next says beside a piece.
type step int

const (
	stepWrite step = iota // there is a piece
	stepDone              // nothing is queued: the turn is over
	stepEnd               // our direction is to be ended: the turn stays with who has it
)

// next returns the next piece, for who has the turn: what is left of the last one, else a new one.
func (q *outbox) next() (piece [][]byte, size int, _ step) {
	t := &q.turn
	if t.left > 0 {
		return t.rest, t.left, stepWrite
	}
	if len(t.cut.batch) == 0 {
		if s := q.take(); s != stepWrite {
			return nil, 0, s
		}
	}
	t.rest, t.left = t.cut.next(t.bufs[:0])
	t.bufs = t.rest
	return t.rest, t.left, stepWrite
}

// take takes all that is queued into the turn, or ends the turn.
func (q *outbox) take() step {
	t := &q.turn
	clear(t.bufs)
	clear(t.batch)
	if cap(t.batch) > spareSize {
		t.batch, t.bufs = nil, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.dead:
		q.writing = false
		return stepDone
	case len(q.queue) > 0:
		q.queue, t.batch = t.batch[:0], q.queue
		t.cut = cutter{batch: t.batch}
		return stepWrite
	case q.shut:
		return stepEnd
	}
	q.writing = false
	return stepDone
}

// wrote notes that the next n bytes of the piece are written, and gives back their room.
func (q *outbox) wrote(n int) {
	q.mu.Lock()
	q.size -= n
	q.admitLocked()
	q.mu.Unlock()
	t := &q.turn
	for t.left -= n; n > 0; {
		k := min(n, len(t.rest[0]))
		n -= k
		if t.rest[0] = t.rest[0][k:]; len(t.rest[0]) == 0 {
			t.rest = t.rest[1:]
		}
	}
}

// handOver gives the caller's turn to the writing goroutine.
func (q *outbox) handOver() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.writing = !q.dead; q.writing {
		q.start()
	}
}

// cutter cuts a batch into pieces of at most pieceSize bytes, without copying.
type cutter struct {
	batch []outgoing
	part  int // of batch[0]: the header, the body, what more there is
	off   int // bytes of that part already in a piece
}

// next appends the buffers of the next piece to bufs; none when the batch is through. No two parts are in one buffer, and a part
// is cut only where its boxes of 4096 bytes end.
func (c *cutter) next(bufs [][]byte) (_ [][]byte, size int) {
	for len(c.batch) > 0 {
		o := &c.batch[0]
		if c.part == 2+len(o.more) {
			c.batch, c.part = c.batch[1:], 0
			continue
		}
		rest := o.part(c.part)[c.off:]
		n := len(rest)
		if room := pieceSize - size; n > room {
			n = room / boxSize * boxSize
		}
		if n > 0 {
			bufs = append(bufs, rest[:n])
			size += n
			c.off += n
		}
		if n < len(rest) {
			break
		}
		c.part, c.off = c.part+1, 0
	}
	return bufs, size
}
