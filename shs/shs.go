// Package shs lets two programs that know each other by public key talk over
// any net.Conn: the SHS1 handshake of Secure Scuttlebutt, and behind it the box
// stream, or on one machine a stream in the clear (PROTOCOL.md §2).
//
// # Use
//
// Client and Server wrap a net.Conn, as those of crypto/tls do, into a Conn.
// Handshake proves to each side that the other holds the secret of its
// long-term key; a client must know the server's key before, and a stranger who
// does not learns nothing from the server, not even who it is. The Conn is a
// net.Conn with the peer's key, deadlines and half-close.
//
// # Modes
//
// Box encrypts and authenticates both directions. Plain only has the handshake,
// under a purpose key that names the users of both ends, and chunks behind it;
// it is for Unix sockets. The client picks, the server tells by message 1 which
// it is, and nothing is negotiated.
//
// # Ends
//
// A direction ends with a goodbye; the other goes on. Read returns io.EOF for
// the peer's goodbye only: a connection that is cut is io.ErrUnexpectedEOF,
// and our own Close is net.ErrClosed.
//
// # Goroutines and memory
//
// A Conn has no goroutine of its own, except while its handshake runs. One
// goroutine may read, one may write and any number may close it or set deadlines
// at the same time; further readers and writers wait. Buffers of 65 KiB to read
// and 133 KiB to write come from pools that all share. An idle Conn has none if
// the connection below is a TCP or Unix socket, and 4 KiB to read with if it is
// another. A box or a chunk costs no allocation.
//
// # Sources
//
// "Designing a Secret Handshake" (Tarr 2015) as npm secret-handshake 1.1.21 and
// pull-box-stream 1.0.13 practise it, and the checks that "Prime, Order Please!"
// (eprint 2019/526, §7.1) asks for.
package shs

import (
	"errors"
	"net"
	"time"

	"github.com/cad2f06c/switchboard/shs/internal/shs1"
)

// Limits of this package.
const (
	handshakeTimeout = 5 * time.Second // all of it, if the caller sets no deadline
	closeTimeout     = 1 * time.Second // the goodbye of Close
)

// Errors of a handshake, wrapped with the step that failed.
var (
	// ErrRefused, at a client: the server closed the connection instead of
	// answering. It never says why. Check address, server key, network key,
	// mode, and whether the server admits our key.
	ErrRefused = shs1.ErrRefused
	// ErrHello: the peer is of another network or mode, or speaks no SHS.
	ErrHello = shs1.ErrHello
	// ErrProof: the peer does not hold the key it should, or a client dials
	// another server's key than ours.
	ErrProof = shs1.ErrProof
	// ErrWeakKey: a key of low or mixed order, or not canonical.
	ErrWeakKey = shs1.ErrWeakKey
)

// ErrProtocol is returned by Read for bytes that the peer of the handshake did
// not send so: a box that does not open, one that is too large, bytes after the
// goodbye. The connection is of no more use.
var ErrProtocol = errors.New("shs: broken stream")

// Mode is what protects the bytes after the handshake.
type Mode uint8

const (
	Box   Mode = iota // encrypted and authenticated: the box stream
	Plain             // in the clear, in chunks
)

// String returns "box" or "plain".
func (m Mode) String() string {
	if m == Plain {
		return "plain"
	}
	return "box"
}

// Config is what one side brings to a handshake. It is copied by Client and
// Server.
type Config struct {
	// Key is our long-term key. It must be set.
	Key PrivateKey
	// Prepared, if it is not nil, is of Key and saves about a quarter of a
	// handshake.
	Prepared *Prepared
	// NetworkKey is the key of box mode; zero means DefaultNetworkKey.
	NetworkKey NetworkKey
	// PlainKey is the purpose key of plain mode (NetworkKey.Plain); zero means
	// box only. A client that sets it uses plain and nothing else; a server
	// accepts plain under it as well as box.
	PlainKey NetworkKey
	// PurposeKey, at a server, is one more key under which it accepts box mode, for
	// connections that are no logins; zero means none. AuthorizePurpose, which must be
	// set with it, decides on these in place of Authorize: see Conn.Purpose.
	PurposeKey       NetworkKey
	AuthorizePurpose func(client PublicKey) error
	// Work, at a server, bounds how many handshakes compute at once: it runs do,
	// which is the curve arithmetic, and the Authorize, that a message of the
	// client asks for: 1, its hello, which is under a key of ours, or 3, its proof.
	// Its error ends the handshake; it must be that of do if do ran. Nil runs it
	// at once. Its time counts into that of Handshake, which waits for it.
	Work func(message int, do func() error) error
	// ServerKey, at a client, is whom to expect. It must be set there.
	ServerKey PublicKey
	// Authorize, at a server, is called once with the client's proven key,
	// before the client learns that it was understood. Its error ends the
	// handshake without a further byte. Nil admits everybody. Its time counts
	// into that of Handshake, which waits for it.
	Authorize func(client PublicKey, mode Mode) error
}

// Client wraps conn for the connecting side. It does no I/O: see
// Conn.Handshake. The Conn owns conn.
func Client(conn net.Conn, cfg *Config) *Conn { return newConn(conn, cfg, true) }

// Server wraps conn for the accepting side, as Client does for the other.
func Server(conn net.Conn, cfg *Config) *Conn { return newConn(conn, cfg, false) }
