package shs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/shs/internal/salsa"
	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

var (
	errNoKey    = errors.New("shs: Config.Key is not set")
	errOtherKey = errors.New("shs: Config.Prepared is of another key")
	errSameKey  = errors.New("shs: two of Config.NetworkKey, PlainKey and PurposeKey are the same")
	errPurpose  = errors.New("shs: Config.PurposeKey goes with AuthorizePurpose, at a server")
)

// Handshake runs the handshake, once; later calls return its result. If ctx
// ends before it is done, the connection is closed. A ctx without a deadline
// gets 5 s in all, not per message. After an error the connection is closed, too.
func (c *Conn) Handshake(ctx context.Context) error {
	if c.shaken.Load() {
		return nil
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
	}
	stop := context.AfterFunc(ctx, func() { c.late(func() { c.cut(context.Cause(ctx)) }) })
	return c.handshake(stop, func() error { return context.Cause(ctx) })
}

// ready is Handshake for Read and Write, which have no ctx.
func (c *Conn) ready() error {
	if c.shaken.Load() {
		return nil
	}
	cause := func() error { return os.ErrDeadlineExceeded }
	timer := time.AfterFunc(handshakeTimeout, func() { c.late(func() { c.cut(cause()) }) })
	return c.handshake(timer.Stop, cause)
}

// late runs cut, which closes the connection below for who waits on it, at a timer: a
// panic there would end the process. It is kept for who waits, and wakes it in another
// way.
func (c *Conn) late(cut func()) {
	if !c.tries(cut) {
		c.tries(func() { c.raw.SetDeadline(time.Unix(1, 0)) })
	}
}

// tries runs f. A panic is kept for rethrow, and then it is false.
func (c *Conn) tries(f func()) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			text := fmt.Sprintf("shs: panic while a connection was cut: %v\n\n%s", v, debug.Stack())
			c.broken.CompareAndSwap(nil, &text)
		}
	}()
	f()
	return true
}

// rethrow panics, where somebody may recover it, if a panic was kept.
func (c *Conn) rethrow() {
	if text := c.broken.Load(); text != nil {
		panic(*text)
	}
}

// cut closes the connection under a handshake that takes too long.
func (c *Conn) cut(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	c.mu.Unlock()
	c.raw.Close()
}

// handshake runs it if nobody has. stop ends the caller's guard, which cuts the
// connection when time is up; it returns false if the guard has begun to, and
// then cause says why.
func (c *Conn) handshake(stop func() bool, cause func() error) error {
	c.shaking <- struct{}{} // a guard that cuts ends this wait as well
	defer func() { <-c.shaking }()
	if c.shaken.Load() || c.failed != nil {
		stop()
		return c.failed
	}
	session, err := c.shake()
	if !stop() {
		c.cut(cause())
		c.rethrow()
	}
	c.mu.Lock()
	if c.cause != nil {
		err = c.cause
	}
	c.mu.Unlock()
	if err != nil {
		c.raw.Close()
		c.cfg = nil
		c.failed = fmt.Errorf("handshake: %w", err)
		return c.failed
	}
	c.establish(session)
	return nil
}

// aside runs f on a goroutine of its own: curve arithmetic needs a deep stack,
// which whoever goes on to serve the connection, or waits for its peer, would keep
// for long. A panic there is one here, where somebody may recover it.
func aside(f func() error) (err error) {
	var broken any
	var stack []byte
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if broken = recover(); broken != nil {
				stack = debug.Stack()
			}
		}()
		err = f()
	})
	wg.Wait()
	if broken != nil {
		panic(fmt.Sprintf("shs: panic in a handshake: %v\n\n%s", broken, stack))
	}
	return err
}

// shake picks the network keys and runs the messages.
func (c *Conn) shake() (*shs1.Session, error) {
	cfg := c.cfg
	if cfg.Key.IsZero() {
		return nil, errNoKey
	}
	if cfg.Prepared != nil && cfg.Prepared.key != cfg.Key {
		return nil, errOtherKey
	}
	network := cfg.NetworkKey
	if network.IsZero() {
		network = DefaultNetworkKey()
	}
	inner := &shs1.Config{Key: cfg.identity(), ServerKey: cfg.ServerKey}
	switch {
	case cfg.PlainKey.IsZero():
		inner.Networks = [][32]byte{network}
	case cfg.PlainKey == network:
		return nil, errSameKey
	case c.client:
		inner.Networks = [][32]byte{cfg.PlainKey}
	default:
		inner.Networks = [][32]byte{network, cfg.PlainKey}
	}
	if err := c.addPurpose(inner); err != nil {
		return nil, err
	}
	if c.client {
		var session *shs1.Session
		err := aside(func() (err error) { session, err = shs1.Client(c.raw, inner); return err })
		return session, err
	}
	inner.Authorize = c.authorize
	inner.Work = func(message int, do func() error) error {
		if cfg.Work == nil {
			return aside(do)
		}
		return cfg.Work(message, func() error { return aside(do) })
	}
	return shs1.Server(c.raw, inner)
}

// addPurpose puts a server's purpose key behind the keys of logins.
func (c *Conn) addPurpose(inner *shs1.Config) error {
	key := c.cfg.PurposeKey
	switch {
	case key.IsZero() != (c.cfg.AuthorizePurpose == nil), c.client && !key.IsZero():
		return errPurpose
	case key.IsZero():
		return nil
	case slices.Contains(inner.Networks, [32]byte(key)):
		return errSameKey
	}
	inner.Networks = append(inner.Networks, key)
	return nil
}

// isPurpose tells by the index of the network key in shake whether that is the
// purpose key.
func (c *Conn) isPurpose(network int) bool {
	logins := 1
	if !c.cfg.PlainKey.IsZero() && !c.client {
		logins = 2
	}
	return network == logins
}

// authorize asks whoever decides on a handshake under a network key.
func (c *Conn) authorize(client [32]byte, network int) error {
	switch {
	case c.isPurpose(network):
		return c.cfg.AuthorizePurpose(client)
	case c.cfg.Authorize != nil:
		return c.cfg.Authorize(client, c.modeOf(network))
	}
	return nil
}

// modeOf tells the mode by the index of the network key in shake.
func (c *Conn) modeOf(network int) Mode {
	if network == 1 && !c.isPurpose(network) || c.client && !c.cfg.PlainKey.IsZero() {
		return Plain
	}
	return Box
}

// establish makes both halves out of the outcome.
func (c *Conn) establish(s *shs1.Session) {
	c.remote, c.mode, c.other = s.Remote, c.modeOf(s.Network), c.isPurpose(s.Network)
	if c.mode == Plain {
		c.in = newReader(c.raw, new(plainReader))
		c.out = newWriter(c.raw, plainWriter{})
	} else {
		c.in = newReader(c.raw, newBoxReader(s.Read, salsa.Best()))
		c.out = newWriter(c.raw, newBoxWriter(s.Write, salsa.Best()))
	}
	*s = shs1.Session{}
	c.cfg = nil // the key is not needed any more
	c.shaken.Store(true)
}
