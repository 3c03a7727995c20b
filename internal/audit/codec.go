package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"time"
)

// MaxLine is how long a line can be, with its line end.
const MaxLine = 2048

// tail is what stands behind the attributes: the checksum and the line end.
const tail = len(`,"crc":"01234567"}`) + 1

// ErrRecord says that a line is no record as this package writes it.
var ErrRecord = errors.New("audit: not a record")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendRecord appends r as one line of at most MaxLine bytes with its line end: JSON
// in printable ASCII, the fields in one order, with a checksum of the rest of the
// line. Fields that are too long are cut.
func AppendRecord(b []byte, r Record) []byte { return r.append(b) }

// append is AppendRecord. It leaves in r what was written.
func (r *Record) append(b []byte) []byte {
	start := len(b)
	b = appendNumber(b, `{"seq":`, r.Seq)
	b = appendInt(b, `,"wall":`, r.Wall)
	b = appendInt(b, `,"mono":`, r.Mono)
	r.Boot = fit(r.Boot, maxBoot)
	b = appendText(b, `,"boot":`, r.Boot)
	b = append(hex.AppendEncode(append(b, `,"prev":"`...), r.Prev[:]), '"')
	for _, f := range r.texts() {
		if *f.text == "" {
			continue
		}
		b = append(append(append(b, `,"`...), f.name...), `":`...)
		if len(*f.text) <= f.max && plain(*f.text) {
			b = append(append(append(b, '"'), *f.text...), '"')
			continue
		}
		*f.text = fit(*f.text, f.max)
		b = appendText(b, "", *f.text)
	}
	b = r.appendNumbers(b)
	b = r.appendAttrs(b, MaxLine-tail-(len(b)-start))
	return append(appendSum(b, b[start:]), '\n')
}

// appendSum appends the checksum of what stands before it in the line.
func appendSum(b, before []byte) []byte {
	sum := crc32.Checksum(before, castagnoli)
	b = append(b, `,"crc":"`...)
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[sum>>shift&15])
	}
	return append(b, `"}`...)
}

// summed reports whether the checksum of a line is right. The line has no end.
func summed(text []byte) bool {
	end := len(text) - (tail - 1)
	return end > 0 && bytes.Equal(appendSum(nil, text[:end]), text[end:])
}

func (r *Record) appendNumbers(b []byte) []byte {
	if r.Unix {
		b = appendInt(b, `,"uid":`, int64(r.UID))
		b = appendInt(b, `,"pid":`, int64(r.PID))
	} else {
		r.UID, r.PID = 0, 0
	}
	if r.Bytes != 0 {
		b = appendInt(b, `,"bytes":`, r.Bytes)
	}
	if ms := r.Dur.Milliseconds(); ms != 0 {
		b = appendInt(b, `,"ms":`, ms)
	}
	r.Dur = r.Dur.Truncate(time.Millisecond)
	if r.N != 0 {
		b = appendNumber(b, `,"n":`, r.N)
	}
	return b
}

// appendAttrs writes the attributes in the order of their keys, into room bytes.
func (r *Record) appendAttrs(b []byte, room int) []byte {
	if len(r.Attrs) > 0 {
		r.Attrs = fitAttrs(r.Attrs, room)
	}
	if len(r.Attrs) == 0 {
		r.Attrs = nil
		return b
	}
	before := `,"attrs":{`
	for _, k := range slices.Sorted(maps.Keys(r.Attrs)) {
		b = appendText(b, before, k)
		b = appendText(b, ":", r.Attrs[k])
		before = ","
	}
	return append(b, '}')
}

func appendNumber(b []byte, key string, n uint64) []byte {
	return strconv.AppendUint(append(b, key...), n, 10)
}

func appendInt(b []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(b, key...), n, 10)
}

// plain reports whether s is written as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// written is how many bytes a character takes.
func written(r rune) int {
	switch {
	case r == '"' || r == '\\':
		return 2
	case r >= ' ' && r <= '~':
		return 1
	case r > 0xffff:
		return 12
	}
	return 6
}

