// Package shs1 is the SHS1 handshake and nothing else: four messages between
// two parties that leave each with the other's proven key and one secret key
// per direction (PROTOCOL.md §2).
//
// It exists apart from package shs so that a program that must see the raw
// outcome, such as the peer for npm's shs1-test, can do so without package shs
// exporting it. It knows no deadlines: the caller bounds rw.
package shs1

import "errors"

// The errors of a handshake. All are wrapped with the step that failed.
var (
	// ErrRefused: the server closed the connection instead of answering. It
	// never says why.
	ErrRefused = errors.New("shs: the server closed the connection during the handshake")
	// ErrHello: a hello is not authenticated by any network key we accept.
	ErrHello = errors.New("shs: hello is not under our network key")
	// ErrProof: message 3 or 4 does not open, or its signature is wrong.
	ErrProof = errors.New("shs: proof of key does not hold")
	// ErrWeakKey: a key is of low or mixed order, not canonical, no point of the
	// curve, or our own sent back to us.
	ErrWeakKey = errors.New("shs: key is degenerate")
)

// Config is what one side brings to a handshake.
type Config struct {
	// Key is our long-term key.
	Key *Identity
	// Networks are the network keys: a client uses the first, a server accepts
	// any and says in Session.Network which it was.
	Networks [][32]byte
	// ServerKey is whom a client expects.
	ServerKey [32]byte
	// Authorize, at a server, is asked between message 3 and message 4. Nil
	// admits everybody.
	Authorize func(client [32]byte, network int) error
	// Work, at a server, runs do, which is the curve arithmetic that a message of
	// the client asks for, 1 or 3; its error ends the handshake. Nil runs it at
	// once.
	Work func(message int, do func() error) error
	// Ephemeral, if not nil, is the secret to use in place of a fresh one. Only
	// tests with recorded bytes set it.
	Ephemeral *[32]byte
}

// Session is the outcome of a handshake.
type Session struct {
	Remote  [32]byte // the peer's proven long-term key
	Network int      // index into Config.Networks
	Write   Half     // what we send
	Read    Half     // what we receive
}

// Half is one direction of a box stream.
type Half struct {
	Key   [32]byte
	Nonce [24]byte // of the first header box
}
