package mux

import (
	"errors"
	"fmt"
	"net"
)

// Errors of a stream or a session. Each is found with errors.Is.
var (
	// ErrReset is what a stream gives after the peer's reset, or ours for want
	// of memory.
	ErrReset = errors.New("mux: stream reset")

	// ErrHeld is the ErrReset of a stream that was the fullest when its session
	// held more unread bytes than Config.MaxHeld.
	ErrHeld = fmt.Errorf("%w: too much unread data", ErrReset)

	// ErrStreams is returned by Open at Config.MaxStreams, or when the ids of
	// the session are used up.
	ErrStreams = errors.New("mux: too many streams")

	// ErrGoAway is returned by Open after the peer's go-away.
	ErrGoAway = errors.New("mux: peer takes no new streams")

	// ErrSessionClosed ends a session by Close. It is a net.ErrClosed, too.
	ErrSessionClosed = fmt.Errorf("mux: session closed: %w", net.ErrClosed)

	// ErrProtocol ends a session whose peer broke the protocol.
	ErrProtocol = errors.New("mux: protocol error")

	// ErrFlood is the ErrProtocol of a peer that asked for more answers than
	// are kept waiting for it.
	ErrFlood = fmt.Errorf("%w: flood", ErrProtocol)

	// ErrDead ends a session from which nothing was heard for
	// Config.DeadAfter.
	ErrDead = errors.New("mux: peer is silent")

	// ErrStalled ends a session whose peer took no bytes for
	// Config.WriteTimeout.
	ErrStalled = errors.New("mux: peer takes no bytes")
)

// GoAwayError ends a session that the peer ended with a code other than 0.
type GoAwayError struct {
	Code uint32 // 1: we broke the protocol; 2: an error inside the peer
}

// Error names the code.
func (e *GoAwayError) Error() string {
	switch e.Code {
	case 1:
		return "mux: peer ended the session: protocol error"
	case 2:
		return "mux: peer ended the session: internal error"
	}
	return fmt.Sprintf("mux: peer ended the session: code %d", e.Code)
}
