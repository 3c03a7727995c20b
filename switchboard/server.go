package switchboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cad2f06c/switchboard/channel"
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
	half    map[string]*halfOpen
	prep    *shs.Prepared

	wake chan struct{} // one token: an end of a moved channel is away

	served atomic.Bool
	wg     sync.WaitGroup // connections, and what outlives a lane's goroutine

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
	cfg.Limits = cfg.Limits.withDefaults()
	s := &Server{
		cfg:     cfg,
		key:     cfg.Key.Public(),
		log:     cfg.Log,
		started: time.Now(),
		buffers: channel.NewPool(),
		half:    make(map[string]*halfOpen),
		prep:    shs.Prepare(cfg.Key),
		wake:    make(chan struct{}, 1),
	}
	for transport, n := range map[string]int{transportNet: 1024, transportUnix: 128, transportLocal: 128} {
		if cfg.Limits.HalfOpen > 0 {
			n = cfg.Limits.HalfOpen
		}
		s.half[transport] = &halfOpen{max: n}
	}
	s.books.init(cfg.Limits, s.started)
	if cfg.Policy == nil {
		cfg.Policy = &Policy{cfg: policy.Defaults()}
	}
	made, err := cfg.Policy.bind(s.key)
	if err != nil {
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
	// Connections outlive ctx: the stop below ends them in order.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)

	accepting, broke := context.WithCancelCause(ctx)
	defer broke(nil)
	var loops sync.WaitGroup
	loops.Go(func() { s.prep.Run(accepting) })
	loops.Go(func() { s.expireMoved(accepting) })
	for i, ln := range lns {
		loops.Go(func() {
			if err := s.accept(accepting, life, ln, gates[i]); err != nil {
				broke(fmt.Errorf("listener %s: %w", ln.Addr(), err))
			}
		})
		s.log.Info("listening", "address", ln.Addr().String(), "transport", gates[i].transport)
	}
	<-accepting.Done()
	closeAll(lns)
	loops.Wait()
	s.drain(life)
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

// accept only accepts: the handshake is the connection's own affair.
func (s *Server) accept(ctx, life context.Context, ln net.Listener, g gate) error {
	var delay time.Duration
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if err != nil {
			if !scarce(err) {
				return err
			}
			// Out of descriptors: make room, then try again, slower each time.
			s.half[g.transport].shed()
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.log.Warn("accept is out of resources", "err", err, "retry_in", delay)
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return nil
			}
			continue
		}
		delay = 0
		s.wg.Go(func() { s.serveConn(life, conn, g) })
	}
}

// scarce reports whether an Accept error passes by itself.
func scarce(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// serveConn takes a connection from its first byte to its last.
func (s *Server) serveConn(life context.Context, raw net.Conn, g gate) {
	defer raw.Close()
	tune(raw)
	remote := slog.String("remote", raw.RemoteAddr().String())
	o, err := g.look(raw)
	if err != nil {
		s.log.Warn("connection refused", "transport", o.transport, remote, "pid", o.pid, "err", err)
		return
	}
	conn, release, err := s.login(life, raw, o)
	if err != nil {
		s.log.Warn("login refused", "transport", o.transport, remote, "err", err)
		return
	}
	defer release()
	sess := s.newSession(life, conn, o)
	if s.permits(o, sess.key) != nil { // Authorize came between: it saw no session
		sess.kill(errRevoked)
	}
	sess.run()
}

// login shakes hands under one deadline. The key's slot is taken between
// messages 3 and 4, so that a peer over its quota is refused like any other;
// release gives it back.
func (s *Server) login(life context.Context, raw net.Conn, o origin) (_ *shs.Conn, release func(), err error) {
	defer s.half[o.transport].add(raw)()
	ctx, cancel := context.WithTimeout(life, handshakeTimeout)
	defer cancel()

	var admitted shs.PublicKey
	cfg := &shs.Config{
		Key:        s.cfg.Key,
		NetworkKey: s.cfg.NetworkKey,
		Prepared:   s.prep,
		Authorize: func(key shs.PublicKey, _ shs.Mode) error {
			if err := s.permits(o, key); err != nil {
				return fmt.Errorf("key %s: %w", key, err)
			}
			if err := s.books.enter(key); err != nil {
				return fmt.Errorf("key %s: %w", key, err)
			}
			admitted = key
			return nil
		},
	}
	if o.transport == transportUnix {
		cfg.PlainKey = s.cfg.NetworkKey.Plain(o.uid, o.listenUID)
	}
	conn := shs.Server(raw, cfg)
	if err := conn.Handshake(ctx); err != nil {
		if !admitted.IsZero() { // message 4 was not taken
			s.books.leave(admitted)
		}
		return nil, nil, err
	}
	return conn, func() { s.books.leave(admitted) }, nil
}
