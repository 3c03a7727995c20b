package audit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"encoding/json"

	"pgregory.net/rapid"
)

const huge = 1 << 20

// medium is past every limit, and quick.
const medium = 3000

// hostile are texts as strangers send them.
var hostile = []string{
	"", "plain", "two\nlines\r\n", "\x1b[31mred\x1b[0m", `quote " and \ back`, "\x00\x7f\u0085\u2028\u202e", "ümläut 日本 😀",
	"\xff\xfe broken \xc3", "\ufffd", "\ud7ff\ue000", strings.Repeat("a", huge), strings.Repeat("\n", huge), strings.Repeat("\xff", huge),
	strings.Repeat("😀", huge/4), `{"seq":1}`, "…", strings.Repeat("…", 50),
}

func anyText() *rapid.Generator[string] {
	var short []string
	for _, s := range hostile {
		short = append(short, s[:min(len(s), medium)])
	}
	return rapid.OneOf(rapid.SampledFrom(short), rapid.String(), rapid.StringMatching(`[a-z.]{0,300}`),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
}

func anyRecord(t *rapid.T) Record {
	r := Record{
		Seq:  rapid.Uint64().Draw(t, "seq"),
		Wall: rapid.Int64().Draw(t, "wall"),
		Mono: rapid.Int64().Draw(t, "mono"),
		Boot: anyText().Draw(t, "boot"),
	}
	copy(r.Prev[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "prev"))
	for _, f := range r.texts() {
		*f.text = anyText().Draw(t, f.name)
	}
	r.Unix = rapid.Bool().Draw(t, "unix")
	r.UID, r.PID = rapid.Int().Draw(t, "uid"), rapid.Int().Draw(t, "pid")
	r.Bytes, r.N = rapid.Int64().Draw(t, "bytes"), rapid.Uint64().Draw(t, "n")
	r.Dur = time.Duration(rapid.Int64().Draw(t, "dur"))
	r.Attrs = rapid.MapOfN(anyText(), anyText(), 0, 12).Draw(t, "attrs")
	return r
}

// TestRecordLine: whatever a record holds, its line is one, short and printable, and
// says what append left in the record (F66).
func TestRecordLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord(t)
		cut := r
		line := cut.append(nil)
		if !bytes.Equal(AppendRecord(nil, r), line) || !bytes.Equal(AppendRecord(nil, cut), line) {
			t.Fatal("the same record has two lines")
		}
		checkLine(t, line)
		read, err := ParseRecord(line)
		if err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		if !reflect.DeepEqual(read, cut) {
			t.Fatalf("wrote %+v\nread %+v", cut, read)
		}
		var again Record
		if text, err := json.Marshal(r); err != nil || json.Unmarshal(text, &again) != nil || !reflect.DeepEqual(again, cut) {
			t.Fatalf("as JSON it is %+v, %v", again, err)
		}
	})
}

func checkLine(t interface{ Fatalf(string, ...any) }, line []byte) {
	if len(line) > MaxLine {
		t.Fatalf("%d bytes: %s", len(line), line)
	}
	for i, c := range line {
		if end := i == len(line)-1; end != (c == '\n') || !end && (c < ' ' || c > '~') {
			t.Fatalf("byte %d is %q in %q", i, c, line)
		}
	}
}

// TestRecordFull: the longest line that there can be has room for the largest record
// of every field, and for one attribute more.
func TestRecordFull(t *testing.T) {
	for _, long := range hostile {
		r := Record{Seq: 1<<64 - 1, Wall: -1 << 63, Mono: -1 << 63, Boot: long, Event: Event{
			Unix: true, UID: -1 << 63, PID: -1 << 63, Bytes: -1 << 63, Dur: -1 << 63, N: 1<<64 - 1,
			Attrs: map[string]string{"a": strings.Repeat("x", 60), long + "b": long}}}
		for _, f := range r.texts() {
			*f.text = long
		}
		line := r.append(nil)
		checkLine(t, line)
		if r.Attrs["a"] == "" {
			t.Errorf("of %.20q no attribute is left", long)
		}
		if _, err := ParseRecord(line); err != nil {
			t.Error(err)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		in   string
		most int
		want string
	}{
		{"abc", 3, "abc"}, {"abcdefghijk", 10, "abcd…"}, {"abcdefghij", 10, "abcdefghij"},
		{"a\nb", 8, "a\nb"}, {"a\nbc", 8, "a…"}, {`""""`, 8, `""""`}, {`"""""`, 8, `"…`},
		{"\xff", 6, "\ufffd"}, {"\xff\xff", 11, "…"}, {"😀", 12, "😀"}, {"😀", 11, "…"}, {"ab\u202e", 8, "ab\u202e"},
	} {
		if got := fit(c.in, c.most); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.in, c.most, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s, most := anyText().Draw(t, "s"), rapid.IntRange(6, 300).Draw(t, "most")
		got := fit(s, most)
		if fit(got, most) != got || writtenLen(got) > most {
			t.Fatalf("fit(%.50q, %d) = %q, which does not stay", s, most, got)
		}
		if !strings.HasSuffix(got, "…") && got != strings.ToValidUTF8(strings.Map(func(r rune) rune { return r }, s), "\ufffd") {
			t.Fatalf("fit(%.50q, %d) = %q is another text", s, most, got)
		}
	})
}

