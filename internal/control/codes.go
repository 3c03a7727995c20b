package control

import (
	"context"
	"errors"

	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/names"
)

// Code is an error code of the wire (PROTOCOL.md §4): lower-case, append-only.
// A Code is itself an error, so errors.Is(err, control.NotFound) asks for the
// code of any error that came over the wire.
type Code string

// The codes.
const (
	BadRequest   Code = "bad_request"
	NotFound     Code = "not_found"
	NotAllowed   Code = "not_allowed"
	NameTaken    Code = "name_taken"
	NameInvalid  Code = "name_invalid"
	NotOwner     Code = "not_owner"
	Busy         Code = "busy"
	Refused      Code = "refused"
	Timeout      Code = "timeout"
	RateLimited  Code = "rate_limited"
	Quota        Code = "quota"
	Unavailable  Code = "unavailable"
	Stale        Code = "stale"
	PeerGone     Code = "peer_gone"
	PeerMismatch Code = "peer_mismatch"
	ShuttingDown Code = "shutting_down"
	Internal     Code = "internal"
)

// Codes returns all codes.
func Codes() []Code {
	return []Code{BadRequest, NotFound, NotAllowed, NameTaken, NameInvalid, NotOwner, Busy, Refused, Timeout,
		RateLimited, Quota, Unavailable, Stale, PeerGone, PeerMismatch, ShuttingDown, Internal}
}

// Error returns the code.
func (c Code) Error() string { return string(c) }

// With makes an Error of this code with a message for people.
func (c Code) With(message string) *Error { return &Error{Code: c, Message: message} }

// Error is an error answer: a code for programs, a message for people. The
// message came from the other side; escape it before it reaches a terminal.
type Error struct {
	Code    Code
	Message string
	RetryMS int64 // when to try again, if that is known (rate_limited)
}

// Error returns "code: message".
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + e.Message
}

// Is reports whether target is this error's code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// fromNames maps what the registry says to codes. It is the only place.
var fromNames = []struct {
	err  error
	code Code
	text string
}{
	{names.ErrInvalid, NameInvalid, "names are 1 to 255 bytes: elements [A-Za-z_-][A-Za-z0-9_-]* joined by dots"},
	{names.ErrPattern, BadRequest, "patterns are names in which an element may be * and the last one **"},
	{names.ErrReserved, NotAllowed, "switchboard and switchboard.** are the server's own"},
	{names.ErrTaken, NameTaken, "the name has another owner"},
	{names.ErrNotOwner, NotOwner, "this session neither owns the name nor waits for it"},
	{names.ErrQuota, Quota, "too many names for this key, or too many waiters for this name"},
	{names.ErrRate, RateLimited, "this key has replaced the owner of this name too often; try again in 30 s"},
}

// texts are the messages of codes that need no more words.
var texts = map[Code]string{
	ShuttingDown: "the server is shutting down",
	PeerGone:     "the callee is gone",
	Timeout:      "no answer in time",
}

// ToWire turns an error into an error answer. What it does not know becomes
// "internal" without its text, which belongs in the server's own log.
func ToWire(err error) *muxrpc.RemoteError {
	if e, ok := errors.AsType[*Error](err); ok {
		return &muxrpc.RemoteError{Name: string(e.Code), Message: e.Message, RetryMS: e.RetryMS}
	}
	if e, ok := errors.AsType[*muxrpc.RemoteError](err); ok {
		return e
	}
	if c, ok := errors.AsType[Code](err); ok {
		return &muxrpc.RemoteError{Name: string(c), Message: texts[c]}
	}
	for _, row := range fromNames {
		if errors.Is(err, row.err) {
			return &muxrpc.RemoteError{Name: string(row.code), Message: row.text}
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &muxrpc.RemoteError{Name: string(Timeout)}
	}
	return &muxrpc.RemoteError{Name: string(Internal), Message: "internal error"}
}

// FromWire turns an error answer into an *Error; any other error is returned
// as it is.
func FromWire(err error) error {
	if e, ok := errors.AsType[*muxrpc.RemoteError](err); ok {
		return &Error{Code: Code(e.Name), Message: e.Message, RetryMS: e.RetryMS}
	}
	return err
}
