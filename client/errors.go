package client

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// Error is an error answer of the server, or the reason why it ended a
// channel. The message is the other side's: escape it before it reaches a
// terminal.
type Error = control.Error

// Code is an error code of the protocol (PROTOCOL.md §4). It is an error, for
// errors.Is.
type Code = control.Code

// The codes.
const (
	BadRequest   = control.BadRequest
	NotFound     = control.NotFound
	NotAllowed   = control.NotAllowed
	NameTaken    = control.NameTaken
	NameInvalid  = control.NameInvalid
	NotOwner     = control.NotOwner
	Busy         = control.Busy
	Refused      = control.Refused
	Timeout      = control.Timeout
	RateLimited  = control.RateLimited
	Quota        = control.Quota
	Unavailable  = control.Unavailable
	Stale        = control.Stale
	PeerGone     = control.PeerGone
	PeerMismatch = control.PeerMismatch
	ShuttingDown = control.ShuttingDown
	Internal     = control.Internal
)

// The codes of a channel that ended in or after a move to a direct link.
const (
	Hole      Code = "hole"       // bytes were lost between relay and link
	LinkLost  Code = "link_lost"  // the link died, or was required and could not be made
	RelayLost Code = "relay_lost" // the relay died while it still had bytes
)

// Errors of the package. A closed Client or Listener returns net.ErrClosed.
var (
	// ErrNotConnected: the session has ended. A call that returns it may or
	// may not have been carried out. A Read or Write that returns it was of a
	// channel that the session carried.
	ErrNotConnected = errors.New("client: not connected")

	// ErrNameLost: a listener's name has another owner now, was released, or
	// could not be claimed again after a reconnect.
	ErrNameLost = errors.New("client: name lost")

	// ErrListening: this Client already listens on the name.
	ErrListening = errors.New("client: already listening on this name")

	// ErrPins: the file of Config.Pins cannot be used. It is no PeerMismatch.
	ErrPins = errors.New("client: pins file")

	errNoKey     = errors.New("client: Config.Key is not set; shs.LoadKey reads one, shs.GenerateKey makes one")
	errNoAddress = errors.New("client: no server address")
	errNoPlain   = errors.New("plain is for Unix sockets only")
	errSilent    = errors.New("no answer to pings for 45 s")
	errGoAway    = errors.New("the server asked to leave")
	errAnswer    = errors.New("the answer is no answer to this request")
)

// fromServer gives an error of a control session its meaning for the caller:
// an error answer becomes *Error, ctx's own end stays as it is, and all else
// is the session's end.
func fromServer(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*muxrpc.RemoteError](err); ok {
		return control.FromWire(err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrNotConnected, err)
}

// ended is the error of a Read or Write on a channel that ended for a known
// reason.
type ended struct {
	id     channel.ID
	by     string // where it was ended: by the server, or here, as with a link that is lost
	reason *Error
	err    error // of the lane
}

// Error says which channel ended, and why.
func (e *ended) Error() string {
	return fmt.Sprintf("channel %s ended %s: %v", e.id, e.by, e.reason)
}

// Unwrap returns the reason and the lane's own error.
func (e *ended) Unwrap() []error { return []error{e.reason, e.err} }

// errClosed is what everything returns after Close.
var errClosed = fmt.Errorf("client: %w", net.ErrClosed)
