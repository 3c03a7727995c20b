package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// Direct says whether a channel may leave the server for a direct link between
// its two ends (PROTOCOL.md §10).
type Direct uint8

// The choices.
const (
	DirectDefault Direct = iota // in OpenOptions: as Config says; in Config: DirectAuto
	DirectAuto                  // begins at the server, moves when it lives long enough to gain by it
	DirectNever                 // stays at the server, which hides our address from the other end
	DirectRequire               // no byte over the server: Open fails with Unavailable or LinkLost instead
)

// Times of a move, and what a channel must have lived or carried to be worth one.
const (
	nearAfter  = 10 * time.Millisecond // for a link on the same machine
	farAfter   = 200 * time.Millisecond
	farBytes   = 64 << 10 // instead of farAfter
	attemptFor = 5 * time.Second
	markFor    = 10 * time.Second // at the callee, for the caller's mark
)

// retryAfter are the pauses between attempts; the last one is repeated. A
// channel that has carried nothing since the last attempt waits on.
func retryAfter(n int) time.Duration {
	pauses := []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, time.Minute}
	return pauses[min(n, len(pauses)-1)]
}

// Attempt is told to OpenOptions.OnDirect: one try of making a channel direct.
type Attempt struct {
	Kind channel.Kind  // what the channel moved to; "" if it did not
	Took time.Duration // from asking the server on
	Err  error         // why it did not move; nil if it did
}

// direct returns what a channel may do.
func (c *Client) direct(opts *OpenOptions) Direct {
	for _, d := range []Direct{opts.Direct, c.cfg.Direct} {
		if d != DirectDefault {
			return d
		}
	}
	return DirectAuto
}

// wants writes into a connect what the options ask for beside a lane.
func (c *Client) wants(opts *OpenOptions, args *control.ConnectArgs) error {
	args.Sealed = opts.Sealed
	if c.direct(opts) != DirectRequire {
		return nil // a link is asked for when the channel has lived for a while
	}
	if c.cfg.SingleLane || len(c.kinds()) == 0 {
		return errNoLinks
	}
	args.Require, args.Resume = true, c.window() // Open fills in Direct, which depends on the session
	return nil
}

// prepare makes a channel that the callee has accepted what was asked for.
func (e *end) prepare(ctx context.Context, args *control.ConnectArgs, res *control.ConnectResult, opts *OpenOptions, whom expected) (channel.Lane, error) {
	if args.Require {
		if err := e.requireLink(ctx, res.Direct, opts.OnDirect); err != nil {
			return nil, err
		}
	}
	lane := channel.Lane(e)
	if args.Sealed {
		var err error
		if lane, err = e.seal(ctx, res, whom); err != nil {
			return nil, err
		}
	}
	if !args.Require && e.path != nil && e.s.c.direct(opts) == DirectAuto {
		if kinds := e.s.kinds(); len(kinds) > 0 {
			e.startMover(kinds, opts.OnDirect)
		}
	}
	return lane, nil
}

var errNoLinks = control.Unavailable.With("this client makes no direct links")

var errNoLink = errors.New("no direct link could be made")

// mover takes the caller's end of a channel to a direct link. It has no
// goroutine but while it tries.
type mover struct {
	e     *end
	kinds []channel.Kind // that we can dial, in order
	tell  func(Attempt)  // or nil

	mu    sync.Mutex
	timer *time.Timer // to the next look; nil when stopped
	tries int
	seen  int64 // bytes at the last attempt
}

// startMover arms the first look at an end that may move.
func (e *end) startMover(kinds []channel.Kind, tell func(Attempt)) {
	m := &mover{e: e, kinds: kinds, tell: tell}
	e.mover = m
	after := farAfter
	if len(m.near()) > 0 {
		after = nearAfter
	}
	m.mu.Lock()
	m.timer = time.AfterFunc(after, m.look)
	m.mu.Unlock()
}

// near are the kinds that make sense on one machine; we know only of our end.
func (m *mover) near() []channel.Kind {
	if m.e.s.conn.RemoteAddr().Network() != "unix" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(m.kinds), func(k channel.Kind) bool { return k == channel.Net })
}

// stop ends it. An attempt under way ends with its channel.
func (m *mover) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
}

// look decides whether it is time for an attempt.
func (m *mover) look() {
	_, sent, received := m.e.path.Stage()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer == nil {
		return
	}
	carried := sent + received
	kinds := m.kinds
	switch {
	case m.tries > 0 && carried == m.seen: // nobody would gain
		m.timer.Reset(retryAfter(m.tries))
		return
	case m.tries == 0 && carried < farBytes && time.Since(m.e.began) < farAfter:
		if kinds = m.near(); len(kinds) == 0 {
			m.timer.Reset(farAfter - time.Since(m.e.began))
			return
		}
	}
	m.seen = carried
	if !m.e.s.c.spawn(func() { m.attempt(kinds) }) {
		m.timer = nil
	}
}