func writtenLen(s string) (n int) {
	for _, r := range s {
		n += written(r)
	}
	return n
}

// appendText appends key and s as a JSON string. Whatever a terminal or a reader of
// lines might obey is escaped, which is all but printable ASCII.
func appendText(b []byte, key, s string) []byte {
	b = append(append(b, key...), '"')
	if plain(s) {
		return append(append(b, s...), '"')
	}
	for _, r := range s {
		switch written(r) {
		case 1:
			b = append(b, byte(r))
		case 2:
			b = append(b, '\\', byte(r))
		case 6:
			b = appendUnit(b, r)
		default: // a surrogate pair
			b = appendUnit(b, 0xd800|(r-0x10000)>>10)
			b = appendUnit(b, 0xdc00|(r-0x10000)&0x3ff)
		}
	}
	return append(b, '"')
}

func appendUnit(b []byte, u rune) []byte {
	b = append(b, '\\', 'u')
	for shift := 12; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[u>>shift&15])
	}
	return b
}

// line is a record as package json reads it.
type line struct {
	Seq      uint64            `json:"seq"`
	Wall     int64             `json:"wall"`
	Mono     int64             `json:"mono"`
	Boot     string            `json:"boot"`
	Prev     Hash              `json:"prev"`
	Event    string            `json:"event"`
	Actor    string            `json:"actor"`
	Peer     string            `json:"peer"`
	Name     string            `json:"name"`
	Tenant   string            `json:"tenant"`
	Target   string            `json:"target"`
	Decision string            `json:"decision"`
	Rule     string            `json:"rule"`
	Reason   string            `json:"reason"`
	Session  string            `json:"session"`
	Channel  string            `json:"channel"`
	Source   string            `json:"source"`
	UID      *int              `json:"uid"`
	PID      int               `json:"pid"`
	Bytes    int64             `json:"bytes"`
	MS       int64             `json:"ms"`
	N        uint64            `json:"n"`
	Attrs    map[string]string `json:"attrs"`
}

// ParseRecord reads one line; its line end may be missing. It takes only what
// AppendRecord writes, byte for byte, so that no other reader can understand a line
// in another way. The error is ErrRecord with the reason.
func ParseRecord(text []byte) (Record, error) {
	text = bytes.TrimSuffix(text, []byte{'\n'})
	if len(text) >= MaxLine {
		return Record{}, fmt.Errorf("%w: %d bytes, not below %d", ErrRecord, len(text), MaxLine)
	}
	if !summed(text) {
		return Record{}, fmt.Errorf("%w: the checksum is wrong", ErrRecord)
	}
	r, err := parse(text)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	again := r // append may cut it
	if b := again.append(make([]byte, 0, MaxLine)); !bytes.Equal(b[:len(b)-1], text) {
		return Record{}, fmt.Errorf("%w: it is written in another way", ErrRecord)
	}
	return r, nil
}

// parse reads JSON of any form.
func parse(text []byte) (Record, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return Record{}, err
	}
	r := Record{l.Seq, l.Wall, l.Mono, l.Boot, l.Prev, Event{
		l.Event, l.Actor, l.Peer, l.Name, l.Tenant, l.Target, l.Decision, l.Rule, l.Reason, l.Session, l.Channel, l.Source,
		l.UID != nil, 0, l.PID, l.Bytes, time.Duration(l.MS) * time.Millisecond, l.N, l.Attrs}}
	if l.UID != nil {
		r.UID = *l.UID
	}
	return r, nil
}

// MarshalJSON is the record's line without its line end.
func (r Record) MarshalJSON() ([]byte, error) {
	b := r.append(nil)
	return b[:len(b)-1], nil
}

// UnmarshalJSON reads what MarshalJSON wrote, and forgives spaces, another order and
// a checksum that is wrong: what is read is no evidence. ParseRecord is strict.
func (r *Record) UnmarshalJSON(text []byte) error {
	read, err := parse(text)
	if err == nil {
		*r = read
	}
	return err
}
