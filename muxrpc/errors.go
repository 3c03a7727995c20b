package muxrpc

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/cad2f06c/switchboard/internal/quickjson"
)

// Codes that this package gives out itself (PROTOCOL.md §4).
const (
	codeBadRequest   = "bad_request"
	codeBusy         = "busy"
	codeQuota        = "quota"
	codeShuttingDown = "shutting_down"
	codeInternal     = "internal"
	codeUnknown      = "Error" // what stock muxrpc names the error of an unknown method
)

var (
	// ErrExhausted ends a session that has used all of its 2³¹-1 request numbers.
	ErrExhausted = errors.New("muxrpc: request numbers used up")

	errAnswered  = errors.New("muxrpc: call already answered")
	errSendEnded = errors.New("muxrpc: sending side of the stream has ended")
	errServed    = errors.New("muxrpc: session is served already")
	errKind      = errors.New("muxrpc: wrong kind of call")
)

// RemoteError is an error that crosses the wire: {"name": Name, "message": Message, "stack": ""}. Name is the code. RetryMS, if it is
// positive, is when to try again, in milliseconds: one more field, "retry_ms".
type RemoteError struct {
	Name, Message string
	RetryMS       int64
}

// Error returns "name: message".
func (e *RemoteError) Error() string {
	if e.Message == "" {
		return e.Name
	}
	return e.Name + ": " + e.Message
}

// MarshalJSON writes the error as it crosses the wire.
func (e *RemoteError) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

// AppendJSON is MarshalJSON to the end of b. The fields are in the order in which PROTOCOL.md §6 shows them. The stack is always
// empty: a stack says where the program lies.
func (e *RemoteError) AppendJSON(b []byte) []byte {
	b = quickjson.AppendText(append(b, `{"name":`...), e.Name)
	b = quickjson.AppendText(append(b, `,"message":`...), e.Message)
	b = append(b, `,"stack":""`...)
	if e.RetryMS > 0 {
		b = strconv.AppendInt(append(b, `,"retry_ms":`...), e.RetryMS, 10)
	}
	return append(b, '}')
}

// encodeError is the body of an END or of a failed async call. What is no RemoteError is hidden from the peer.
func encodeError(err error) []byte {
	remote, ok := errors.AsType[*RemoteError](err)
	if !ok || remote == nil {
		remote = &RemoteError{Name: codeInternal, Message: "internal error"}
	}
	return remote.AppendJSON(nil)
}

// decodeEnd is the error of an END: nil if its body is `true` (or empty, which the odd-packet table calls an empty item).
func decodeEnd(p Packet) error {
	if len(p.Body) == 0 || p.bodyType() == FlagJSON && string(p.Body) == "true" {
		return nil
	}
	return decodeError(p)
}

// decodeError reads an error body leniently: whatever it is, the call has failed. Stock peers put any JSON value or text there.
func decodeError(p Packet) *RemoteError {
	const most = 256 // bytes of a body that is no error object
	var w struct {
		Name, Message string
		RetryMS       json.RawMessage `json:"retry_ms"` // of whatever kind
	}
	if p.bodyType() == FlagJSON && checkJSON(p.Body, nil) == nil && json.Unmarshal(p.Body, &w) == nil && (w.Name != "" || w.Message != "") {
		if w.Name == "" {
			w.Name = codeUnknown
		}
		retry, err := strconv.ParseInt(string(w.RetryMS), 10, 64)
		if err != nil || retry < 0 {
			retry = 0
		}
		return &RemoteError{Name: w.Name, Message: w.Message, RetryMS: retry}
	}
	return &RemoteError{Name: codeUnknown, Message: strings.ToValidUTF8(string(p.Body[:min(len(p.Body), most)]), "\uFFFD")}
}

// orInternal is err, or for nil an error that the peer sees as an internal one.
func orInternal(err error) error {
	if err == nil {
		return errors.New("no reason given")
	}
	return err
}
