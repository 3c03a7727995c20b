package control

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/cad2f06c/switchboard/internal/quickjson"
)

// What opens, answers and ends a channel is written without reflection, and is
// what package json writes.

// Body is an argument or a result that writes itself.
type Body interface {
	// AppendJSON appends it to b.
	AppendJSON(b []byte) []byte
}

// AppendCall appends the body of a call with one argument. It always says its
// type.
func AppendCall(b []byte, method, kind string, arg Body) []byte {
	b = arg.AppendJSON(appendHead(b, method))
	return appendTail(b, kind)
}

// AppendRequest is AppendCall with any argument, which is an error if it is
// not to be written as JSON.
func AppendRequest(b []byte, method, kind string, arg any) ([]byte, error) {
	if body, ok := arg.(Body); ok {
		return AppendCall(b, method, kind, body), nil
	}
	raw, err := json.Marshal(arg)
	if err != nil {
		return b, fmt.Errorf("encoding %T: %w", arg, err)
	}
	return appendTail(append(appendHead(b, method), raw...), kind), nil
}

func appendHead(b []byte, method string) []byte {
	b = append(b, `{"name":[`...)
	for more := true; more; {
		var part string
		part, method, more = strings.Cut(method, ".")
		b = quickjson.AppendText(b, part)
		if more {
			b = append(b, ',')
		}
	}
	return append(b, `],"args":[`...)
}

func appendTail(b []byte, kind string) []byte {
	return append(appendText(b, `],"type":`, kind), '}')
}

// AppendJSON implements Body.
func (a *ConnectArgs) AppendJSON(b []byte) []byte {
	b = appendText(b, `{"to":`, a.To)
	if a.Key != nil {
		b = appendKey(b, `,"key":`, *a.Key)
	}
	if a.Epoch != nil {
		b = strconv.AppendUint(append(b, `,"epoch":`...), *a.Epoch, 10)
	}
	if len(a.Meta) > 0 {
		b = quickjson.AppendRaw(append(b, `,"meta":`...), a.Meta)
	}
	if len(a.Direct) > 0 {
		b = appendKinds(b, `,"direct":`, a.Direct)
	}
	if a.Resume != 0 {
		b = strconv.AppendInt(append(b, `,"resume":`...), a.Resume, 10)
	}
	b = appendFlag(b, `,"require":true`, a.Require)
	b = appendFlag(b, `,"sealed":true`, a.Sealed)
	if a.TimeoutMS != nil {
		b = strconv.AppendInt(append(b, `,"timeout_ms":`...), *a.TimeoutMS, 10)
	}
	return append(b, '}')
}

// AppendJSON implements Body.
func (r *ConnectResult) AppendJSON(b []byte) []byte {
	b = appendText(b, `{"channel":`, r.Channel)
	b = appendKey(b, `,"peer":{"id":`, r.Peer.ID)
	b = appendText(b, `,"name":`, r.Peer.Name)
	b = appendText(b, `,"session":`, r.Peer.Session)
	b = append(appendEpoch(b, r.Peer.Epoch), '}')
	if r.Direct != nil {
		b = appendMarshalled(b, `,"direct":`, r.Direct)
	}
	return append(appendFlag(b, `,"sealed":true`, r.Sealed), '}')
}

// appendFlag appends a field that is there only when it is true.
func appendFlag(b []byte, field string, flag bool) []byte {
	if !flag {
		return b
	}
	return append(b, field...)
}

func appendEpoch(b []byte, epoch uint64) []byte {
	if epoch == 0 {
		return b
	}
	return strconv.AppendUint(append(b, `,"epoch":`...), epoch, 10)
}

// AppendJSON implements Body.
func (a *OfferArgs) AppendJSON(b []byte) []byte {
	b = appendText(b, `{"channel":`, a.Channel)
	if a.Token != "" {
		b = appendText(b, `,"token":`, a.Token)
	}
	b = appendText(b, `,"name":`, a.Name)
	b = appendEpoch(b, a.Epoch)
	b = appendKey(b, `,"peer":{"id":`, a.Peer.ID)
	b = appendText(b, `,"session":`, a.Peer.Session)
	b = append(b, `,"names":`...)
	if a.Peer.Names == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, '[')
		for i, name := range a.Peer.Names {
			if i > 0 {
				b = append(b, ',')
			}
			b = quickjson.AppendText(b, name)
		}
		b = append(b, ']')
	}
	b = appendText(b, `,"level":`, a.Peer.Level)
	b = appendText(b, `,"tenant":`, a.Peer.Tenant)
	b = append(b, '}')
	if len(a.Meta) > 0 {
		b = quickjson.AppendRaw(append(b, `,"meta":`...), a.Meta)
	}
	if a.Direct != nil {
		b = appendMarshalled(b, `,"direct":`, a.Direct)
	}
	b = appendFlag(b, `,"require":true`, a.Require)
	return append(appendFlag(b, `,"sealed":true`, a.Sealed), '}')
}

// AppendJSON implements Body.
func (r OfferResult) AppendJSON(b []byte) []byte {
	if r == (OfferResult{}) {
		return append(b, "{}"...)
	}
	return appendMarshalled(b, "", r)
}

// AppendJSON implements Body.
func (a *AcceptArgs) AppendJSON(b []byte) []byte {
	b = appendText(b, `{"channel":`, a.Channel)
	return append(appendText(b, `,"token":`, a.Token), '}')
}

// AppendJSON implements Body.
func (r *AcceptResult) AppendJSON(b []byte) []byte {
	return append(appendText(b, `{"channel":`, r.Channel), '}')
}

// AppendJSON implements Body.
func (a *GoingAwayArgs) AppendJSON(b []byte) []byte {
	return append(strconv.AppendInt(append(b, `{"drain_ms":`...), a.DrainMS, 10), '}')
}

// AppendJSON implements Body.
func (a *ChannelCloseArgs) AppendJSON(b []byte) []byte {
	b = appendText(b, `{"channel":`, a.Channel)
	if a.Reason != "" {
		b = appendText(b, `,"reason":`, a.Reason)
	}
	return append(b, '}')
}
