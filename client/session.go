package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// session is one authenticated connection to the server, from the handshake to
// its end. Its ctx is cancelled, with the cause, the moment it has ended; close
// then cleans up.
//
//	yamux:       control lane = the first stream; the server calls on streams of its own
//	single lane: control lane = the connection; the server calls on it
type session struct {
	// set at construction
	c      *Client
	log    *slog.Logger
	to     target
	conn   *shs.Conn
	mux    *mux.Session // nil in single-lane mode
	ctl    *muxrpc.Session
	limit  *muxrpc.Limit // the server's calls, on all lanes
	me     control.WhoAmI
	ctx    context.Context
	cancel context.CancelCauseFunc

	files files // that the server has passed
	away  chan struct{}
	leave sync.Once // closes away

	wg       sync.WaitGroup
	guarding atomic.Bool // a listener's name has a watch
	live     count       // channels that need the session

	// guarded by mu
	mu      sync.Mutex
	closed  bool
	pending map[channel.ID]context.CancelFunc // offers that are being taken up on a new lane
}

// newSession begins a session on conn, which it owns. The first call tells who
// we are, and shows the server what kind of lane this is.
func (c *Client) newSession(ctx context.Context, conn *shs.Conn, to target) (*session, error) {
	s := &session{
		c:       c,
		log:     c.log,
		to:      to,
		conn:    conn,
		limit:   muxrpc.NewLimit(peerCalls),
		pending: make(map[channel.ID]context.CancelFunc),
		away:    make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	var lane muxrpc.Conn = conn
	if !c.cfg.SingleLane {
		s.files.on = slices.Contains(c.kinds(), channel.FD) && conn.TakeFiles(s.files.add)
		// The server's calls come from many peers, who share our session: the
		// rates are the server's to keep.
		s.mux = mux.Client(conn, mux.Config{
			Window: window,
			Rates:  mux.Rates{Opens: mux.NoRate, Resets: mux.NoRate, Updates: mux.NoRate, Empty: mux.NoRate},
			Handle: s.startStream,
			Lead:   true,
			Log:    c.log,

			AfterFunc: c.alarms.For(conn.NetConn()),
		})
		s.wg.Go(func() { _ = s.mux.Run() }) // watchOver asks for its error
		stream, err := s.mux.Open(ctx)
		if err != nil {
			s.cancel(err)
			s.mux.Abort(err)
			s.files.close()
			return nil, err
		}
		lane = stream
	}
	s.ctl = muxrpc.NewSession(lane, muxrpc.Config{Handler: s, MaxBody: control.MaxPeerBody, Limit: s.limit})
	s.wg.Go(s.watchOver)
	if s.mux == nil {
		s.wg.Go(s.keepAlive)
	}
	if err := s.call(ctx, control.MethodWhoAmI, nil, &s.me); err != nil {
		s.cancel(err)
		s.close()
		return nil, err
	}
	return s, nil
}

// window is how far the other end of a channel may send ahead of us.
const window = 1 << 20

// peerCalls is how many calls of the server are in work at once, at most.
const peerCalls = 64

// watchOver turns the end of either layer into the end of the session.
func (s *session) watchOver() {
	defer s.files.close()
	var gone, away <-chan struct{}
	if s.mux != nil {
		gone, away = s.mux.Done(), s.mux.RemoteGoAway()
	}
	for {
		select {
		case <-gone:
			s.cancel(s.mux.Err())
		case <-s.ctl.Done():
			s.cancel(fmt.Errorf("control lane: %w", s.ctl.Err()))
		case <-s.ctx.Done():
		case <-away:
			away = nil
			s.goingAway()
			continue
		}
		return
	}
}

// keepAlive does for a single lane what the multiplexer does for yamux.
func (s *session) keepAlive() {
	for sleep(s.ctx, keepAlive) {
		ctx, cancel := context.WithTimeout(s.ctx, deadAfter-keepAlive)
		err := s.call(ctx, control.MethodPing, nil, nil)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			s.cancel(errSilent)
		}
	}
}

// spawn runs f on a goroutine of the session, and reports false if the session
// is closed already.
func (s *session) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

// over reports whether the session takes no more calls.
func (s *session) over() bool {
	if s.ctx.Err() != nil {
		return true
	}
	if s.mux != nil { // watchOver may not have seen it yet
		select {
		case <-s.mux.RemoteGoAway():
			return true
		default:
		}
	}
	select {
	case <-s.away:
		return true
	default:
		return false
	}
}

// awaitOver waits until the session takes no more calls, and reports whether
// that was in time.
func (s *session) awaitOver(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
		return true
	case <-s.away:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// goingAway notes that the server wants us to leave: by its call of that name,
// or by yamux's go-away.
func (s *session) goingAway() { s.leave.Do(func() { close(s.away) }) }

// farewell returns a channel that is closed by yamux's go-away; without yamux
// there is none, and the server's goodbye is the end.
func (s *session) farewell() <-chan struct{} {
	if s.mux == nil {
		return nil
	}
	return s.mux.RemoteGoAway()
}

// openLane opens a lane: a stream, or a connection like the session's own.
func (s *session) openLane(ctx context.Context) (channel.Lane, error) {
	if s.mux == nil {
		conn, err := relogin(ctx, &s.c.cfg, s.to)
		if err != nil {
			return nil, fmt.Errorf("opening a lane: %w", err)
		}
		return conn, nil
	}
	stream, err := s.mux.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening a lane: %w", err)
	}
	return stream, nil
}

// close ends the session in order and waits for its goroutines.
func (s *session) close() {
	s.cancel(errClosed)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if s.mux != nil {
		s.mux.Close() // its lanes end with it, the control lane too
	} else {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), closeTimeout)
		// A server that does not say goodbye in time is left without.
		_ = s.ctl.Goodbye(ctx)
		cancel()
	}
	s.ctl.Close()
	s.conn.Close()
	s.wg.Wait()
}
