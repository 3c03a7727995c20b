package control

import (
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/cad2f06c/switchboard/shs"
)

// What is written for every name of a list and every event of a watch is
// written here without reflection. It is what package json writes, but that
// Info goes as it came, and that texts need no escapes: the names, session ids,
// transports and kinds of the protocol have none.

// AppendEntry appends e as JSON.
func AppendEntry(b []byte, e *Entry) []byte {
	b = appendText(b, `{"name":`, e.Name)
	b = appendKey(b, `,"id":`, e.ID)
	b = appendText(b, `,"session":`, e.Session)
	b = strconv.AppendInt(append(b, `,"since":`...), e.Since, 10)
	b = strconv.AppendUint(append(b, `,"epoch":`...), e.Epoch, 10)
	if len(e.Info) > 0 {
		b = append(append(b, `,"info":`...), e.Info...)
	}
	b = appendText(b, `,"transport":`, e.Transport)
	if e.Waiters != 0 {
		b = strconv.AppendInt(append(b, `,"waiters":`...), int64(e.Waiters), 10)
	}
	return append(b, '}')
}

// AppendEvent appends ev as JSON.
func AppendEvent(b []byte, ev *Event) []byte {
	b = strconv.AppendUint(append(b, `{"rev":`...), ev.Rev, 10)
	b = appendText(b, `,"type":`, ev.Type)
	if ev.Name != "" {
		b = appendText(b, `,"name":`, ev.Name)
	}
	if ev.Entry != nil {
		b = AppendEntry(append(b, `,"entry":`...), ev.Entry)
	}
	if ev.Was != nil {
		b = appendKey(append(b, `,"was":{`...), `"id":`, ev.Was.ID)
		b = appendText(b, `,"session":`, ev.Was.Session)
		b = strconv.AppendUint(append(b, `,"epoch":`...), ev.Was.Epoch, 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

// appendText appends a field whose text may be anything, quickly if it needs
// no escape.
func appendText(b []byte, field, text string) []byte {
	b = append(b, field...)
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			raw, err := json.Marshal(text)
			if err != nil {
				panic("control: a text that is not JSON: " + err.Error())
			}
			return append(b, raw...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// appendKey appends a field as shs.PublicKey.MarshalText writes it.
func appendKey(b []byte, field string, key shs.PublicKey) []byte {
	b = append(append(b, field...), `"@`...)
	b = base64.StdEncoding.AppendEncode(b, key[:])
	return append(b, `.ed25519"`...)
}
