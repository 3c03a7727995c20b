package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

// Exit codes of sbctl. exitHelp says the same to its users.
const (
	exitOK          = 0
	exitOther       = 1
	exitUsage       = 2
	exitNoServer    = 3
	exitNotFound    = 4
	exitNotAllowed  = 5
	exitNotOwner    = 6
	exitTimeout     = 7
	exitGone        = 8
	exitRefused     = 9
	exitAnswer      = 10
	exitInterrupted = 130
)

const exitHelp = `Exit codes:
    0  done (also: expose, forward and watch ended by SIGINT or SIGTERM)
    1  something else failed, on this side or inside the server
    2  wrong usage: command line, name, pattern, address or JSON
    3  no server: not found, cannot connect, or it refused the login
    4  not found: nobody here has the name
    5  not allowed for this key; the answer is no (policy explain)
    6  the name is taken, or is no longer ours
    7  timeout: no answer within --timeout
    8  gone: the peer is unavailable, or the channel or session was cut
    9  refused by the peer, busy, or over a limit
   10  the called method answered an error (call)
  130  interrupted`

// usageError is a mistake in how sbctl was called.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// failure is an error with its exit code, for what the error alone does not
// tell.
type failure struct {
	code int
	err  error
}

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

// about is an error that concerns a name.
type about struct {
	name string
	err  error
}

func (a about) Error() string { return a.name + ": " + a.err.Error() }
func (a about) Unwrap() error { return a.err }

// ended is why an open channel ended, for those who carry channels of others.
type ended struct{ err error }

func (e ended) Error() string { return "channel ended: " + e.err.Error() }
func (e ended) Unwrap() error { return e.err }

// advice is what an error code of the server means to a user: the exit code,
// and what to say behind the name. Where keep is set the server's or peer's own
// message is added.
type advice struct {
	exit int
	text string
	keep bool
}

// adviceOf is the table of codes.
func adviceOf(code client.Code) advice {
	switch code {
	case client.BadRequest:
		return advice{exitUsage, "bad request", true}
	case client.NameInvalid:
		return advice{exitUsage, "not a name: elements of letters, digits, _ and - joined by dots, none beginning with a digit, at most 255 bytes", false}
	case client.NotFound:
		return advice{exitNotFound, "nobody here has this name (see sbctl list; sbctl wait waits for it)", false}
	case client.NotAllowed:
		return advice{exitNotAllowed, "not allowed for this key (sbctl whoami shows which)", true}
	case client.NameTaken:
		return advice{exitNotOwner, "the name has another owner (sbctl info shows which)", false}
	case client.NotOwner:
		return advice{exitNotOwner, "this session does not own the name", false}
	case client.Timeout:
		return advice{exitTimeout, "no answer in time (--timeout gives more)", false}
	case client.Unavailable:
		return advice{exitGone, "its owner takes no such channel", true}
	case client.PeerGone:
		return advice{exitGone, "its owner went away; try again", false}
	case client.PeerMismatch:
		return advice{exitGone, "another key than the expected one has the name", true}
	case client.Stale:
		return advice{exitGone, "the name has changed hands; try again", false}
	case client.ShuttingDown:
		return advice{exitGone, "the server is shutting down", false}
	case client.Refused:
		return advice{exitRefused, "its owner refused", true}
	case client.Busy:
		return advice{exitRefused, "too much at once; try again later", true}
	case client.RateLimited:
		return advice{exitRefused, "too often; try again later", true}
	case client.Quota:
		return advice{exitRefused, "over a limit of the server", true}
	}
	return advice{exitOther, "the server failed; its log says why", true}
}

// exitCode is the exit code that err stands for.
func exitCode(err error) int {
	if f, ok := errors.AsType[failure](err); ok {
		return f.code
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if q, ok := errors.AsType[quiet](err); ok {
		return q.code
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return adviceOf(e.Code).exit
	}
	if c, ok := errors.AsType[client.Code](err); ok {
		return adviceOf(c).exit
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, client.ErrNameLost), errors.Is(err, client.ErrListening):
		return exitNotOwner
	case errors.Is(err, client.ErrNotConnected), errors.Is(err, io.ErrUnexpectedEOF):
		return exitGone
	}
	return exitOther
}

// message is what is printed about err: one line that says what to do.
func message(err error) string {
	name := ""
	if a, ok := errors.AsType[about](err); ok {
		name = a.name + ": "
	}
	if e, ok := errors.AsType[ended](err); ok { // no advice: it was not we who asked for it
		return term.Escape(name) + "channel ended: " + term.Error(errors.New(endText(e.err)))
	}
	f, isFailure := errors.AsType[failure](err)
	e, isAnswer := errors.AsType[*client.Error](err)
	switch {
	case isFailure:
		return strings.TrimPrefix(term.Error(f), "client: ")
	case isAnswer:
		a := adviceOf(e.Code)
		text := name + a.text
		switch {
		case e.Code == client.Unavailable && e.Message != "": // it may be of our own settings
			text = name + e.Message
		case e.Code == client.NotFound && strings.HasPrefix(name, ":"):
			text = name + "no session of this id, or none that you may call: it needs a name, or an open channel with your key"
		case e.Code == client.PeerMismatch: // what is around it says which line of the pins file
			text += ": " + strings.TrimPrefix(err.Error(), name)
		case a.keep && e.Message != "":
			text += ": " + e.Message
		}
		return term.Escape(strings.ReplaceAll(text, "\n", " "))
	case errors.Is(err, client.ErrNotConnected):
		return term.Escape(name + "the connection to the server was lost")
	case errors.Is(err, client.ErrNameLost):
		return term.Escape(name + "the name has another owner now")
	case errors.Is(err, context.DeadlineExceeded):
		return term.Escape(name + "no answer in time (--timeout gives more)")
	}
	if a, ok := err.(about); ok {
		return term.Escape(name) + strings.TrimPrefix(term.Error(a.err), "client: ")
	}
	return strings.TrimPrefix(term.Error(err), "client: ")
}
