package muxrpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cad2f06c/switchboard/internal/quickjson"
)

// Types of a call, as they stand on the wire.
const (
	typeAsync  = "async"
	typeSource = "source"
	typeSink   = "sink"
	typeDuplex = "duplex"
)

// Request is the first packet of a call or stream.
type Request struct {
	Name string            // the method; on the wire a string, or an array whose elements are joined by "."
	Type string            // async, source, sink or duplex
	Args []json.RawMessage // never nil; each element strictly checked
}

// ParseRequest reads the request in p. Its JSON is checked strictly (PROTOCOL.md §4): UTF-8, nesting at most 16, no field name
// twice, field names by exact case; unknown fields are ignored. A type that is missing, "" or "sync" is async. The STREAM
// flag must fit the type: it says which form an error answer has. Every error is a *[RemoteError] named bad_request.
func ParseRequest(p Packet) (Request, error) {
	r, err := parseRequest(p)
	if err != nil {
		return Request{}, err // a nil *RemoteError in err would not be nil
	}
	return r, nil
}

func parseRequest(p Packet) (Request, *RemoteError) {
	if p.Req <= 0 || p.isEnd() {
		return Request{}, badRequest("not a request")
	}
	if p.bodyType() != FlagJSON {
		return Request{}, badRequest("request body is not JSON")
	}
	var r Request
	ok := false
	if len(p.Body) <= quickBody { // a large one is not to be read twice
		r, ok = quickRequest(p.Body)
	}
	if !ok {
		var err *RemoteError
		if r, err = strictRequest(p.Body); err != nil {
			return Request{}, err
		}
	}
	if p.isStream() != (r.Type != typeAsync) {
		return Request{}, badRequest("the STREAM flag does not fit type %s", r.Type)
	}
	return r, nil
}

// maxArgs is how many arguments a request may have.
const maxArgs = 256

// quickBody is the size of a body up to which the usual form is tried first.
const quickBody = 16 << 10

// quickRequest reads a request that has the usual form, and reports false for any other: strictRequest says the same of what it
// takes.
func quickRequest(body []byte) (r Request, ok bool) {
	q := quickjson.NewReader(body)
	for q.Enter('{'); q.More('}'); {
		switch string(q.Name()) {
		case "name":
			if r.Name != "" {
				return r, false
			}
			if r.Name = quickName(&q); r.Name == "" {
				return r, false
			}
		case "type":
			kind := q.Text()
			switch {
			case r.Type != "":
				return r, false
			case string(kind) == typeAsync:
				r.Type = typeAsync
			case string(kind) == typeDuplex:
				r.Type = typeDuplex
			case string(kind) == typeSource:
				r.Type = typeSource
			default:
				return r, false
			}
		case "args":
			if r.Args != nil {
				return r, false
			}
			r.Args = []json.RawMessage{}
			for q.Enter('['); q.More(']'); {
				r.Args = append(r.Args, q.Skip())
			}
		default:
			return r, false
		}
	}
	return r, q.OK() && r.Name != "" && r.Type != "" && r.Args != nil && len(r.Args) <= maxArgs
}

// quickName reads a name that is not empty.
func quickName(q *quickjson.Reader) string {
	if q.IsText() {
		return string(q.Text())
	}
	var name []byte
	n := 0
	for q.Enter('['); q.More(']'); n++ {
		switch part := q.Text(); n {
		case 0:
			name = part
		case 1: // not in place: name is part of the body
			name = append(append(append(make([]byte, 0, 64), name...), '.'), part...)
		default:
			name = append(append(name, '.'), part...)
		}
	}
	return string(name)
}

// strictRequest reads any request, but for its STREAM flag.
func strictRequest(body []byte) (Request, *RemoteError) {
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return Request{}, badRequest("request is not a JSON object")
	}
	var name, kind, args []byte
	err := checkJSON(body, func(field, value []byte) {
		switch string(field) {
		case "name":
			name = value
		case "type":
			kind = value
		case "args":
			args = value
		}
	})
	if err != nil {
		return Request{}, badRequest("request: %v", err)
	}
	var r Request
	var ok bool
	if r.Name, ok = parseName(name); !ok {
		return Request{}, badRequest("name is neither a string nor an array of strings")
	}
	if r.Type, ok = parseType(kind); !ok {
		return Request{}, badRequest("unknown type")
	}
	if r.Args, ok = elements(args); !ok {
		return Request{}, badRequest("args is not an array")
	}
	if len(r.Args) > maxArgs {
		return Request{}, badRequest("more than %d arguments", maxArgs)
	}
	return r, nil
}

func badRequest(format string, args ...any) *RemoteError {
	return &RemoteError{Name: codeBadRequest, Message: fmt.Sprintf(format, args...)}
}

// elements splits an array that checkJSON has accepted.
func elements(value []byte) ([]json.RawMessage, bool) {
	if len(value) == 0 || value[0] != '[' {
		return nil, false
	}
	list := []json.RawMessage{}
	err := checkJSON(value, func(_, item []byte) {
		if len(list) <= maxArgs { // one too many tells
			list = append(list, item)
		}
	})
	return list, err == nil
}

func parseName(value []byte) (string, bool) {
	if name, ok := parseText(value); ok {
		return name, name != ""
	}
	list, ok := elements(value)
	if !ok || len(list) == 0 || len(list) > maxArgs {
		return "", false
	}
	parts := make([]string, len(list))
	for i, item := range list {
		if parts[i], ok = parseText(item); !ok {
			return "", false
		}
	}
	name := strings.Join(parts, ".")
	return name, name != ""
}

func parseType(value []byte) (string, bool) {
	if value == nil {
		return typeAsync, true
	}
	kind, ok := parseText(value)
	switch kind {
	case "", "sync", typeAsync:
		return typeAsync, ok
	case typeSource, typeSink, typeDuplex:
		return kind, ok
	}
	return "", false
}

// parseText is the string in a value that checkJSON has accepted.
func parseText(value []byte) (string, bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	c := checker{b: value}
	s, err := c.text()
	return string(s), err == nil
}

// Args as the argument of [Session.Call] or [Session.Open] is the whole list of arguments instead of the only one.
type Args []any

// encodeRequest is the body of a request. Its fields stand in the order of PROTOCOL.md §6; the type is always written.
func encodeRequest(method, kind string, arg any) ([]byte, error) {
	args, ok := arg.(Args)
	if !ok && arg != nil {
		args = Args{arg}
	}
	if args == nil {
		args = Args{}
	}
	b, err := json.Marshal(struct {
		Name []string `json:"name"`
		Args Args     `json:"args"`
		Type string   `json:"type"`
	}{strings.Split(method, "."), args, kind})
	if err != nil {
		return nil, fmt.Errorf("encoding the arguments of %s: %w", method, err)
	}
	return b, nil
}
