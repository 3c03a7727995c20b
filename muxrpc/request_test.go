package muxrpc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/muxrpc"
)

func TestParseRequest(t *testing.T) {
	nested := func(n int) string { // the request and args are two levels themselves
		return `{"name":"a","args":[` + strings.Repeat("[", n-2) + strings.Repeat("]", n-2) + `]}`
	}
	tests := []struct {
		name  string
		flags byte
		body  string
		want  string // NAME TYPE ARGS, or empty for bad_request
	}{
		{"name is a string", 2, `{"name":"manifest","args":[]}`, `manifest async []`},
		{"name is an array", 2, `{"name":["names","claim"],"args":[{"name":"a.b"}],"type":"async"}`, `names.claim async [{"name":"a.b"}]`},
		{"no type", 2, `{"name":["a"],"args":["hi"]}`, `a async ["hi"]`},
		{"type sync", 2, `{"name":["a"],"args":[],"type":"sync"}`, `a async []`},
		{"type empty", 2, `{"name":["a"],"args":[],"type":""}`, `a async []`},
		{"source", 10, `{"name":["a"],"args":[],"type":"source"}`, `a source []`},
		{"sink", 10, `{"name":["a"],"args":[],"type":"sink"}`, `a sink []`},
		{"duplex", 10, `{"name":["a"],"args":[],"type":"duplex"}`, `a duplex []`},
		{"upper flags", 0xf2, `{"name":"a","args":[]}`, `a async []`},
		{"space everywhere", 2, " { \"name\" : [ \"a\" ] ,\n\t\"args\" : [ 1 , 2 ] } \r\n", `a async [1 2]`},
		{"unknown fields", 2, `{"x":{"y":[1,2]},"name":"a","args":[],"Name":"b"}`, `a async []`},
		{"escapes in names", 2, `{"n\u0061me":"\u0061\u00e9\ud83d\ude00","args":[]}`, "aé😀 async []"},
		{"all values", 2, `{"name":"a","args":[null,true,false,-0.5e+7,"\"\\\/\b\f\n\r\t",{},[]]}`, `a async [null true false -0.5e+7 "\"\\\/\b\f\n\r\t" {} []]`},
		{"16 levels", 2, nested(16), `a async [` + strings.Repeat("[", 14) + strings.Repeat("]", 14) + `]`},
		{"same name in two objects", 2, `{"name":"a","args":[{"b":1},{"b":2}]}`, `a async [{"b":1} {"b":2}]`},

		{"17 levels", 2, nested(17), ""},
		{"empty body", 2, ``, ""},
		{"null", 2, `null`, ""},
		{"array", 2, `["a"]`, ""},
		{"text body", 1, `{"name":"a","args":[]}`, ""},
		{"bytes body", 0, `{"name":"a","args":[]}`, ""},
		{"body type 3", 3, `{"name":"a","args":[]}`, ""},
		{"END", 6, `{"name":"a","args":[]}`, ""},
		{"no name", 2, `{"args":[]}`, ""},
		{"empty name", 2, `{"name":"","args":[]}`, ""},
		{"empty array of names", 2, `{"name":[],"args":[]}`, ""},
		{"number as name", 2, `{"name":1,"args":[]}`, ""},
		{"number in name", 2, `{"name":["a",1],"args":[]}`, ""},
		{"no args", 2, `{"name":"a"}`, ""},
		{"args is an object", 2, `{"name":"a","args":{}}`, ""},
		{"args is null", 2, `{"name":"a","args":null}`, ""},
		{"unknown type", 2, `{"name":"a","args":[],"type":"blub"}`, ""},
		{"unknown stream type", 10, `{"name":"a","args":[],"type":"blub"}`, ""},
		{"type is null", 2, `{"name":"a","args":[],"type":null}`, ""},
		{"async with STREAM", 10, `{"name":"a","args":[],"type":"async"}`, ""},
		{"no type with STREAM", 10, `{"name":"a","args":[]}`, ""},
		{"source without STREAM", 2, `{"name":"a","args":[],"type":"source"}`, ""},
		{"repeated field", 2, `{"name":"a","args":[],"name":"b"}`, ""},
		{"repeated field, escaped", 2, `{"name":"a","args":[],"n\u0061me":"b"}`, ""},
		{"repeated field, deep", 2, `{"name":"a","args":[{"x":[{"y":1,"z":2,"y":3}]}]}`, ""},
		{"half a surrogate pair", 2, `{"name":"\ud800","args":[]}`, ""},
		{"two high halves", 2, `{"name":"\ud800\ud800","args":[]}`, ""},
		{"lone low half", 2, `{"name":"\udc00","args":[]}`, ""},
		{"bad UTF-8", 2, "{\"name\":\"\xff\",\"args\":[]}", ""},
		{"overlong UTF-8", 2, "{\"name\":\"\xc0\x80\",\"args\":[]}", ""},
		{"byte order mark", 2, "\ufeff{\"name\":\"a\",\"args\":[]}", ""},
		{"control character", 2, "{\"name\":\"a\n\",\"args\":[]}", ""},
		{"control character behind an escape", 2, "{\"name\":\"\\n\n\",\"args\":[]}", ""},
		{"bad escape", 2, `{"name":"\x","args":[]}`, ""},
		{"short escape", 2, `{"name":"\u00`, ""},
		{"trailing comma", 2, `{"name":"a","args":[],}`, ""},
		{"trailing comma in array", 2, `{"name":"a","args":[1,]}`, ""},
		{"two values", 2, `{"name":"a","args":[]} {}`, ""},
		{"cut", 2, `{"name":"a","args":[`, ""},
		{"wrong bracket", 2, `{"name":"a","args":[}]`, ""},
		{"leading zero", 2, `{"name":"a","args":[01]}`, ""},
		{"bare minus", 2, `{"name":"a","args":[-]}`, ""},
		{"dot without digits", 2, `{"name":"a","args":[1.]}`, ""},
		{"exponent without digits", 2, `{"name":"a","args":[1e]}`, ""},
		{"word", 2, `{"name":"a","args":[tru]}`, ""},
		{"name without colon", 2, `{"name" "a"}`, ""},
		{"name is no string", 2, `{1:2}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := muxrpc.ParseRequest(muxrpc.Packet{Flags: tt.flags, Req: 1, Body: []byte(tt.body)})
			if tt.want == "" {
				var remote *muxrpc.RemoteError
				if !errors.As(err, &remote) || remote.Name != "bad_request" {
					t.Errorf("got %+v, %v, want bad_request", r, err)
				}
				return
			}
			if got := fmt.Sprintf("%s %s %s", r.Name, r.Type, r.Args); err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
	for _, req := range []int32{0, -1} {
		if _, err := muxrpc.ParseRequest(muxrpc.Packet{Flags: 2, Req: req, Body: []byte(`{"name":"a","args":[]}`)}); err == nil {
			t.Errorf("request number %d accepted", req)
		}
	}
}

// hostile are bodies of 64 KiB (F10) that are all refused, but for the first.
func hostile() map[string][]byte {
	const size = 64 << 10
	keys := func(last string) []byte {
		var b bytes.Buffer
		b.WriteString(`{"name":"a","args":[{`)
		for i := 0; b.Len() < size-32; i++ {
			fmt.Fprintf(&b, `"%x":0,`, i)
		}
		b.WriteString(last + `:0}]}`)
		return b.Bytes()
	}
	open := func(s string, n int) []byte { return []byte(`{"name":"a","args":[` + strings.Repeat(s, n)) }
	return map[string][]byte{
		"many keys":          keys(`"last"`),
		"many keys, one bad": keys(`"0"`),
		"duplicate keys":     append(append([]byte(`{"name":"a","args":[{`), bytes.Repeat([]byte(`"a":0,`), size/6-8)...), `"a":0}]}`...),
		"arrays":             open("[", 60000),
		"objects":            open(`{"":`, 15000),
		"bad UTF-8 at last":  append(bytes.Repeat([]byte(" "), size-1), 0xff),
		"one string":         open(`"`, 1),
		"escapes":            open(`"`+strings.Repeat(`\u0041`, 10000), 1),
		"objects of objects": open(`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9},`, 1000),
	}
}

// What each costs is measured by F10 of test/fault.
func TestParseRequestHostile(t *testing.T) {
	for name, body := range hostile() {
		t.Run(name, func(t *testing.T) {
			_, err := muxrpc.ParseRequest(muxrpc.Packet{Flags: 2, Req: 1, Body: body})
			if (err == nil) != (name == "many keys") {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestRemoteError(t *testing.T) {
	if got := (&muxrpc.RemoteError{Name: "busy"}).Error(); got != "busy" {
		t.Errorf("got %q", got)
	}
	if got := (&muxrpc.RemoteError{Name: "busy", Message: "later"}).Error(); got != "busy: later" {
		t.Errorf("got %q", got)
	}
	wire, err := json.Marshal(&muxrpc.RemoteError{Name: "busy", Message: "later"})
	if want := `{"name":"busy","message":"later","stack":""}`; err != nil || string(wire) != want {
		t.Errorf("got %s, %v, want %s", wire, err, want)
	}
}

// What ParseRequest accepts encoding/json accepts, with the same value.
func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		`{"name":["a","b"],"args":[{"x":[1,-2.5e3,"\ud83d\ude00"]},null,true],"type":"async"}`,
		`{"name":"manifest","args":[]}`, `{"n\u0061me":"a","args":[ ]}`, `{"name":"a","args":[{"a":1,"\u0061":2}]}`,
		`{"name":"\ud800","args":[]}`, ` {"type":"source" , "name":["x"],"args":["\\\"\/\b"]}`, `[[[[[[[[[[[[[[[[[`,
		`{"name":"a","args":[1e400,-0,0.10]}`,
	} {
		f.Add(byte(2), []byte(s))
		f.Add(byte(10), []byte(s))
	}
	f.Fuzz(func(t *testing.T, flags byte, body []byte) {
		r, err := muxrpc.ParseRequest(muxrpc.Packet{Flags: flags, Req: 1, Body: body})
		if err != nil {
			var remote *muxrpc.RemoteError
			if !errors.As(err, &remote) || remote.Name != "bad_request" {
				t.Fatalf("%v is no bad_request", err)
			}
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(body, &fields); err != nil {
			t.Fatalf("accepted %q: %v", body, err)
		}
		var name string
		if json.Unmarshal(fields["name"], &name) != nil {
			var list []string
			if err := json.Unmarshal(fields["name"], &list); err != nil {
				t.Fatal(err)
			}
			name = strings.Join(list, ".")
		}
		var kind string
		if raw, ok := fields["type"]; ok {
			if err := json.Unmarshal(raw, &kind); err != nil {
				t.Fatal(err)
			}
		}
		if kind == "" || kind == "sync" {
			kind = "async"
		}
		if r.Name != name || r.Type != kind {
			t.Fatalf("got %s %s, want %s %s", r.Name, r.Type, name, kind)
		}
		b, err := json.Marshal(r.Args)
		if err != nil {
			t.Fatal(err)
		}
		if want, got := values(t, fields["args"]), values(t, b); !reflect.DeepEqual(got, want) {
			t.Fatalf("args %s, want %s", b, fields["args"])
		}
	})
}

// TestManyArguments: 256 are taken, also by the quick way; more are refused.
func TestManyArguments(t *testing.T) {
	for _, space := range []string{"", " "} { // with a space it is no usual form
		for _, n := range []int{256, 257, 30_000} {
			body := `{"name":["a"],"args":[0` + strings.Repeat(","+space+"0", n-1) + `]}`
			r, err := muxrpc.ParseRequest(muxrpc.Packet{Flags: 2, Req: 1, Body: []byte(body)})
			if n > 256 != (err != nil) || err == nil && len(r.Args) != n {
				t.Errorf("%d arguments: %d taken, %v", n, len(r.Args), err)
			}
		}
	}
}

// values decodes an array. Numbers stay as they are written: one of 1e400 is
// good JSON, and no float64.
func values(t *testing.T, array []byte) (v []any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(array))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", array, err)
	}
	return v
}

func BenchmarkParseRequest(b *testing.B) {
	p := muxrpc.Packet{Flags: 2, Req: 1, Body: []byte(`{"name":["names","claim"],"args":[{"name":"org.example.echo","queue":true,"info":{"version":"1.0.0"}}],"type":"async"}`)}
	b.SetBytes(int64(len(p.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := muxrpc.ParseRequest(p); err != nil {
			b.Fatal(err)
		}
	}
}
