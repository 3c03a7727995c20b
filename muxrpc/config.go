package muxrpc

import (
	"io"
	"time"
)

// Defaults of [Config].
const (
	defaultMaxBody      = 64 << 10
	defaultInFlight     = 64
	defaultWriteTimeout = 10 * time.Second
	defaultMaxPending   = 256 << 10
	defaultMaxReceive   = 256 << 10
)

// Conn is the byte path of a session. Read returns io.EOF only at a clean end of the peer's direction. If it also has
// WriteBuffers(bufs ...[]byte) (int, error), header and body of a packet are handed over as separate buffers, so that a box
// boundary falls between them. If it also has TryWriteBuffers, which takes what it can without waiting, the sender of a packet
// writes it itself; else a goroutine does that lives while there is something to write.
type Conn interface {
	io.ReadWriteCloser
	SetWriteDeadline(time.Time) error
	CloseWrite() error // ends our direction cleanly; the peer's goes on
	Abort() error      // ends both at once, so that the peer does not read a clean end; unblocks Read and Write
}

// Handler answers the calls of a session's peer.
type Handler interface {
	// ServeCall runs on the session's reading goroutine, in the order of arrival, for every call and stream that the peer
	// starts. It must not block, and not call Close; long work goes into Call.Go. It may keep the Call and answer it later.
	ServeCall(*Call)
}

// HandlerFunc is a function as a [Handler].
type HandlerFunc func(*Call)

// ServeCall calls f(c).
func (f HandlerFunc) ServeCall(c *Call) { f(c) }

// Config sets up a [Session]. The zero value works: it serves no method.
type Config struct {
	// Handler serves the peer's calls; nil answers every call with an error.
	Handler Handler
	// MaxBody is the longest body taken from the peer, in bytes; default 64 KiB. A longer one ends the session.
	MaxBody int
	// Limit bounds the calls and streams that the peer has in flight, from their receipt to the answer, to the END of a source,
	// or to both ENDs of a sink or duplex; one more is answered "busy". nil means 64 for this session alone.
	Limit *Limit
	// Exempt names methods that are served even at the limit and do not count. They should be answered at once: manifest.
	Exempt []string
	// First is a packet that the caller has already read from the conn; it is handled before all others.
	First *Packet
	// WriteTimeout is for each written piece of at most 16 KiB; default 10 s. A peer that does not take one in that time ends
	// the session.
	WriteTimeout time.Duration
	// MaxPending bounds the bytes of outgoing packets that wait to be written (or one packet, if that is longer); default
	// 256 KiB. Over it senders wait, in order.
	MaxPending int
	// MaxReceive bounds the bytes received on one stream and not yet taken by Recv (or one packet, if that is longer);
	// default 256 KiB. Packets are bounded too: one for each 4 KiB. Over it the stream ends with the code "quota".
	MaxReceive int
	// BlockReceive makes the session's reader wait for Recv when the bound is reached, instead of ending the stream: flow
	// control by the transport. Meant for a lane that carries one stream: a consumer that makes a call on the same session while
	// it does not Recv waits for itself.
	BlockReceive bool
	// Manual leaves the reading to the caller, who calls Session.Serve: a session that is idle then has no goroutine of its own.
	Manual bool
	// Panicked, if set, is told what a goroutine of the session has panicked with: one of Call.Go too, but not the caller of Serve or
	// Step. debug.Stack still shows it. The conn is then aborted. Default: the panic goes on.
	Panicked func(any)
}

// withDefaults returns c with its zero fields set.
func (c Config) withDefaults() Config {
	if c.Handler == nil {
		c.Handler = HandlerFunc(serveNothing)
	}
	if c.MaxBody <= 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.Limit == nil {
		c.Limit = NewLimit(defaultInFlight)
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = defaultWriteTimeout
	}
	if c.MaxPending <= 0 {
		c.MaxPending = defaultMaxPending
	}
	if c.MaxReceive <= 0 {
		c.MaxReceive = defaultMaxReceive
	}
	return c
}

func serveNothing(c *Call) {
	// The session is gone if this fails, and says so itself.
	_ = c.Fail(&RemoteError{Name: codeUnknown, Message: "no such method"})
}

// Stats counts what a session did not take. Every number only grows.
type Stats struct {
	Dropped uint64 // packets nobody waits for: unknown answers, repeated ENDs, numbers in use, items against the direction
	Refused uint64 // requests answered by the session itself: bad_request, busy, shutting_down
	Quota   uint64 // streams ended because nobody took what they received
}
