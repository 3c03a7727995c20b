package muxrpc

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// Stream is one source, sink or duplex. Its two directions end apart. All methods are safe for concurrent use; packets of
// concurrent Sends go out in some order, none after the END.
type Stream struct {
	// set at construction
	s        *Session
	id       int32 // the request number as we write it: negative for a stream of the peer
	call     *Call // nil for a stream of ours
	kind     string
	sends    bool          // items go out (END does in any case)
	receives bool          // items come in (END does in any case)
	slot     chan struct{} // holds a token while one packet of ours waits for room: packets leave in order
	ready    chan struct{} // token: the queue or recvErr changed
	room     chan struct{} // token: the queue became shorter

	mu        sync.Mutex
	queue     []Packet
	size      int   // bytes in queue
	discard   bool  // nobody will Recv any more
	recvErr   error // what Recv returns after the queue
	recvEnded bool  // the peer's END came
	sendErr   error // why Send fails; set when our END is decided
	endQueued bool  // our END is on its way
}

func newStream(s *Session, id int32, kind string, call *Call) *Stream {
	ours := call == nil
	return &Stream{
		s: s, id: id, kind: kind, call: call,
		sends:    kind == typeDuplex || ours == (kind == typeSink),
		receives: kind == typeDuplex || ours == (kind == typeSource),
		slot:     make(chan struct{}, 1),
		ready:    make(chan struct{}, 1),
		room:     make(chan struct{}, 1),
	}
}

// Open starts a stream of type source, sink or duplex. ctx counts only until the request is queued; the stream lives until both
// directions have ended, or the session. arg is as in [Session.Call].
func (s *Session) Open(ctx context.Context, typ, method string, arg any) (*Stream, error) {
	switch typ {
	case typeSource, typeSink, typeDuplex:
	default:
		return nil, errKind
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("opening %s: %w", method, context.Cause(ctx))
	}
	body, err := encodeRequest(method, typ, arg)
	if err != nil {
		return nil, err
	}
	var st *Stream
	id, err := s.begin(func(id int32) {
		st = newStream(s, id, typ, nil)
		put(&s.opened, id, st)
		s.open++
	})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", method, err)
	}
	sent, err := s.send(Packet{Flags: FlagJSON | FlagStream, Req: id, Body: body}, ctx.Done())
	if sent {
		return st, nil
	}
	st.forget()
	if st.closeSending(errSendEnded) { // else its END counts, which the session's end has asked for
		s.queued()
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", method, s.goneErr())
	}
	return nil, fmt.Errorf("opening %s: %w", method, context.Cause(ctx))
}

// CloseSend ends our direction with its one END: nil as true, an error as in [Call.Fail]. What the peer still sends can be
// received. For a source of the peer it asks the peer to stop. If our direction has ended already it does nothing.
func (st *Stream) CloseSend(err error) error {
	body := endTrue()
	if err != nil {
		body = encodeError(err)
	}
	return st.end(body, errSendEnded, nil)
}

// Abort ends the stream for us: CloseSend(err), and what the peer sent or sends is discarded. Recv returns net.ErrClosed.
func (st *Stream) Abort(err error) {
	st.stopReceiving(net.ErrClosed)
	// The session is gone if this fails, and says so itself.
	_ = st.CloseSend(err)
}

// Recv returns the next item: its body, and its flags for the type ([FlagBytes], [FlagText], [FlagJSON]). After
// the last it returns io.EOF if the peer ended with true, a *[RemoteError] if with an error or if the queue overflowed
// ("quota"); if the session ends without an END the error says so and is never io.EOF.
func (st *Stream) Recv(ctx context.Context) ([]byte, byte, error) {
	for {
		p, ok, err := st.pop()
		if ok {
			return p.Body, p.Flags & flagsMask, nil
		}
		if err != nil {
			return nil, 0, err
		}
		select {
		case <-st.ready:
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		}
	}
}

// pop takes the first packet of the queue; the error is why there will be none.
func (st *Stream) pop() (p Packet, ok bool, err error) {
	st.mu.Lock()
	if ok = len(st.queue) > 0; ok {
		p = st.queue[0]
		st.queue[0] = Packet{}
		st.queue = st.queue[1:]
		st.size -= len(p.Body)
	}
	err = st.recvErr
	more := err != nil || len(st.queue) > 0
	st.mu.Unlock()
	if ok {
		token(st.room)
	}
	if more {
		token(st.ready) // for another Recv
	}
	return p, ok, err
}

