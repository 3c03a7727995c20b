package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/alarm"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// Client is a peer of a switchboard. Make one with Dial; Close it. It is safe
// for concurrent use.
type Client struct {
	// set at construction
	cfg    Config
	log    *slog.Logger
	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the last goroutine is about to end
	turn   chan struct{} // a token: one OnState at a time
	pins   *pins

	wg sync.WaitGroup

	// What the server is still to be told of channels that are over, or that
	// move while they end: what it is not told it keeps in its books for a minute.
	errands count

	alarms alarm.Clock // of what is pending while nothing goes on: its sessions' and its links'

	spread atomic.Int64 // within how long a crowd comes back that has lost the server, in ns; its last word

	// owned by run
	last []shs.Address // where the server was found last

	// guarded by mu
	mu        sync.Mutex
	session   *session      // nil in a gap
	coming    *session      // in a gap: the next one, while the names are claimed in it
	untold    []*end        // ends of moved channels that were over while there was no session
	changed   chan struct{} // closed and replaced when session or err changes
	err       error         // sticky: why no session will come any more
	cause     error         // what Err returns
	claims    map[string]*claim
	busy      map[string]chan struct{} // names with a claim or release under way; closed at its end
	listeners map[string]*Listener
	ends      map[channel.ID]*end   // those of one id are a list
	lingers   map[*channel.Path]int // closed, with something left to do
	over      bool                  // nothing new begins
	lease     *time.Timer           // in a gap: until the moved channels end
	dead      []deadSession         // the last few
}

// Dial logs in and returns when the server has answered its first call. It
// tries each address once; its error names what to check. The Client lives
// until Close, whatever becomes of ctx.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Key.IsZero() {
		return nil, errNoKey
	}
	if cfg.NetworkKey == (shs.NetworkKey{}) {
		cfg.NetworkKey = shs.DefaultNetworkKey()
	}
	if cfg.Prepared == nil {
		cfg.Prepared = shs.Prepare(cfg.Key)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		cfg:       cfg,
		log:       cfg.Log,
		done:      make(chan struct{}),
		turn:      make(chan struct{}, 1),
		changed:   make(chan struct{}),
		claims:    make(map[string]*claim),
		busy:      make(map[string]chan struct{}),
		listeners: make(map[string]*Listener),
		ends:      make(map[channel.ID]*end),
		pins:      newPins(cfg.Pins, cfg.Log),
		lingers:   make(map[*channel.Path]int),
	}
	// What lives as long as the Client is not tied to the Dial.
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s, err := c.connect(ctx)
	if err != nil {
		c.cancel(err)
		c.alarms.Close()
		return nil, fmt.Errorf("client: %w", err)
	}
	c.publish(s)
	c.wg.Go(func() { c.run(s) })
	return c, nil
}

// Close ends the session, and with it the names, channels, listeners and
// watches of the Client, and returns after its last goroutine has ended.
// Everything returns net.ErrClosed from then on. Further calls wait for the
// first. If channels had moved to direct links, those that were closed before
// get half a second to send what was written and their end; then it tells the
// server that they are over, for at most a second.
func (c *Client) Close() error {
	c.farewell()
	c.cancel(errClosed)
	c.wg.Wait()
	return nil
}

// Done is closed when the Client has ended for good: by Close, or under
// NoReconnect with its session.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns nil before Done is closed; then net.ErrClosed after Close, or
// what ended the session.
func (c *Client) Err() error {
	select {
	case <-c.done:
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// WhoAmI asks what the server knows of this session.
func (c *Client) WhoAmI(ctx context.Context) (WhoAmI, error) {
	var me WhoAmI
	return me, c.retry(ctx, control.MethodWhoAmI, nil, &me)
}

// Ping asks the server for a sign of life and returns how long it took.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	s, err := c.await(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = s.call(ctx, control.MethodPing, nil, nil)
	return time.Since(began), err
}

// Call makes any async call of PROTOCOL.md §5. arg becomes the one argument, a
// JSON object; nil is none. The result is unmarshalled into result unless that
// is nil. It waits for a connection, but is never repeated: after
// ErrNotConnected it may or may not have been carried out.
func (c *Client) Call(ctx context.Context, method string, arg, result any) error {
	s, err := c.await(ctx)
	if err != nil {
		return err
	}
	return s.call(ctx, method, arg, result)
}

// retry is Call for what may be done twice: it waits for the next session when
// this one ends or is about to.
func (c *Client) retry(ctx context.Context, method string, arg, result any) error {
	return c.each(ctx, func(s *session) error { return s.call(ctx, method, arg, result) })
}

// each runs f on the session, and again on the next one if the session ended
// under f or is about to end.
func (c *Client) each(ctx context.Context, f func(*session) error) error {
	for {
		s, err := c.await(ctx)
		if err != nil {
			return err
		}
		err = f(s)
		if !errors.Is(err, ErrNotConnected) && !errors.Is(err, ShuttingDown) || c.cfg.NoReconnect {
			return err
		}
		late := endTimeout
		if errors.Is(err, ShuttingDown) {
			late = drainTimeout
		}
		if !s.awaitOver(ctx, late) {
			return err
		}
	}
}

// await returns the session, or waits for the next one.
func (c *Client) await(ctx context.Context) (*session, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.mu.Lock()
		s, err, changed := c.session, c.err, c.changed
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if s != nil && !s.over() {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// publish makes s the session that calls go to.
func (c *Client) publish(s *session) {
	c.mu.Lock()
	c.session, c.coming = s, nil
	c.changedLocked()
	c.mu.Unlock()
	if !c.cfg.NoReconnect {
		c.learn(&s.me.Server)
		s.spawn(s.watchCrowd)
	}
	c.log.Info("connected", "session", s.me.Session, "remote", s.conn.RemoteAddr().String(), "mode", s.conn.Mode().String())
	c.tell(State{Kind: Connected})
}

// withdraw takes s away from callers: they wait for the next session, or fail
// if there will be none.
func (c *Client) withdraw(s *session, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != s {
		return
	}
	c.session = nil
	if c.ctx.Err() != nil {
		c.failLocked(errClosed, errClosed)
	} else if c.cfg.NoReconnect {
		c.failLocked(fmt.Errorf("%w: %w", ErrNotConnected, cause), cause)
	}
	c.changedLocked()
}

// failLocked sets the sticky errors: that of calls, and that of Err.
func (c *Client) failLocked(err, cause error) {
	if c.err == nil {
		c.err, c.cause = err, cause
		c.changedLocked()
	}
}

func (c *Client) changedLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// tell passes a state on. A token, not a lock, keeps the callbacks in order:
// nobody holds a lock while they run.
func (c *Client) tell(st State) {
	if c.cfg.OnState == nil {
		return
	}
	c.turn <- struct{}{}
	c.cfg.OnState(st)
	<-c.turn
}

// call makes an async call on the session's control lane. An argument that the
// server would end the session for is refused here.
func (s *session) call(ctx context.Context, method string, arg, result any) error {
	if args, ok := arg.(muxrpc.Args); ok {
		if _, err := encode(args); err != nil {
			return err
		}
	} else if arg != nil {
		raw, err := encode(arg)
		if err != nil {
			return err
		}
		arg = raw
	}
	return fromServer(ctx, s.ctl.Call(ctx, method, arg, result))
}
