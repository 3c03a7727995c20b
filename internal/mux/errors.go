package mux

import (
	"errors"
	"fmt"
	"net"
)

// Errors of a stream or a session. Each is found with errors.Is.
var (
	// ErrReset is what a stream gives after a reset. The peer's is a
	// *ResetError.
	ErrReset = errors.New("mux: stream reset")

	// ErrHeld is the ErrReset of a stream that was the fullest when its
	// sessions held more bytes than their Budget, or its whole.
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

	// ErrFlood is the ErrProtocol of a peer that asked for more than its
	// Rates, or for more answers than are kept waiting for it. The peer is
	// told by go-away code 11, enhance_calm.
	ErrFlood = fmt.Errorf("%w: flood", ErrProtocol)

	// ErrDead ends a session from which nothing was heard for
	// Config.DeadAfter.
	ErrDead = errors.New("mux: peer is silent")

	// ErrStalled ends a session whose peer took no bytes for
	// Config.WriteTimeout.
	ErrStalled = errors.New("mux: peer takes no bytes")
)

// Reason says why a stream was reset. It travels in the length field of the
// frame, which other libraries ignore or call an error code (PROTOCOL.md §3).
type Reason uint32

// Reasons of a reset.
const (
	ReasonNone     Reason = 0
	ReasonReset    Reason = 1  // the other end of the channel reset it
	ReasonGone     Reason = 2  // the other end's session is gone
	ReasonQuota    Reason = 3  // too many bytes were held for it
	ReasonBusy     Reason = 4  // no place for it: lanes, or lanes that wait
	ReasonShutdown Reason = 5  // the server is shutting down
	ReasonCalm     Reason = 11 // the other end's session was ended for flooding
)

// String returns the reason's code.
func (r Reason) String() string {
	switch r {
	case ReasonNone:
		return "none"
	case ReasonReset:
		return "peer_reset"
	case ReasonGone:
		return "peer_gone"
	case ReasonQuota:
		return "quota"
	case ReasonBusy:
		return "busy"
	case ReasonShutdown:
		return "shutting_down"
	case ReasonCalm:
		return "enhance_calm"
	}
	return fmt.Sprintf("reason %d", uint32(r))
}

// ResetError is the ErrReset that the peer sent.
type ResetError struct {
	Reason Reason
}

// Error names the reason, if there is one.
func (e *ResetError) Error() string {
	if e.Reason == ReasonNone {
		return ErrReset.Error()
	}
	return ErrReset.Error() + ": " + e.Reason.String()
}

// Is reports whether target is ErrReset.
func (e *ResetError) Is(target error) bool { return target == ErrReset }

// GoAwayError ends a session that the peer ended with a code other than 0.
type GoAwayError struct {
	Code uint32 // 1: we broke the protocol; 2: an error inside the peer; 11: we asked for too much
}

// Error names the code.
func (e *GoAwayError) Error() string {
	switch e.Code {
	case goAwayProtocol:
		return "mux: peer ended the session: protocol error"
	case goAwayInternal:
		return "mux: peer ended the session: internal error"
	case goAwayCalm:
		return "mux: peer ended the session: enhance_calm"
	}
	return fmt.Sprintf("mux: peer ended the session: code %d", e.Code)
}
