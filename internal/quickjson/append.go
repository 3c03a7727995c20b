package quickjson

import "encoding/json"

// AppendText appends text as package json writes it.
func AppendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return appendAny(b, text)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// AppendRaw appends a JSON text as package json writes it: without spaces, and
// with the escapes of strings. It panics if raw has a space or a character to
// be escaped and is not JSON; else raw goes as it came.
func AppendRaw(b []byte, raw json.RawMessage) []byte {
	for _, c := range raw {
		if c <= ' ' || c > '~' || c == '<' || c == '>' || c == '&' {
			return appendAny(b, raw)
		}
	}
	if len(raw) == 0 {
		return appendAny(b, raw)
	}
	return append(b, raw...)
}

func appendAny(b []byte, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("quickjson: what should be JSON is not: " + err.Error())
	}
	return append(b, raw...)
}
