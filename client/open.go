package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// OpenOptions say more about a channel than whom to call. The zero value adds
// nothing.
type OpenOptions struct {
	Key     shs.PublicKey // the callee must have this key, else PeerMismatch
	Epoch   uint64        // the name must still have this epoch, else Stale
	Meta    any           // sent along to the callee, as JSON of at most 4 KiB
	Timeout time.Duration // until the callee has answered, 100 ms to 60 s; 0: ctx's deadline, or 10 s

	// Direct says whether the channel may move to a direct link; the default is
	// Config's.
	Direct Direct
	// OnDirect is told of each try to make the channel direct, on a goroutine
	// that waits for it. It must return soon. Nil: nobody is told.
	OnDirect func(Attempt)
	// Sealed runs a handshake inside the channel, between the two ends: the server
	// can neither read it nor put itself in between, if it does not lie about the
	// callee's key. Key, or a pin in Config.Pins, sees to that.
	Sealed bool
}

// DialContext opens a channel to a name or a session id, and returns a
// *channel.Conn. network is not looked at. A port behind the name is dropped,
// so that DialContext fits into http.Transport, where
// "http://org.example.web/" asks for "org.example.web:80".
func (c *Client) DialContext(ctx context.Context, network, name string) (net.Conn, error) {
	if i := strings.LastIndexByte(name, ':'); i > 0 {
		name = name[:i]
	}
	conn, err := c.Open(ctx, name, OpenOptions{})
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: channel.Addr{}.Network(), Addr: channel.Addr{Name: name}, Err: err}
	}
	return conn, nil
}

// Open opens a channel to a name or, as ":17", to a session. It returns when
// the callee has accepted it: whatever is written reaches a program that knows
// our key. Errors are NotFound (nobody of that name, or nobody we may see),
// NotAllowed, PeerMismatch, Stale, Unavailable, Quota, Busy, Refused (by the
// callee, with its message), PeerGone and Timeout; when ctx ends first, ctx's;
// and ErrNotConnected when the session ends before the answer. After that, and
// after PeerGone, the callee may have seen the channel, so Open does not try again
// by itself. A callee that resets a channel the moment it has accepted it looks
// like one that is Busy, or PeerGone.
func (c *Client) Open(ctx context.Context, name string, opts OpenOptions) (*channel.Conn, error) {
	args, whom, err := c.connectArgs(ctx, name, &opts)
	if err != nil {
		return nil, err
	}
	var conn *channel.Conn
	var cut error
	err = c.each(ctx, func(s *session) error {
		ctx := ctx
		if s.mux == nil { // lanes of their own outlive sessions
			var cancel context.CancelCauseFunc
			ctx, cancel = context.WithCancelCause(ctx)
			defer cancel(nil)
			defer context.AfterFunc(c.ctx, func() { cancel(errClosed) })()
		}
		if args.Require {
			if args.Direct = texts(s.kinds()); len(args.Direct) == 0 {
				return errNoLinks
			}
		}
		lane, err := s.openLane(ctx)
		switch {
		case errors.Is(err, mux.ErrStreams):
			return fmt.Errorf("%w: %w", control.Quota.With("too many lanes of this session are open"), err)
		case err != nil: // nothing was sent: the next session may try
			return fmt.Errorf("%w: %w", ErrNotConnected, err)
		}
		var patience time.Duration
		patience, args.TimeoutMS = timeout(ctx, opts.Timeout)
		conn, err = s.connect(ctx, lane, &args, patience, &opts, whom)
		err = whom.mismatch(err)
		if errors.Is(err, ErrNotConnected) { // it was sent: no next session
			cut, err = err, nil
		}
		return err
	})
	if err == nil {
		err = cut
	}
	if err == nil {
		return conn, nil
	}
	for _, over := range []context.Context{ctx, c.ctx} {
		if over.Err() != nil {
			return nil, context.Cause(over)
		}
	}
	return nil, err
}

// connectArgs is what is asked for with a connect, and whom it is to reach.
func (c *Client) connectArgs(ctx context.Context, name string, opts *OpenOptions) (args control.ConnectArgs, whom expected, err error) {
	args, whom = control.ConnectArgs{To: name}, expected{key: opts.Key}
	if opts.Sealed {
		if whom, err = c.pins.expect(ctx, name, opts.Key); err != nil {
			return args, whom, err
		}
	}
	if !whom.key.IsZero() {
		args.Key = &whom.key
	}
	if epoch := opts.Epoch; epoch != 0 {
		args.Epoch = &epoch
	}
	if args.Meta, err = document("meta", opts.Meta); err != nil {
		return args, whom, err
	}
	return args, whom, c.wants(opts, &args)
}

// timeout is how long a connect may take, and what the server is told of it.
func timeout(ctx context.Context, want time.Duration) (time.Duration, *int64) {
	deadline, ok := ctx.Deadline()
	switch {
	case want == 0 && !ok:
		return control.DefaultTimeoutMS * time.Millisecond, nil
	case want == 0 || ok && time.Until(deadline) < want:
		want = time.Until(deadline)
	}
	ms := min(max(want.Milliseconds(), control.MinTimeoutMS), control.MaxTimeoutMS)
	return time.Duration(ms) * time.Millisecond, &ms
}

// connect makes a lane a channel. It owns the lane.
func (s *session) connect(ctx context.Context, lane channel.Lane, args *control.ConnectArgs, patience time.Duration, opts *OpenOptions, whom expected) (*channel.Conn, error) {
	var res control.ConnectResult
	if err := ask(ctx, lane, patience+graceTimeout, control.MethodConnect, args, &res); err != nil {
		if _, answered := errors.AsType[*Error](err); answered {
			lane.Close()
			return nil, err
		}
		lane.Abort()
		return nil, s.unanswered(ctx, err)
	}
	id, err := channel.ParseID(res.Channel)
	if err != nil {
		lane.Abort()
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	info := channel.Info{
		ID:      id,
		Key:     res.Peer.ID,
		Session: res.Peer.Session,
		Name:    args.To,
		Epoch:   res.Peer.Epoch,
		Caller:  true,
		Sealed:  args.Sealed,
	}
	e := s.adopt(lane, &info)
	ready, err := e.prepare(ctx, args, &res, opts, whom)
	if err != nil {
		e.Abort()
		return nil, err
	}
	return channel.NewConn(ready, info), nil
}

// unanswered says what became of a connect without a proper answer: given up,
// answered with nonsense, gone with the session, or only its lane was cut.
func (s *session) unanswered(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errAnswer), errors.Is(err, muxrpc.ErrTooLarge):
		return err
	case s.awaitOver(ctx, reasonGrace): // a lane may know of the end a moment before its session does
		return fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	return fmt.Errorf("%w: %w", control.PeerGone.With("the channel was reset before it was answered"), err)
}

// ask sends the request that a lane begins with, and reads its answer. The end
// of ctx aborts the lane. The caller ends the lane after an error.
func ask(ctx context.Context, lane channel.Lane, patience time.Duration, method string, args, res any) error {
	stop := context.AfterFunc(ctx, func() { lane.Abort() })
	err := lane.SetReadDeadline(time.Now().Add(patience))
	if err == nil {
		err = sendRequest(lane, method, "duplex", args)
	}
	if err == nil {
		err = readAnswer(lane, res)
	}
	if err == nil {
		err = lane.SetDeadline(time.Time{})
	}
	if !stop() { // ctx has ended, and with it the lane
		return context.Cause(ctx)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return control.Timeout.With("the server did not answer")
	}
	return err
}
