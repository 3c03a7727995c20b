package control

import (
	"encoding/base64"
	"strconv"

	"github.com/cad2f06c/switchboard/internal/quickjson"
	"github.com/cad2f06c/switchboard/shs"
)

// What is written for every call, every name of a list and every event of a
// watch is written here, without reflection. It is what package json writes, but that
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

// AppendWhoAmI appends w as JSON.
func AppendWhoAmI(b []byte, w *WhoAmI) []byte {
	b = appendKey(b, `{"id":`, w.ID)
	b = appendText(b, `,"session":`, w.Session)
	b = append(b, `,"names":[`...)
	for i, n := range w.Names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, "", n)
	}
	b = appendText(b, `],"level":`, w.Level)
	if w.Tenant != "" {
		b = appendText(b, `,"tenant":`, w.Tenant)
	}
	b = appendKey(b, `,"server":{"id":`, w.Server.ID)
	b = appendText(b, `,"version":`, w.Server.Version)
	b = appendText(b, `,"protocol":`, w.Server.Protocol)
	b = strconv.AppendInt(append(b, `,"started":`...), w.Server.Started, 10)
	if w.Server.LeaseMS != 0 {
		b = strconv.AppendInt(append(b, `,"lease_ms":`...), w.Server.LeaseMS, 10)
	}
	if w.Server.SpreadMS != 0 {
		b = strconv.AppendInt(append(b, `,"spread_ms":`...), w.Server.SpreadMS, 10)
	}
	return append(b, "}}"...)
}

// AppendClaimResult appends r as JSON.
func AppendClaimResult(b []byte, r *ClaimResult) []byte {
	b = appendText(b, `{"name":`, r.Name)
	b = appendText(b, `,"state":`, r.State)
	b = strconv.AppendUint(append(b, `,"epoch":`...), r.Epoch, 10)
	b = strconv.AppendUint(append(b, `,"rev":`...), r.Rev, 10)
	return append(b, '}')
}

// AppendRevResult appends r as JSON.
func AppendRevResult(b []byte, r *RevResult) []byte {
	b = appendText(b, `{"name":`, r.Name)
	b = strconv.AppendUint(append(b, `,"rev":`...), r.Rev, 10)
	return append(b, '}')
}

// appendText appends a field whose text may be anything, quickly if it needs
// no escape.
func appendText(b []byte, field, text string) []byte {
	return quickjson.AppendText(append(b, field...), text)
}

// appendKey appends a field as shs.PublicKey.MarshalText writes it.
func appendKey(b []byte, field string, key shs.PublicKey) []byte {
	b = append(append(b, field...), `"@`...)
	b = base64.StdEncoding.AppendEncode(b, key[:])
	return append(b, `.ed25519"`...)
}