// attempt is one try, on its own goroutine.
func (m *mover) attempt(kinds []channel.Kind) {
	ctx, cancel := context.WithTimeout(m.e.s.ctx, attemptFor)
	defer cancel()
	began := time.Now()
	var res control.ChannelDirectResult
	err := m.e.s.call(ctx, control.MethodChannelDirect, control.ChannelDirectArgs{Channel: m.e.id.String(), Direct: texts(m.e.s.passable(kinds)), Resume: m.e.s.c.window()}, &res)
	if err == nil {
		err = m.e.dialLinks(ctx, &res.Direct)
	}
	if stage, _, _ := m.e.path.Stage(); err == nil || stage != channel.Relayed || m.e.s.ctx.Err() != nil {
		m.stop() // moved, or the channel is over
	} else {
		m.again(len(kinds) == len(m.kinds))
	}
	if m.tell != nil {
		m.tell(Attempt{Kind: m.e.Link(), Took: time.Since(began), Err: err})
	}
}

// again arms the next look: soon, if only some kinds were tried.
func (m *mover) again(all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer == nil {
		return
	}
	after := farAfter - time.Since(m.e.began)
	if all || after < 0 {
		after = retryAfter(m.tries)
		m.tries++
	}
	m.timer.Reset(after)
}

func texts(kinds []channel.Kind) []string {
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = string(k)
	}
	return out
}

// errUnmoved says that a channel stays where it is.
var errUnmoved = channel.ErrUnmoved

// dialLinks tries the links of one attempt in order, and moves the channel to
// the first that is made. It returns when it has moved.
func (e *end) dialLinks(ctx context.Context, links *control.Links) error {
	a := channel.Attempt{
		Network: e.s.c.cfg.NetworkKey,
		Key:     e.s.c.cfg.Key,
		Channel: e.id,
		Secret:  links.Secret,
		Peer:    e.peer,
		Caller:  true,
		Clock:   &e.s.c.alarms,
	}
	e.setWindow(e.s.c.agree(links.Resume))
	errs := []error{errUnmoved}
	for _, l := range links.Links {
		kind, addr := channel.Net, l.Net
		if l.Unix != "" && l.UID != nil {
			kind, addr, a.UID = channel.Unix, l.Unix, *l.UID
		}
		var conn *shs.Conn
		var err error
		switch {
		case l.FD != nil:
			kind = channel.FD
			conn, err = e.takeLink(ctx, *l.FD)
		case addr == "":
			continue
		default:
			conn, err = a.Dial(ctx, kind, addr)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return e.moveTo(ctx, conn, kind, links.Survive)
	}
	if len(errs) == 1 {
		errs = append(errs, errNoLink)
	}
	return errors.Join(errs...)
}

// moveTo moves the channel to a link, which it owns, and tells the server.
func (e *end) moveTo(ctx context.Context, link *shs.Conn, kind channel.Kind, survive bool) error {
	e.s.c.errands.add(1)
	defer e.s.c.errands.add(-1)
	if err := e.move(ctx, link, kind); err != nil {
		return err
	}
	announced := make(chan struct{})
	defer close(announced)
	e.hasMoved(kind, survive, announced)
	ctx, cancel := context.WithTimeout(e.s.ctx, answerTimeout)
	defer cancel()
	err := e.s.call(ctx, control.MethodChannelMoved, control.ChannelMovedArgs{Channel: e.id.String(), Link: string(kind), Resume: e.path.Parked()}, nil)
	if err != nil {
		// The server resets the lanes with their sessions, and this end
		// needs its lane no more.
		e.s.log.Debug("the server was not told of a move", "channel", e.id, "err", err)
	}
	return nil
}

// hasMoved notes that the channel needs neither its lane nor its session. At
// the caller announced is closed when the server was told.
func (e *end) hasMoved(kind channel.Kind, survive bool, announced <-chan struct{}) {
	e.mu.Lock()
	e.kind, e.survive, e.announced, e.under = kind, survive, announced, e.s
	over := e.readOver && e.writeOver
	e.mu.Unlock()
	e.s.log.Debug("channel moved", "channel", e.id, "link", kind)
	e.release()
	if over {
		e.closed()
	}
}

// Link returns the kind of link that the end is on, "" while it is relayed.
func (e *end) Link() channel.Kind {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.kind != "" && !e.path.Linked() {
		return "" // it has lost it, and goes on without
	}
	return e.kind
}

// require keeps the channel off its lane.
func (e *end) require() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.required = true
}

// requireLink is dialLinks for a channel that may not use its lane.
func (e *end) requireLink(ctx context.Context, links *control.Links, tell func(Attempt)) (err error) {
	e.require()
	began := time.Now()
	defer func() {
		if tell != nil {
			tell(Attempt{Kind: e.Link(), Took: time.Since(began), Err: err})
		}
	}()
	if links == nil || len(links.Links) == 0 {
		return control.Unavailable.With("no direct link is possible between the two")
	}
	ctx, cancel := context.WithTimeout(ctx, attemptFor)
	defer cancel()
	done := make(chan error, 1)
	if !e.s.c.spawn(func() { done <- e.dialLinks(ctx, links) }) {
		return errClosed
	}
	select {
	case err := <-done:
		if err == nil {
			return nil
		}
		return fmt.Errorf("%w: %w", LinkLost.With("no direct link could be made"), err)
	case <-ctx.Done():
		e.path.Break(channel.ErrLinkLost) // and with it dialLinks
		if err := <-done; err == nil {
			return LinkLost.With("the direct link was too slow")
		}
		return LinkLost.With("no direct link in time")
	}
}
