package switchboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/cad2f06c/switchboard/muxrpc"
)

// errPanic ends a session whose service has failed by a fault of the server's.
var errPanic = errors.New("the server failed while it served this session")

// lockPatience is how long the lock of the books may be held after a panic by
// others, who hold it for moments.
const lockPatience = 5 * time.Second

// shield, when deferred, makes a panic the end of this session and of nothing
// else.
func (s *session) shield() {
	if v := recover(); v != nil {
		s.panicked(v)
	}
}

// panicked ends the session on whose behalf something has panicked.
func (s *session) panicked(v any) {
	s.srv.failed(v, s.place.source(), s.log)
	s.kill(errPanic)
}

// shielded is f, whose panic is an error.
func (s *session) shielded(f func() error) (err error) {
	err = errPanic
	defer s.shield()
	return f()
}

// spawn runs f, on behalf of the session, on a goroutine that Serve waits for.
func (s *session) spawn(f func()) {
	s.srv.wg.Go(func() {
		defer s.shield()
		f()
	})
}

// aside is spawn for what ends a session or a channel, or tells of the end: a panic
// of it is noted and ends nothing more, for the end of the session comes by here.
func (s *session) aside(f func()) { s.srv.wg.Go(func() { s.noted(f) }) }

// noted runs f, whose panic is noted.
func (s *session) noted(f func()) {
	defer func() {
		if v := recover(); v != nil {
			s.srv.failed(v, s.place.source(), s.log)
		}
	}()
	f()
}

// whenOver calls f, on a goroutine of its own, when ctx has ended; see
// context.AfterFunc. A panic of f is noted.
func (s *session) whenOver(ctx context.Context, f func()) (stop func() bool) {
	return context.AfterFunc(ctx, func() { s.noted(f) })
}

// calmly runs f, on behalf of no session; a panic is noted, and then it is false.
func (s *Server) calmly(f func()) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			s.failed(v, source{}, s.log)
		}
	}()
	f()
	return true
}

// keep runs a loop of the server's: after a panic again a second later, until ctx
// ends.
func (s *Server) keep(ctx context.Context, loop func(context.Context)) {
	for !s.calmly(func() { loop(ctx) }) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// failed notes a panic that was recovered. If that has left the books locked,
// nothing can go on, and it panics again.
func (s *Server) failed(v any, src source, log *slog.Logger) {
	log.Error("panic", "source", src.String(), "err", fmt.Sprint(v), "stack", string(debug.Stack()))
	s.adm.panicked(src)
	for end := time.Now().Add(lockPatience); !s.mu.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			panic(v)
		}
	}
	s.mu.Unlock()
}

// shieldedHandler is a handler of calls whose panic ends its session.
type shieldedHandler struct{ *handler }

// ServeCall answers one call.
func (h shieldedHandler) ServeCall(c *muxrpc.Call) {
	defer h.sess.shield()
	h.handler.ServeCall(c)
}
