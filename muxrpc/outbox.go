package muxrpc

import (
	"net"
	"slices"
	"sync"
)

const (
	pieceSize = 16 << 10 // most bytes handed to the conn at once, under one deadline
	spareSize = 1024     // most packets for which an idle session keeps room
	boxSize   = 4096     // a body is only cut at multiples of this, where its boxes end anyway
)

// outbox holds the packets that wait for the writing goroutine, at most max bytes of them or one packet. Who finds it
// full waits in line.
type outbox struct {
	max int // set at construction

	mu      sync.Mutex
	wake    sync.Cond // there is something for take; uses mu
	queue   []outgoing
	size    int // bytes queued or being written
	waiters []*waiter
	bye     bool  // a goodbye has been queued: nothing may follow
	shut    bool  // the writer ends when all is written
	err     error // sticky: no packet is accepted any more
}

// outgoing is one packet as it will be written.
type outgoing struct {
	h    header
	body []byte
}

func (o *outgoing) size() int { return headerSize + len(o.body) }

// waiter is one sender in line.
type waiter struct {
	packet outgoing
	ready  chan struct{} // closed once packet is queued or err is set
	err    error
}

func (q *outbox) init(most int) {
	q.max = most
	q.wake.L = &q.mu
}

// send queues p, whose body it keeps, and waits while there is no room, until cancel (nil: for ever) is closed. It
// reports true if p will be written unless the session dies first. It returns false without an error when cancelled.
func (q *outbox) send(p Packet, cancel <-chan struct{}) (bool, error) {
	if err := p.check(); err != nil {
		return false, err
	}
	o := outgoing{p.header(), p.Body}
	q.mu.Lock()
	if q.err != nil {
		defer q.mu.Unlock()
		return false, q.err
	}
	if len(q.waiters) == 0 && q.fitsLocked(&o) {
		q.pushLocked(o)
		q.mu.Unlock()
		return true, nil
	}
	w := &waiter{packet: o, ready: make(chan struct{})}
	q.waiters = append(q.waiters, w)
	q.mu.Unlock()

	select {
	case <-w.ready:
		return w.err == nil, w.err
	case <-cancel:
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiters, w)
	if i < 0 { // it got through, or the session ended, in the same moment
		return w.err == nil, w.err
	}
	q.waiters = slices.Delete(q.waiters, i, i+1)
	q.admitLocked() // the next in line may be shorter
	return false, nil
}

func (q *outbox) fitsLocked(o *outgoing) bool {
	return q.size == 0 || q.size+o.size() <= q.max
}

func (q *outbox) pushLocked(o outgoing) {
	q.queue = append(q.queue, o)
	q.size += o.size()
	q.wake.Signal()
}

// admitLocked lets in who waits, in order, as far as there is room.
func (q *outbox) admitLocked() {
	for len(q.waiters) > 0 && q.fitsLocked(&q.waiters[0].packet) {
		w := q.waiters[0]
		q.waiters = slices.Delete(q.waiters, 0, 1)
		q.pushLocked(w.packet)
		close(w.ready)
	}
}

// finish ends the queue: nothing is accepted any more; a goodbye comes last if bye; with shut the writer then returns.
func (q *outbox) finish(bye, shut bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if bye && !q.bye {
		q.bye = true
		q.pushLocked(outgoing{}) // nine zeros
	}
	q.shut = q.shut || shut
	q.failLocked(net.ErrClosed)
}

// fail drops all that waits: the session is dead.
func (q *outbox) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue, q.shut = nil, true
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
	q.wake.Signal()
}

// take waits for packets and returns all there are; spare is reused for the next ones. It returns nothing when the queue is over.
func (q *outbox) take(spare []outgoing) []outgoing {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.queue) == 0 && !q.shut {
		q.wake.Wait()
	}
	batch := q.queue
	if cap(spare) > spareSize {
		spare = nil
	}
	clear(spare)
	q.queue = spare[:0]
	return batch
}

// written gives back the room of n bytes.
func (q *outbox) written(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.size -= n
	q.admitLocked()
}

// cutter cuts a batch into pieces of at most pieceSize bytes, without copying.
type cutter struct {
	batch []outgoing
	off   int // bytes of batch[0] already in a piece
}

// next appends the buffers of the next piece to bufs; none when the batch is through. Header and body are never in one
// buffer, and a body is cut only where its boxes of 4096 bytes end.
func (c *cutter) next(bufs [][]byte) (_ [][]byte, size int) {
	for len(c.batch) > 0 {
		o := &c.batch[0]
		if c.off == 0 {
			if pieceSize-size < headerSize {
				break
			}
			bufs = append(bufs, o.h[:])
			size += headerSize
			c.off = headerSize
		}
		rest := o.body[c.off-headerSize:]
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
		c.batch, c.off = c.batch[1:], 0
	}
	return bufs, size
}
