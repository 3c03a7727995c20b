package client

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// The link of the kind fd (PROTOCOL.md §10). No handshake tells the caller that
// the callee has registered it, so a byte does.
const (
	registered   = 2
	registerFor  = 2 * time.Second  // at the caller, for that byte
	linkWaitFor  = 15 * time.Second // at the callee, for a link of any kind
	registerSend = time.Second      // of writing it into an empty socket
)

var errRegistered = errors.New("the link does not begin as one")

// without is kinds without one.
func without(kinds []channel.Kind, not channel.Kind) []channel.Kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k channel.Kind) bool { return k == not })
}

// takeLink takes up the caller's end of a passed link, once the callee has
// registered its own.
func (e *end) takeLink(ctx context.Context, n int) (*shs.Conn, error) {
	link, err := e.s.passedLink(n, e.peer)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, registerFor)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { link.Abort() })
	var b [1]byte
	_, err = link.Read(b[:])
	switch {
	case !stop():
		err = context.Cause(ctx)
	case err == nil && b[0] != registered:
		err = errRegistered
	}
	if err != nil {
		link.Abort()
		return nil, err
	}
	return link, nil
}

// awaited is where a callee waits for the link of one attempt: at a listener,
// for a passed socket, or both.
type awaited struct {
	ln   *channel.LinkListener // nil: a passed socket it is
	fd   chan *shs.Conn        // one slot
	done chan struct{}         // closed by Close

	mu   sync.Mutex
	over bool // nothing comes into fd any more
}

func newAwaited() *awaited {
	return &awaited{fd: make(chan *shs.Conn, 1), done: make(chan struct{})}
}

// put hands over a passed socket, and reports whether it is waited for.
func (w *awaited) put(link *shs.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	select {
	case w.fd <- link:
		return true
	default:
		return false
	}
}

// Close ends the waiting. What has been taken out stays.
func (w *awaited) Close() {
	w.mu.Lock()
	if !w.over {
		w.over = true
		close(w.done)
	}
	select {
	case link := <-w.fd:
		link.Abort()
	default:
	}
	w.mu.Unlock()
	if w.ln != nil {
		w.ln.Close()
	}
}

// channelFD serves channel.fd: which of the passed sockets is a channel's.
func (s *session) channelFD(args []json.RawMessage) error {
	var a control.ChannelFDArgs
	if err := control.Decode(args, &a); err != nil {
		return err
	}
	e := s.findEnd(a.Channel)
	if e == nil {
		if f, err := s.files.take(a.FD); err == nil {
			f.Close()
		}
		return control.NotFound.With("no such channel here")
	}
	link, err := s.passedLink(a.FD, e.peer)
	if err != nil {
		return control.Unavailable.With("the socket has not come, or is none")
	}
	e.mu.Lock()
	w := e.ln
	e.mu.Unlock()
	if w == nil || !w.put(link) {
		link.Abort()
		return control.Unavailable.With("no link is waited for")
	}
	return nil
}

// arrival is what comes of a listener.
type arrival struct {
	link *shs.Conn
	err  error
}

// accept waits at the listener, and registers who comes.
func (e *end) accept(ctx context.Context, ln *channel.LinkListener) (a arrival) {
	known := false
	a.link, a.err = ln.Accept(ctx, func() bool {
		known = e.path.Register()
		return known
	})
	if a.err != nil && known {
		e.path.Unregister()
	}
	return a
}

// follow moves the channel to the first link of an attempt that comes to
// something. It returns when that is done.
func (e *end) follow(ctx context.Context, w *awaited) (channel.Kind, error) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer w.Close()
	arrivals := make(chan arrival, 1)
	if w.ln != nil {
		wg.Go(func() { arrivals <- e.accept(ctx, w.ln) })
	}
	late := time.NewTimer(linkWaitFor)
	defer late.Stop()
	err := error(errUnmoved)
	for {
		select {
		case link := <-w.fd:
			if err = e.register(ctx, link); err == nil {
				w.Close()
				_, err = e.follows(ctx, link)
				return channel.FD, err
			}
			if w.ln != nil { // the caller may go on to the listener
				continue
			}
		case a := <-arrivals:
			if a.err != nil {
				return "", a.err
			}
			return e.follows(ctx, a.link)
		case <-w.done:
			err = errClosed
		case <-late.C:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if w.ln != nil { // one who has come to the listener before is taken
			w.Close()
			if a := <-arrivals; a.err == nil {
				return e.follows(ctx, a.link)
			}
		}
		return "", err
	}
}

// register tells the caller that its end of a passed link may be used, and waits
// until it does. After an error the channel is as before.
func (e *end) register(ctx context.Context, link *shs.Conn) error {
	if !e.path.Register() {
		link.Abort()
		return errClosed
	}
	ctx, cancel := context.WithTimeout(ctx, markFor)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { link.Abort() })
	err := link.SetWriteDeadline(time.Now().Add(registerSend))
	if err == nil {
		_, err = link.Write([]byte{registered})
	}
	if err == nil {
		_, err = link.Peek(1)
	}
	if err == nil {
		err = link.SetWriteDeadline(time.Time{})
	}
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		e.path.Unregister()
		link.Abort()
	}
	return err
}

// follows moves the channel to a registered link, which it owns. The kind is that
// of one that was listened for.
func (e *end) follows(ctx context.Context, link *shs.Conn) (kind channel.Kind, err error) {
	ctx, cancel := context.WithTimeout(ctx, markFor)
	defer cancel()
	kind = channel.Net
	if _, ok := link.NetConn().(*net.UnixConn); ok {
		kind = channel.Unix
	}
	return kind, e.move(ctx, link, kind)
}
