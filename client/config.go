package client

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

// Config says how to reach a server, and as whom. Key is required; the zero
// value of every other field works. Dial copies it.
type Config struct {
	// Address holds one or more server addresses in multiserver form, joined
	// by ";" and tried in order (PROTOCOL.md §1). Empty: the environment
	// variable SWITCHBOARD_ADDRESS, then the address file that a server on
	// this machine writes beside its socket; the file is read anew for each
	// reconnect.
	Address string

	// Key is the identity to log in with.
	Key shs.PrivateKey

	// Prepared, if it is not nil, is of Key: a program that dials often with one
	// key makes one (shs.Prepare) for all Dials, which then cost less.
	Prepared *shs.Prepared

	// NetworkKey is the network to log in to. Zero: shs.DefaultNetworkKey.
	NetworkKey shs.NetworkKey

	// Mode picks between plain and box. It matters on Unix sockets only.
	Mode Mode

	// SingleLane does without yamux: the first connection takes the calls,
	// and each channel and each Watch has a connection of its own.
	SingleLane bool

	// Dial makes the raw connections; network is "unix" or "tcp". Nil: a
	// net.Dialer. A connection that is no *net.UnixConn is always boxed. It
	// may be called concurrently.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Direct says whether channels may leave the server for direct links, unless
	// OpenOptions say so for one. With DirectNever a Listener offers none either.
	// SingleLane channels stay at the server.
	Direct Direct

	// DirectKinds are the kinds of direct links to make and to accept. Nil: all.
	DirectKinds []channel.Kind

	// Resume lets channels outlive their links of kind net, if the other end has
	// it set as well: they go back to the server, or on to a new link, and nobody
	// who uses them notices. It is what may be held for each direction of such a
	// channel, in bytes; 64 KiB to 4 MiB, or else the nearer of the two. The smaller of both
	// ends counts. 0: a channel ends with its link.
	Resume int

	// NoReconnect makes the end of the first session the end of the Client:
	// later calls fail with ErrNotConnected.
	NoReconnect bool

	// OnState is told of every change of the connection, one at a time and in
	// order. It must return soon, and must not call Close. Nil: nobody is told.
	OnState func(State)

	// Pins is the path of a file that names the keys behind names, for sealed
	// channels without OpenOptions.Key; it is read at each use:
	//
	//	org.example.echo @7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw=.ed25519  # a comment
	//
	// A name that is not in it gets a line once the callee has proven its key,
	// and the log says so; from then on another key is PeerMismatch, until the
	// line is changed by hand. The file, which is made if there is none, and its
	// directory must belong to the user or root and be writable by nobody else.
	// Empty: there are no pins, and a sealed channel without OpenOptions.Key
	// takes the server's word for whose key the name's is; the log says so.
	Pins string

	// Unmonitored makes bulk cheaper in a program whose goroutines are all brief:
	// see shs.Conn.Unmonitor, which is called with 16 KiB on every connection to the
	// server and every direct link.
	Unmonitored bool

	// Log gets what happens to the connection and to names. Nil: discarded.
	Log *slog.Logger
}

// Mode says how a connection over a Unix socket is protected.
type Mode uint8

// The modes. ModeAuto is plain on a Unix socket and, if the server refuses
// that, box; never the other way round. Anything but a Unix socket is boxed.
const (
	ModeAuto  Mode = iota
	ModeBox        // always box
	ModePlain      // plain only; addresses that cannot have it are an error
)

// StateKind names a change that Config.OnState is told of.
type StateKind string

// The changes, in the order
//
//	Connected → (Disconnected → Reconnecting… → Connected)… → Closed
//
// NameLost may come at any time while connected.
const (
	Connected    StateKind = "connected"
	Disconnected StateKind = "disconnected" // Err says why
	Reconnecting StateKind = "reconnecting" // in After; Err is what went wrong last
	NameLost     StateKind = "name lost"    // Name has another owner, or cannot be had again: Err
	Closed       StateKind = "closed"       // for good; Err is nil after Close
)

// State is one change of a Client's connection.
type State struct {
	Kind  StateKind
	After time.Duration
	Name  string
	Err   error
}

// Times and sizes.
const (
	dialTimeout      = 5 * time.Second  // of one connect(2)
	handshakeTimeout = 5 * time.Second  // of one login
	setupTimeout     = 10 * time.Second // from login to the first answer
	answerTimeout    = 10 * time.Second // of writing an answer, or reading a first packet
	acceptTimeout    = 10 * time.Second // of taking up an offer on a new lane
	closeTimeout     = time.Second      // of saying goodbye
	graceTimeout     = 5 * time.Second  // what a connect answer may be late
	endTimeout       = time.Second      // between a call's failure and the end of its session
	drainTimeout     = time.Minute      // for channels after the server's go-away
	keepAlive        = 15 * time.Second // between pings without yamux
	deadAfter        = 45 * time.Second // without an answer

	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second

	quietFrom = 16 << 10 // bytes, see Config.Unmonitored

	backlog = 64 // channels of one listener that wait for Accept
)