// token leaves a token in a channel that holds one.
func token(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// receive handles a packet of this stream on the reading goroutine.
func (st *Stream) receive(p Packet) {
	if p.isEnd() {
		st.receiveEnd(decodeEnd(p))
		return
	}
	for st.receives {
		taken, full := st.push(p)
		switch {
		case taken:
			token(st.ready)
			return
		case !full:
			st.s.dropped.Add(1)
			return
		case !st.s.cfg.BlockReceive:
			st.overflow()
			return
		}
		select {
		case <-st.room:
		case <-st.s.done:
			return
		}
	}
	st.s.dropped.Add(1)
}

// push appends p to the queue unless it is full or not wanted.
func (st *Stream) push(p Packet) (taken, full bool) {
	most := st.s.cfg.MaxReceive
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.recvEnded || st.discard {
		return false, false
	}
	if n := len(st.queue); n > 0 && (st.size+len(p.Body) > most || n >= max(1, most/boxSize)) {
		return false, true
	}
	st.queue = append(st.queue, p)
	st.size += len(p.Body)
	return true, false
}

// overflow ends a stream whose items nobody takes.
func (st *Stream) overflow() {
	err := &RemoteError{Name: codeQuota, Message: "receive queue is full"}
	st.s.quota.Add(1)
	st.stopReceiving(err)
	if st.call != nil {
		st.call.cancel(err)
	}
	_ = st.end(encodeError(err), err, nil)
}

// stopReceiving makes Recv return err at once, and drops what comes.
func (st *Stream) stopReceiving(err error) {
	st.mu.Lock()
	if st.recvErr == nil || len(st.queue) > 0 {
		st.recvErr = err
	}
	st.discard = true
	st.queue, st.size = nil, 0
	st.mu.Unlock()
	token(st.ready)
	token(st.room)
}

// receiveEnd handles the peer's END. Where the peer has nothing more to say in either direction, ours ends with it: the echo of
// a source's end, the end of an aborted source, of a sink the callee wants no more of, of anything that failed.
func (st *Stream) receiveEnd(reason error) {
	st.mu.Lock()
	again := st.recvEnded
	st.mu.Unlock()
	if again {
		st.s.dropped.Add(1) // a repeat
		return
	}
	var why error // our direction ends, too
	ours := st.call == nil
	switch {
	case reason != nil:
		why = reason
	case !st.receives:
		why = context.Canceled
	case ours && !st.sends:
		why = errSendEnded
	}
	mine := why != nil && st.closeSending(why) // before Recv tells, or its caller might be faster with another END
	st.endReceiving(reason, io.EOF)
	if why != nil && st.call != nil {
		st.call.cancel(why)
	}
	if mine {
		_ = st.sendEnd(endTrue(), nil) // the session is gone if this fails, and says so itself
	}
	st.forgetIfOver()
}

// endReceiving notes the end of the peer's direction: Recv returns reason, or clean if there is none.
func (st *Stream) endReceiving(reason, clean error) {
	if reason == nil {
		reason = clean
	}
	st.mu.Lock()
	st.recvEnded = true
	if st.recvErr == nil {
		st.recvErr = reason
	}
	st.mu.Unlock()
	token(st.ready)
}

// stopSending ends our direction with true because of the peer, and tells the handler.
func (st *Stream) stopSending(reason error, cancel <-chan struct{}) {
	if st.call != nil {
		st.call.cancel(reason)
	}
	// The session is gone if this fails, and says so itself.
	_ = st.end(endTrue(), reason, cancel)
}

// peerGone is the clean end of the session's other half: no END will come. The handler of a sink still owes its answer.
func (st *Stream) peerGone() {
	err := fmt.Errorf("muxrpc: session ended: %w", io.ErrUnexpectedEOF)
	st.endReceiving(err, nil)
	if st.call == nil || st.sends {
		st.stopSending(err, nil)
	}
	st.forgetIfOver()
}

// leave is our own goodbye: our streams and the sources we serve end; the handler of a sink still owes its answer.
func (st *Stream) leave(cancel <-chan struct{}) {
	if st.call == nil || st.sends {
		st.stopSending(net.ErrClosed, cancel)
	}
}

// sessionEnded wakes who waits on the stream of a dead session.
func (st *Stream) sessionEnded(err error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	err = fmt.Errorf("muxrpc: session ended: %w", err)
	st.endReceiving(err, nil)
	st.mu.Lock()
	if st.sendErr == nil {
		st.sendErr = err
	}
	st.mu.Unlock()
	token(st.room)
}

// end sends the one END of our direction; later calls do nothing. reason is what Send returns from now on. When cancel is closed
// first there will be none: the session is about to die.
func (st *Stream) end(body []byte, reason error, cancel <-chan struct{}) error {
	if !st.closeSending(reason) {
		return nil
	}
	return st.sendEnd(body, cancel)
}

// sendEnd is end for whom closeSending was the first.
func (st *Stream) sendEnd(body []byte, cancel <-chan struct{}) error {
	var err error
	select {
	case st.slot <- struct{}{}: // a Send under way goes first
		_, err = st.s.send(Packet{Flags: FlagJSON | FlagEnd | FlagStream, Req: st.id, Body: body}, cancel)
		<-st.slot
	case <-cancel:
	}
	st.mu.Lock()
	st.endQueued = true
	st.mu.Unlock()
	st.forgetIfOver()
	st.s.queued()
	if err != nil {
		return st.s.goneErr()
	}
	return nil
}

// closeSending makes Send return reason from now on, and reports whether it was the first to.
func (st *Stream) closeSending(reason error) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.sendErr != nil {
		return false
	}
	st.sendErr = reason
	return true
}

// forgetIfOver takes the stream out of the session's books when both directions have ended. The caller of a source has no
// direction but its END, which answers ours and which not every caller sends: our END alone ends a source that we serve.
func (st *Stream) forgetIfOver() {
	st.mu.Lock()
	alone := st.call != nil && !st.receives
	over := st.endQueued && (st.recvEnded || alone)
	st.mu.Unlock()
	if over {
		st.endReceiving(nil, io.EOF) // nobody waits for what will not be passed on
		st.forget()
	}
}

func (st *Stream) forget() {
	if st.call != nil {
		st.call.forget()
		return
	}
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	if st.s.opened[st.id] == st {
		delete(st.s.opened, st.id)
	}
}

// endTrue is the body of a clean END.
func endTrue() []byte { return []byte("true") }
