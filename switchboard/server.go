package switchboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/alarm"
	"github.com/cad2f06c/switchboard/internal/memory"
	"github.com/cad2f06c/switchboard/internal/peercred"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// Server is a switchboard. Make one with New, run it with Serve.
type Server struct {
	// set at construction
	cfg     Config
	key     shs.PublicKey
	log     *slog.Logger
	started time.Time
	buffers *sync.Pool // of the relay
	adm     *admission
	prep    *shs.Prepared
	counts  *counts

	quit   chan struct{} // closed when it begins to stop
	wake   chan struct{} // one token: an end of a moved channel is away
	ruled  token         // the rules have changed
	turns  redeems       // has a lock of its own
	hearts hearts        // accept loops; has a lock of its own

	served  atomic.Bool
	reserve reserve
	alarms  alarm.Clock    // of sessions
	wg      sync.WaitGroup // connections, and what outlives a lane's goroutine

	ports []uint16 // TCP ports that it listens on; guarded by mu

	books
}

// New makes a server. It does not listen: that is Serve's argument.
func New(cfg Config) (*Server, error) {
	if cfg.Key.IsZero() {
		return nil, ErrNoKey
	}
	if cfg.NetworkKey == (shs.NetworkKey{}) {
		cfg.NetworkKey = shs.DefaultNetworkKey()
	}
	if cfg.DirectKinds == nil {
		cfg.DirectKinds = allKinds()
	}
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = drainTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	machine, _ := memory.Limit()
	cfg.Limits.fit(openFiles(), machine)
	cfg.Limits = cfg.Limits.withDefaults()
	s := &Server{
		cfg:     cfg,
		key:     cfg.Key.Public(),
		log:     cfg.Log,
		started: time.Now(),
		buffers: channel.NewPool(),
		prep:    shs.Prepare(cfg.Key),
		counts:  newCounts(),
		quit:    make(chan struct{}),
		wake:    make(chan struct{}, 1),
		ruled:   make(token, 1),
	}
	s.adm = newAdmission(&s.cfg.Limits.Admission, cfg.Log)
	s.adm.barred = s.noteBarred
	s.books.init(cfg.Limits, s.started)
	s.books.alarm = s.raise
	s.books.moved.over = s.noteForgotten
	if cfg.Policy == nil {
		cfg.Policy = &Policy{cfg: policy.Defaults()}
	}
	made, err := cfg.Policy.bind(s.key)
	if err != nil {
		return nil, err
	}
	if err := s.checkPeers(); err != nil {
		return nil, err
	}
	s.rules.Store(made)
	return s, nil
}

// Key returns the server's public key.
func (s *Server) Key() shs.PublicKey { return s.key }

// Serve serves peers on all listeners until ctx ends. It then stops in good
// order: it closes the listeners (before it returns for whatever reason), tells
// all sessions, ends calls, watches and new channels with shutting_down, lets
// open channels go on for DrainTimeout, says goodbye to each session when its
// last channel is over, and returns nil after the last goroutine has ended. It returns an error at once when a listener may not be served, and
// after the same stop when one of them breaks. It may be called once.
func (s *Server) Serve(ctx context.Context, lns ...net.Listener) error {
	if s.served.Swap(true) {
		return ErrServed
	}
	defer closeAll(lns)
	gates := make([]gate, len(lns))
	for i, ln := range lns {
		g, err := s.newGate(ln)
		if err != nil {
			return fmt.Errorf("listener %s: %w", ln.Addr(), err)
		}
		gates[i] = g
	}
	s.notePorts(lns)
	s.hearts.expect(len(lns))
	s.hold(lns)
	// Connections outlive ctx: the stop below ends them in order.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)

	accepting, broke := context.WithCancelCause(ctx)
	defer broke(nil)
	var loops sync.WaitGroup
	loops.Go(func() { s.keep(accepting, s.prep.Run) })
	loops.Go(func() { s.keep(accepting, s.expireMoved) })
	loops.Go(func() { s.keep(accepting, s.adm.report) })
	loops.Go(func() { s.keep(accepting, s.adm.usher) })
	loops.Go(func() { s.keep(accepting, s.expireRules) })
	loops.Go(func() { s.keep(accepting, s.resetStalled) })
	s.finishInvites(accepting)
	for i, ln := range lns {
		loops.Go(func() {
			if err := s.accept(accepting, life, ln, gates[i]); err != nil {
				broke(fmt.Errorf("listener %s: %w", ln.Addr(), err))
			}
		})
		s.log.Info("listening", "address", ln.Addr().String(), "transport", gates[i].transport)
	}
	s.noteStarted()
	<-accepting.Done()
	closeAll(lns)
	loops.Wait()
	s.reserve.letGo()
	s.drain(life)
	s.alarms.Close()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(accepting)
}

