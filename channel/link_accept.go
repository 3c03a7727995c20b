package channel

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// Accept waits for the caller, once per listener, and closes the listener before
// it returns.
//
// register is called at most once, when a caller is proven and has not learnt so
// yet: from then on a link may come to carry bytes. It must not wait. False says
// that the channel is over: the caller is refused, and Accept returns. If
// register returned true and Accept an error, the link died before it was of
// use. The link returned belongs to whoever called Accept.
//
// Strangers learn nothing, not even that they are refused: their connection
// ends. Each has 2 s, and 4 have a turn at a time (2 at each place if there is a
// socket and a port, so that neither stands in the way of the other); more wait
// in the kernel. Connections of another uid to the socket have no turn.
//
// The error is that of ctx, net.ErrClosed after Close, os.ErrDeadlineExceeded
// after the 15 s of the listener, or that of the registered link's handshake.
// Accept runs a goroutine per place and two per handshake, all of which have
// ended when it returns.
func (l *LinkListener) Accept(ctx context.Context, register func() bool) (*shs.Conn, error) {
	if !l.accepting.CompareAndSwap(false, true) {
		return nil, failed("waiting for a link", net.ErrClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &waiting{l: l, register: register, over: make(chan outcome, 1)}
	for _, s := range l.sockets {
		w.wg.Go(func() { w.serve(ctx, s) })
	}
	var won outcome
	select {
	case won = <-w.over:
	case <-ctx.Done():
		won = w.end(context.Cause(ctx))
	case <-l.done:
		won = w.end(l.cause)
	}
	l.shut(net.ErrClosed) // wakes serve
	cancel()              // ends the other handshakes
	w.wg.Wait()
	if won.err != nil {
		return nil, failed("waiting for a link", won.err)
	}
	return won.link, nil
}

// waiting is one Accept.
type waiting struct {
	l        *LinkListener
	register func() bool
	wg       sync.WaitGroup

	// claimed is set by the first caller that is proven, or by end: whoever
	// sets it decides what Accept returns.
	claimed atomic.Bool
	over    chan outcome // one, of the handshake that claimed
}

// outcome is what Accept returns.
type outcome struct {
	link *shs.Conn
	err  error
}

// end ends the waiting with err, or with the outcome of a handshake that has
// claimed before: it is at its last message, and bounded by linkShake.
func (w *waiting) end(err error) outcome {
	if w.claimed.CompareAndSwap(false, true) {
		return outcome{err: err}
	}
	return <-w.over
}

// serve accepts at one place until that is closed.
func (w *waiting) serve(ctx context.Context, s socket) {
	turns := make(chan struct{}, linkShakes/len(w.l.sockets))
	for {
		conn, err := s.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of descriptors, say
			if !pause(ctx, linkRetry) {
				return
			}
			continue
		}
		if s.kind == Unix && w.l.attempt.checkUID(conn) != nil {
			conn.Close()
			continue
		}
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			conn.Close()
			return
		}
		w.wg.Go(func() {
			w.shake(ctx, s.kind, conn)
			<-turns
		})
	}
}

// pause waits; false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// shake finds out whether conn is the caller's.
func (w *waiting) shake(ctx context.Context, kind Kind, conn net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, linkShake)
	defer cancel()
	w.l.attempt.tune(conn)
	claimed := false
	cfg := w.l.attempt.config(kind)
	cfg.Prepared = w.l.prep
	cfg.Authorize = func(key shs.PublicKey, _ shs.Mode) error {
		switch {
		case key != w.l.attempt.Peer:
			return errStranger
		case !w.claimed.CompareAndSwap(false, true):
			return errClaimed
		}
		claimed = true
		if !w.register() {
			return errOver
		}
		return nil
	}
	link := shs.Server(conn, cfg)
	err := link.Handshake(ctx)
	switch {
	case !claimed: // refused, and closed
	case err != nil:
		w.over <- outcome{err: err}
	default:
		w.over <- outcome{link: link}
	}
}
