package client

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// What stands on a lane that no muxrpc session reads: a request, its answer,
// then channel bytes or the items of a watch.
const (
	flagsRequest = muxrpc.FlagStream | muxrpc.FlagJSON
	flagsError   = muxrpc.FlagStream | muxrpc.FlagEnd | muxrpc.FlagJSON
)

// request is the body of a call that a lane begins with.
type request struct {
	Name []string `json:"name"`
	Args []any    `json:"args"`
	Type string   `json:"type"`
}

// encode writes v as JSON. What would be too large for the server is refused
// here: there it would end the session.
func encode(v any) (json.RawMessage, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if len(raw) > control.MaxServerBody-requestRoom {
		return nil, control.BadRequest.With("the request is larger than the server takes")
	}
	return raw, nil
}

// requestRoom is what a packet body has around the arguments, and more.
const requestRoom = 1 << 10

// writePacket writes v as one packet, within the deadline of an answer.
func writePacket(lane channel.Lane, flags byte, req int32, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	if err := lane.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	if err := muxrpc.WritePacket(lane, muxrpc.Packet{Flags: flags, Req: req, Body: body}); err != nil {
		return err
	}
	return lane.SetWriteDeadline(time.Time{})
}

// readAnswer reads the one answer to the request that opened a lane. An error
// answer is an *Error, nonsense errAnswer.
func readAnswer(lane channel.Lane, v any) error {
	p, err := muxrpc.ReadPacket(lane, control.MaxPeerBody)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if p.Req != -1 || p.Flags&muxrpc.FlagStream == 0 {
		return errAnswer
	}
	if p.Flags&muxrpc.FlagEnd != 0 {
		return endError(p.Body)
	}
	if err := json.Unmarshal(p.Body, v); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	return nil
}

// endError reads the body of an END that should have been an answer or an
// item. It is never nil.
func endError(body []byte) error {
	var e struct {
		Name    string `json:"name"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Name == "" {
		return errAnswer
	}
	return &Error{Code: Code(e.Name), Message: e.Message}
}
