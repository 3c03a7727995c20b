package channel

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cad2f06c/switchboard/internal/mux"
)

// relayPiece is how much of one direction the relay holds: small enough that
// channels of one session take turns, large enough that a copy is cheap.
const relayPiece = 32 << 10

// Pipe is one relay between two lanes: Splice between two yamux streams, Relay
// between any two.
type Pipe struct {
	// Broke, if set, is called once when a lane has broken, before both are
	// aborted; with the side that broke. It should not take long.
	Broke func(Side, error)

	// Pace, if set, bounds the bytes per second that Relay takes from a and from b;
	// Splice has the bound of the streams' sessions.
	Pace [2]*mux.Pace

	ab, ba atomic.Int64
	splice mux.Splice
	writes atomic.Int32 // directions of Relay that wait for a lane to take bytes
}

// Counts returns how many bytes have been passed on from a to b, and from b to
// a, while it runs and after.
func (p *Pipe) Counts() (ab, ba int64) {
	return p.ab.Load() + p.splice.AB.Load(), p.ba.Load() + p.splice.BA.Load()
}

// Waiting reports whether bytes wait that a lane does not take.
func (p *Pipe) Waiting() bool { return p.writes.Load() > 0 || p.splice.Waiting() }

// Splice joins two streams: their sessions pass frames on, without a goroutine
// and without a buffer of the relay; windows are granted end to end. It returns
// at once. When both directions have ended over is called with nil; when a
// stream has broken, with a *LaneError, and then the caller has to reset both.
// over runs on any goroutine and must not wait. Broke is not called.
func (p *Pipe) Splice(a, b *mux.Stream, over func(error)) {
	p.splice.Over = func(broken *mux.Stream, err error) {
		switch broken {
		case nil:
			over(nil)
		case a:
			over(&LaneError{A, err})
		default:
			over(&LaneError{B, err})
		}
	}
	p.splice.Join(a, b)
}

// Relay copies between two lanes until both directions have ended, and closes
// both lanes. Each direction is read, then written, one piece of at most 32
// KiB at a time: so back-pressure is end to end and memory is bounded. A
// half-close of one lane becomes a half-close of the other. Any other end of
// either lane aborts both, and is the error returned, with the side it came
// from as *LaneError. It uses one goroutine beside the caller's, which it
// waits for; it is stopped by aborting a lane. A panic of either goroutine is one of
// the caller's. pool holds the buffers.
func (p *Pipe) Relay(pool *sync.Pool, a, b Lane) error {
	var (
		wg     sync.WaitGroup
		once   sync.Once
		first  error
		broken atomic.Value // of string: what a direction has panicked with
	)
	direction := func(dst, src Lane, from, to Side, n *atomic.Int64, pace *mux.Pace) {
		if pace == nil {
			pace = new(mux.Pace)
		}
		if err := p.pump(pool, dst, src, from, to, n, pace); err != nil {
			once.Do(func() {
				first = err
				if p.Broke != nil {
					p.Broke(err.Side, err.Err)
				}
			})
			a.Abort()
			b.Abort()
		}
	}
	guarded := func(f func()) {
		defer func() {
			if v := recover(); v != nil {
				broken.CompareAndSwap(nil, fmt.Sprintf("channel: panic in a relay: %v\n\n%s", v, debug.Stack()))
				a.Abort()
				b.Abort()
			}
		}()
		f()
	}
	wg.Go(func() { guarded(func() { direction(a, b, B, A, &p.ba, p.Pace[1]) }) })
	guarded(func() { direction(b, a, A, B, &p.ab, p.Pace[0]) })
	wg.Wait()
	if text := broken.Load(); text != nil {
		panic(text) // here, where somebody may recover it
	}
	if first != nil {
		return first
	}
	return errors.Join(a.Close(), b.Close())
}

// NewPool makes a pool of relay buffers, for the Relays of one server.
func NewPool() *sync.Pool {
	return &sync.Pool{New: func() any { return new([relayPiece]byte) }}
}

// Side is an end of a relay.
type Side byte

// The two lanes of a relay, in the order of Relay's arguments.
const (
	A Side = 'a'
	B Side = 'b'
)

// LaneError says on which side a relay broke.
type LaneError struct {
	Side Side
	Err  error
}

// Error returns the side and the cause.
func (e *LaneError) Error() string { return fmt.Sprintf("lane %c: %v", e.Side, e.Err) }

// Unwrap returns the cause.
func (e *LaneError) Unwrap() error { return e.Err }

// pump copies one direction until src ends, and passes the end on.
func (p *Pipe) pump(pool *sync.Pool, dst, src Lane, from, to Side, n *atomic.Int64, pace *mux.Pace) *LaneError {
	buf := pool.Get().(*[relayPiece]byte)
	defer pool.Put(buf)
	for {
		nr, rerr := src.Read(buf[:pace.Piece(len(buf))])
		if nr > 0 {
			p.writes.Add(1)
			nw, werr := dst.Write(buf[:nr])
			p.writes.Add(-1)
			n.Add(int64(nw))
			if werr != nil {
				return &LaneError{to, werr}
			}
			if wait := pace.Spend(nr); wait > 0 {
				time.Sleep(min(wait, time.Second)) // a reset is seen behind it
			}
		}
		if rerr == io.EOF {
			if err := dst.CloseWrite(); err != nil {
				return &LaneError{to, err}
			}
			return nil
		}
		if rerr != nil {
			return &LaneError{from, rerr}
		}
	}
}