func closeAll(lns []net.Listener) {
	for _, ln := range lns {
		ln.Close()
	}
}

// admit lets a connection in, or closes it. It waits while too many that had to
// make room are still on their way out.
func (s *Server) admit(conn net.Conn, g gate) *visit {
	o, err := g.look(conn)
	if err != nil {
		s.adm.tally.count(refusedUser)
	} else if v, why := s.adm.arrive(conn, o); why == nil {
		v.door <- struct{}{}
		return v
	} else {
		err = why
	}
	s.noteRefused(conn, o, err)
	conn.Close()
	if unsaid, ok := s.adm.lines.take(s.adm.now()); ok {
		s.wg.Go(func() {
			s.adm.sayNow(unsaid, "connection refused", "transport", o.transport, "remote", conn.RemoteAddr().String(), "pid", o.pid, "err", err)
		})
	}
	return nil
}

// serveConn takes a connection from its first byte to its last.
func (s *Server) serveConn(life context.Context, raw net.Conn, v *visit) {
	defer raw.Close()
	o := v.origin
	conn, err := s.login(v, raw)
	if err != nil {
		raw.Close()
		<-v.door
		if !errors.Is(err, errEvicted) { // of which there may be a flood: report sums up
			s.noteRefused(raw, o, err)
			s.adm.say(&s.adm.lines, "login refused", "transport", o.transport, "remote", raw.RemoteAddr().String(), "err", err)
		}
		return
	}
	<-v.door
	defer v.leave()
	defer s.books.leave(conn.RemoteKey())
	if conn.Purpose() {
		s.serveInvite(life, conn, v)
		return
	}
	tune(raw)
	if o.transport == transportUnix {
		o.process = peercred.ProcessOf(raw, o.pid)
	}
	sess := s.newSession(life, conn, o)
	defer sess.shield()
	if sess.rights.Load().grant == nil { // SetPolicy came between: it saw no session
		sess.kill(errRevoked)
	}
	sess.run()
}

// login shakes hands under one deadline. The slots of the key and of the source
// are taken between messages 3 and 4, so that a peer over its quota is refused
// like any other. Without an error both are the caller's to give back.
func (s *Server) login(v *visit, raw net.Conn) (conn *shs.Conn, err error) {
	o := v.origin
	var admitted shs.PublicKey
	err = errPanic
	defer func() {
		if broken := recover(); broken != nil {
			raw.Close()
			s.failed(broken, v.source, s.log)
		}
		if err != nil && !admitted.IsZero() { // message 4 was not taken
			s.books.leave(admitted)
		}
		s.over.login(err)
		v.settle(err)
	}()
	enter := func(key shs.PublicKey, refused error) error {
		if refused != nil {
			return ofKey{key, denied{refused}}
		}
		if err := s.books.enter(key); err != nil {
			return ofKey{key, err}
		}
		admitted = key
		if key == s.key {
			return nil // an administrator gets in, however many sessions its user has
		}
		if err := v.enter(); err != nil {
			return ofKey{key, err}
		}
		return nil
	}
	cfg := &shs.Config{
		Key:        s.cfg.Key,
		NetworkKey: s.cfg.NetworkKey,
		Prepared:   s.prep,
		Work:       v.arithmetic,
		Authorize:  func(key shs.PublicKey, _ shs.Mode) error { return enter(key, s.permits(o, key)) },
	}
	if s.cfg.Peers != nil {
		cfg.PurposeKey = s.cfg.NetworkKey.Invite()
		cfg.AuthorizePurpose = func(key shs.PublicKey) error { return enter(key, s.invited(key)) }
	}
	if o.transport == transportUnix {
		cfg.PlainKey = s.cfg.NetworkKey.Plain(o.uid, o.listenUID)
	}
	conn = shs.Server(raw, cfg)
	if err = conn.Handshake(v); err == nil && s.cfg.Unmonitored {
		conn.Unmonitor(0)
	}
	return conn, err
}
