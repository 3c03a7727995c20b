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

// encode writes v as JSON. What would be too large for the server is refused
// here: there it would end the session.
func encode(v any) (json.RawMessage, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if len(raw) > maxBody {
		return nil, errRequest
	}
	return raw, nil
}

// maxBody leaves room in a packet body for what is around the arguments, and
// more.
const maxBody = control.MaxServerBody - 1<<10

var errRequest = control.BadRequest.With("the request is larger than the server takes")

// sendRequest writes the call that a lane begins with, within the deadline of
// an answer. The write deadline stays.
func sendRequest(lane channel.Lane, method, kind string, args any) error {
	d := muxrpc.NewDraft()
	var err error
	d.B, err = control.AppendRequest(d.B, method, kind, args)
	return send(lane, d, err, flagsRequest, 1)
}

// sendAnswer is sendRequest for the answer to a call.
func sendAnswer(lane channel.Lane, flags byte, req int32, v control.Body) error {
	d := muxrpc.NewDraft()
	d.B = v.AppendJSON(d.B)
	return send(lane, d, nil, flags, -req)
}

// send writes a draft, unless err or its size is against it.
func send(lane channel.Lane, d *muxrpc.Draft, err error, flags byte, req int32) error {
	switch {
	case err != nil:
		err = fmt.Errorf("client: %w", err)
	case d.Size() > maxBody:
		err = errRequest
	default:
		err = lane.SetWriteDeadline(time.Now().Add(answerTimeout))
	}
	if err != nil {
		d.Drop()
		return err
	}
	return d.Send(lane, flags, req)
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
	if err := control.DecodeAnswer(p.Body, v); err != nil {
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
