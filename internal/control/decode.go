package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Decode reads the one argument object of a call into the struct that v points
// to. Field names match by exact case (encoding/json alone would take any
// case), unknown fields are ignored, and no argument is an empty object.
// Well-formed JSON, its nesting and repeated fields were checked when the
// packet was parsed. Errors are *Error with BadRequest.
func Decode(args []json.RawMessage, v any) error {
	switch {
	case len(args) == 0:
		return nil
	case len(args) > 1:
		return BadRequest.With("args holds one object, or nothing")
	}
	return DecodeObject(args[0], v)
}

// DecodeObject is Decode for an object that stands alone, such as an answer.
func DecodeObject(raw json.RawMessage, v any) error {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 || raw[0] != '{' {
		return BadRequest.With("the argument is not an object")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return BadRequest.With("the argument is not an object")
	}
	dst := reflect.ValueOf(v).Elem()
	for i := range dst.NumField() {
		key, _, _ := strings.Cut(dst.Type().Field(i).Tag.Get("json"), ",")
		value, ok := fields[key]
		if !ok {
			continue
		}
		if err := json.Unmarshal(value, dst.Field(i).Addr().Interface()); err != nil {
			return BadRequest.With(fmt.Sprintf("field %q has the wrong type or form", key))
		}
	}
	return nil
}
