package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// Events that the log itself writes. Verify gives them a meaning, so an Event of a
// caller that bears one of these words, or none, is written with a "?" before it.
const (
	EventHead       = "head"       // a signed head: attrs.sig signs the record before it
	EventGap        = "gap"        // the file could not be written, or was cut: reason; n records are missing, attrs.from to attrs.to
	EventSuppressed = "suppressed" // n events of actor (or source) were not written: reason says over what
	EventRotate     = "rotate"     // first record of a further file: attrs.first is the oldest that is kept
	EventLagged     = "lagged"     // never written: Follow was too slow and left out n records
)

// Event is something that happened, as its reporter tells it. It has no field for
// payloads, and none may be put into the others: no bytes of channels, tokens,
// network keys or secrets.
//
// Text may come from strangers: it is cut to the length beside each field, counted
// as it is written (a character that is not printable ASCII takes six bytes), and
// then ends with "…". Empty fields are not written.
type Event struct {
	Event    string // what happened, such as connect.denied; 64 bytes
	Actor    string // who did it: its key as text. Flood control counts by it; 96
	Peer     string // to whom: a key as text; 96
	Name     string // the name in question; 256
	Tenant   string // its tenant; 40
	Target   string // what else it was done to: a name, a key; 296
	Decision string // allowed, denied; 32
	Rule     string // what decided; 200
	Reason   string // why; an error's text; 200
	Session  string // 40
	Channel  string // 48
	Source   string // address without its port. Flood control counts by it if Actor is empty; 96

	Unix     bool // UID and PID are known: what the kernel says of a Unix peer
	UID, PID int

	Bytes int64             // moved
	Dur   time.Duration     // taken; whole milliseconds are written
	N     uint64            // how many
	Attrs map[string]string // anything else: 8 entries; 32 bytes a key, 160 a value. Not to be changed afterwards
}

// Record is an event in its place in the log.
type Record struct {
	Seq  uint64 // 1 for the first record of a log, then one more each
	Wall int64  // milliseconds since 1970 by the clock on the wall, which jumps
	Mono int64  // milliseconds since the start of the writer, which never run back
	Boot string // which start of the writer: 16 hexadecimal digits
	Prev Hash   // of the line before
	Event
}

// Time is Wall as a time.
func (r *Record) Time() time.Time { return time.UnixMilli(r.Wall) }

// Hash is the SHA-256 of a line without its line end. The first record's Prev is all
// zeros.
type Hash [sha256.Size]byte

// String is 64 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText is String's text.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) {
		return fmt.Errorf("audit: a hash has 64 digits, not %d", len(text))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

const (
	maxEvent, maxKey, maxName, maxTenant = 64, 96, 256, 40
	maxTarget, maxDecision, maxText      = 296, 32, 200
	maxSession, maxChannel, maxSource    = 40, 48, 96
	maxAttrs, maxAttrKey, maxAttrValue   = 8, 32, 160
	maxBoot                              = 16
	ellipsis                             = 6 // "…" as it is written
)

// texts are the fields of text with the names and limits they have in a line.
func (e *Event) texts() [12]struct {
	name string
	text *string
	max  int
} {
	return [...]struct {
		name string
		text *string
		max  int
	}{
		{"event", &e.Event, maxEvent}, {"actor", &e.Actor, maxKey}, {"peer", &e.Peer, maxKey},
		{"name", &e.Name, maxName}, {"tenant", &e.Tenant, maxTenant}, {"target", &e.Target, maxTarget},
		{"decision", &e.Decision, maxDecision}, {"rule", &e.Rule, maxText}, {"reason", &e.Reason, maxText},
		{"session", &e.Session, maxSession}, {"channel", &e.Channel, maxChannel}, {"source", &e.Source, maxSource},
	}
}

// reserve marks a word that only the log itself writes.
func (e *Event) reserve() {
	switch e.Event {
	case EventHead, EventGap, EventSuppressed, EventRotate, EventLagged, "":
		e.Event = "?" + e.Event
	}
}

// trim cuts fields that are longer than any form of them could be written, so that a
// queue of events holds no more than their limits.
func (e *Event) trim() {
	for _, f := range e.texts() {
		*f.text = fit(*f.text, f.max)
	}
	if len(e.Attrs) > 0 {
		e.Attrs = fitAttrs(e.Attrs, MaxLine)
	}
}

// long reports whether trim has anything to cut.
func (e *Event) long() bool {
	if len(e.Event) > maxEvent || len(e.Actor) > maxKey || len(e.Peer) > maxKey || len(e.Name) > maxName ||
		len(e.Tenant) > maxTenant || len(e.Target) > maxTarget || len(e.Decision) > maxDecision ||
		len(e.Rule) > maxText || len(e.Reason) > maxText || len(e.Session) > maxSession ||
		len(e.Channel) > maxChannel || len(e.Source) > maxSource || len(e.Attrs) > maxAttrs {
		return true
	}
	for k, v := range e.Attrs {
		if len(k) > maxAttrKey || len(v) > maxAttrValue {
			return true
		}
	}
	return false
}

// fit is s if it takes no more than most bytes as it is written, else what of its
// beginning does, and "…". What is not UTF-8 becomes U+FFFD.
func fit(s string, most int) string {
	if len(s) <= most && plain(s) {
		return s
	}
	var out []byte
	size, cut := 0, 0
	for _, r := range s {
		size += written(r)
		if size > most {
			return string(out[:cut]) + "…"
		}
		out = utf8.AppendRune(out, r)
		if size <= most-ellipsis {
			cut = len(out)
		}
	}
	return string(out)
}

// fitAttrs is a copy of attrs as they are written where room bytes are left: the
// first ones by their keys that fit.
func fitAttrs(attrs map[string]string, room int) map[string]string {
	fitted := make(map[string]string)
	room -= len(`,"attrs":{}`) - 1 // the first has no comma
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		key, value := fit(k, maxAttrKey), fit(attrs[k], maxAttrValue)
		size := len(`,"":""`) + writtenLen(key) + writtenLen(value)
		if _, twice := fitted[key]; twice || size > room || len(fitted) == maxAttrs {
			continue
		}
		room -= size
		fitted[key] = value
	}
	return fitted
}
