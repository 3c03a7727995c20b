package switchboard

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// visit is what one connection has of an admission, until it leaves. It is the
// context of its handshake, and ends when time is up or the connection has to
// go; what package context would make for that is several times as large, and
// there may be a flood of them.
type visit struct {
	a        *admission
	conn     net.Conn
	origin   origin
	source   source
	seat     *waiting
	door     chan struct{} // has one of it until its handshake is over
	in       bool          // enter succeeded
	deadline time.Time
	late     *time.Timer // nil: its handshake has not begun
	done     chan struct{}

	mu    sync.Mutex
	err   error  // why it has ended
	after func() // to be called then
}

var _ context.Context = (*visit)(nil)

func newVisit(a *admission, conn net.Conn, o origin, src source) *visit {
	return &visit{a: a, conn: conn, origin: o, source: src, done: make(chan struct{})}
}

// begin calls serve, which is to shake hands, when the visit's turn comes. If it
// has to go before, serve is not called. When time is up it goes, calmly.
func (v *visit) begin(serve func(), calmly func(func()) bool) {
	start := func() {
		v.deadline = time.Now().Add(v.a.limits.HandshakeTimeout)
		v.late = time.AfterFunc(v.a.limits.HandshakeTimeout, func() { calmly(func() { v.drop(context.DeadlineExceeded) }) })
		serve()
	}
	v.a.mu.Lock()
	v.seat.start = start
	waits := !v.seat.begun
	v.a.mu.Unlock()
	if !waits {
		start()
	}
}

// drop ends the visit and closes the connection. Only the first call does.
func (v *visit) drop(why error) {
	v.mu.Lock()
	if v.err != nil {
		v.mu.Unlock()
		return
	}
	v.err = why
	after := v.after
	v.mu.Unlock()
	close(v.done)
	if after != nil {
		after()
	}
	v.conn.Close()
	if !v.seat.begun { // nobody else will
		v.settle(why)
		<-v.door
	}
}

// Deadline is that of the handshake.
func (v *visit) Deadline() (time.Time, bool) { return v.deadline, true }

// Done is closed when the visit has ended.
func (v *visit) Done() <-chan struct{} { return v.done }

// Err is why the visit has ended, or nil.
func (v *visit) Err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// Value is nil: a visit holds none.
func (v *visit) Value(any) any { return nil }

// AfterFunc is what context.AfterFunc asks of a context. There is one f at a time.
func (v *visit) AfterFunc(f func()) (stop func() bool) {
	v.mu.Lock()
	ended := v.err != nil
	if !ended {
		v.after = f
	}
	v.mu.Unlock()
	if ended {
		f()
	}
	return func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		was := v.err == nil && v.after != nil
		v.after = nil
		return was
	}
}

// arithmetic runs do, which is the arithmetic that a message of the client asks
// for, when its turn comes; not when the connection is to go.
func (v *visit) arithmetic(message int, do func() error) error {
	a, to := v.a, stageHello
	if message == 3 {
		to = stageProof
	}
	a.mu.Lock()
	v.seat.advance(a.now(), to)
	a.mu.Unlock()
	select {
	case a.work <- struct{}{}:
	case <-v.done:
		return v.Err()
	}
	defer func() { <-a.work }()
	if err := v.Err(); err != nil {
		return err // it lost its place meanwhile: no work for nothing
	}
	a.tally.most(len(a.work))
	return do()
}

// enter takes a session slot of the source; leave gives it back.
func (v *visit) enter() error {
	v.a.mu.Lock()
	defer v.a.mu.Unlock()
	v.in = v.a.sources.login(v.source)
	switch {
	case v.in:
		return nil
	case v.source.kind == sourceUser:
		return errUserSessions
	}
	return errSourceSessions
}

// settle ends the handshake, and charges the source for err.
func (v *visit) settle(err error) {
	a, now := v.a, v.a.now()
	why, penalty := v.offence(err)
	a.mu.Lock()
	v.seat.remove()
	if err == nil {
		a.welcomeLocked(v.source)
	}
	a.sources.settle(v.source)
	barred := a.sources.offend(now, v.source, penalty)
	if err != nil && v.in {
		v.in = false
		a.sources.logout(v.source)
	}
	a.mu.Unlock()
	if v.late != nil {
		v.late.Stop()
	}
	v.mu.Lock()
	if v.err == nil {
		v.err = context.Canceled // the connection is its session's from now on
	}
	v.mu.Unlock()
	a.tally.count(why)
	a.sayBarred(v.source, why, barred)
}

// leave ends the session of a visit that has settled.
func (v *visit) leave() {
	v.a.mu.Lock()
	defer v.a.mu.Unlock()
	if v.in {
		v.in = false
		v.a.sources.logout(v.source)
	}
}

// denied says that a proven key may not log in. Its peer pays for it; one that
// came when there was no room for it does not.
type denied struct{ error }

func (d denied) Unwrap() error { return d.error }

// offence says what a handshake that ended with err was, and what it costs.
func (v *visit) offence(err error) (outcome, time.Duration) {
	l := v.a.limits
	switch _, bad := errors.AsType[denied](err); {
	case err == nil:
		return loggedIn, 0
	case errors.Is(err, errEvicted), errors.Is(err, errStopping):
		return gone, 0 // counted when it happened
	case errors.Is(err, context.DeadlineExceeded):
		return failedTimeout, l.PenaltyTimeout
	case bad, errors.Is(err, shs.ErrProof), errors.Is(err, shs.ErrWeakKey):
		return failedAuth, l.PenaltyAuth
	case errors.Is(err, shs.ErrHello):
		return failedHello, l.PenaltyHello
	case errors.Is(err, errKeySessions), errors.Is(err, errSessions), errors.Is(err, errSourceSessions), errors.Is(err, errUserSessions):
		return refusedSessions, 0
	}
	return gone, 0
}