func TestAttrs(t *testing.T) {
	attrs := make(map[string]string)
	for i := range 20 {
		attrs[fmt.Sprintf("key%02d", i)] = "v"
	}
	given := maps.Clone(attrs)
	r := Record{Event: Event{Event: "x", Attrs: attrs}}
	r.append(nil)
	if len(r.Attrs) != maxAttrs || r.Attrs["key00"] != "v" || r.Attrs["key07"] != "v" {
		t.Errorf("got %v, want the first %d", r.Attrs, maxAttrs)
	}
	if !maps.Equal(attrs, given) {
		t.Error("the caller's map was changed")
	}
}

// TestParseRecord: what is not byte for byte as it is written is no record.
func TestParseRecord(t *testing.T) {
	r := Record{Seq: 7, Wall: 1, Mono: 2, Boot: "b", Event: Event{Event: "x", Reason: "a\nb", Attrs: map[string]string{"k": "v"}}}
	good := string(bytes.TrimSuffix(AppendRecord(nil, r), []byte("\n")))
	if _, err := ParseRecord([]byte(good)); err != nil {
		t.Fatal(err)
	}
	otherwise := 0
	for _, bad := range []string{
		"", "{}", "null", "[]", "x", " " + good, good + " ", good + good, good + "\n\n", strings.Replace(good, `"x"`, `"y"`, 1),
		strings.Replace(good, ":7", ":07", 1), strings.Replace(good, ":7", ": 7", 1), strings.Replace(good, `"seq"`, `"SEQ"`, 1),
		strings.Replace(good, `\u000a`, `\u000A`, 1), strings.Replace(good, `\u000a`, `\n`, 1), strings.Replace(good, `"x"`, `"x","event":"x"`, 1),
		strings.Replace(good, `"x"`, `"x","password":"y"`, 1), strings.Replace(good, `{"seq":7,"wall":1`, `{"wall":1,"seq":7`, 1),
		good[:len(good)-1], good[1:], strings.Replace(good, `"crc":"`, `"crc":"A`, 1), strings.Repeat(" ", MaxLine) + good,
	} {
		if before, _, ok := strings.Cut(bad, `,"crc"`); ok && strings.HasSuffix(bad, good[len(good)-10:]) { // by one who makes the checksum good
			summed := string(appendSum([]byte(before), []byte(before)))
			if r, err := ParseRecord([]byte(summed)); err == nil && string(AppendRecord(nil, r)) != summed+"\n" {
				t.Errorf("%q is read as %+v", summed, r)
			} else if err != nil {
				otherwise++
			}
		}
		if r, err := ParseRecord([]byte(bad)); !errors.Is(err, ErrRecord) {
			t.Errorf("%q is read as %+v, %v", bad, r, err)
		}
	}
	if otherwise < 8 {
		t.Errorf("only %d lines were refused for more than their checksum", otherwise)
	}
}

// TestEventHasNoPlace: there is no field for payloads or secrets.
func TestEventHasNoPlace(t *testing.T) {
	for f := range reflect.TypeFor[Event]().Fields() {
		switch f.Type.Kind() {
		case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64, reflect.Map:
		default:
			t.Errorf("field %s is a %v", f.Name, f.Type)
		}
	}
}

// FuzzRecord: a line that is taken is the line that its record has.
func FuzzRecord(f *testing.F) {
	for i, s := range hostile {
		r := Record{Seq: uint64(i), Event: Event{Event: s, Reason: s, Unix: i%2 == 0, UID: i, Attrs: map[string]string{s: s}}}
		f.Add(AppendRecord(nil, r))
	}
	f.Add([]byte(`{"seq":1,"wall":1,"mono":1,"boot":"","prev":"","event":"\ud800","ms":9223372036854775807,"crc":"00000000"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if before, _, ok := bytes.Cut(text, []byte(`,"crc"`)); ok { // the checksum is to keep nobody out
			text = appendSum(before, bytes.Clone(before))
		}
		r, err := ParseRecord(text)
		if err != nil {
			return
		}
		line := AppendRecord(nil, r)
		checkLine(t, line)
		if !bytes.Equal(bytes.TrimSuffix(line, []byte("\n")), bytes.TrimSuffix(text, []byte("\n"))) {
			t.Fatalf("%q is read, and written as %q", text, line)
		}
	})
}
