package muxrpc

import (
	"io"
	"net"
	"time"
)

// passPieces is how many pieces a sender writes itself, for others too, before it goes its own way.
const passPieces = 4

// tryWriter is what a conn has that can tell what it takes at once.
type tryWriter interface {
	// TryWriteBuffers is WriteBuffers for who does not wait: n < the length of bufs, without an error, is what could be taken.
	TryWriteBuffers(bufs ...[]byte) (n int, err error)
}

// send queues a packet made of parts, as outbox.send does, and writes it if nobody else writes.
func (s *Session) send(p Packet, cancel <-chan struct{}, more ...[]byte) (queued bool, err error) {
	o, err := outgo(p, more)
	if err != nil {
		return false, err
	}
	queued, mine, err := s.out.send(o, cancel)
	if mine {
		s.pass()
	}
	return queued, err
}

// trySend is send for who does not wait.
func (s *Session) trySend(p Packet) (queued bool, err error) {
	o, err := outgo(p, nil)
	if err != nil {
		return false, err
	}
	queued, mine, err := s.out.trySend(o)
	if mine {
		s.pass()
	}
	return queued, err
}

// pass writes what the conn takes without waiting on the goroutine of a sender, who has the turn; the writing goroutine does the
// rest. An idle session has no writing goroutine, and a sender is spared the way through one.
func (s *Session) pass() {
	for range passPieces {
		if s.try == nil {
			break
		}
		piece, size, step := s.out.next()
		if step == stepDone {
			return
		}
		if step == stepEnd {
			break
		}
		n, err := s.try.TryWriteBuffers(piece...)
		if err != nil {
			s.fail("writing packets", err)
			return
		}
		s.out.wrote(n)
		if n < size {
			break
		}
	}
	s.out.handOver()
}

// write is the writing goroutine. It has the turn, and returns when nothing is left. It alone ends our direction of the conn.
func (s *Session) write() {
	end, err := s.writeQueue()
	if err != nil {
		s.fail("writing packets", err)
		return
	}
	if !end || s.Err() != nil {
		return
	}
	err = s.conn.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout))
	if err == nil {
		err = s.conn.CloseWrite()
	}
	if err != nil {
		s.fail("ending our direction", err)
		return
	}
	linger := time.NewTimer(lingerTimeout)
	defer linger.Stop()
	select {
	case <-s.eof:
	case <-linger.C:
	case <-s.done:
		return
	}
	over := net.ErrClosed // our Goodbye did not wait any longer
	s.mu.Lock()
	if s.peerGone {
		over = io.EOF
	}
	s.mu.Unlock()
	s.finish(over, s.conn.Close)
}

// writeQueue writes until nothing is queued, many packets at a time, header and body apart where the conn can. It reports whether
// our direction is to be ended.
func (s *Session) writeQueue() (end bool, err error) {
	vector, _ := s.conn.(buffersWriter)
	var flat []byte
	for {
		piece, size, step := s.out.next()
		if step != stepWrite {
			return step == stepEnd, nil
		}
		if s.try != nil {
			n, err := s.try.TryWriteBuffers(piece...)
			if err != nil {
				return false, err
			}
			s.out.wrote(n)
			if n == size {
				continue
			}
			piece, size, _ = s.out.next()
		}
		if err := s.conn.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)); err != nil {
			return false, err
		}
		if vector != nil {
			_, err = vector.WriteBuffers(piece...)
		} else {
			flat = flat[:0]
			for _, b := range piece {
				flat = append(flat, b...)
			}
			_, err = s.conn.Write(flat)
		}
		if err == nil { // the next piece may be due much later, and who only tries sets no deadline
			err = s.conn.SetWriteDeadline(time.Time{})
		}
		if err != nil {
			return false, err
		}
		s.out.wrote(size)
	}
}

// outgo is a packet as the outbox takes it.
func outgo(p Packet, more [][]byte) (outgoing, error) {
	o := outgoing{body: p.Body, more: more}
	size := o.size() - headerSize
	if err := p.check(size); err != nil {
		return outgoing{}, err
	}
	o.h = p.header(size)
	return o, nil
}
