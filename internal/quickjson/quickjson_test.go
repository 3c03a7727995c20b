package quickjson_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/cad2f06c/switchboard/internal/quickjson"
)

var texts = []string{
	`null`, `true`, `false`, `0`, `-1`, `12.50`, `""`, `"a b"`, `[]`, `{}`, `[1,"x",[true],{"a":null}]`,
	" { \"a\" : [ 1 , 2 ] ,\n\t\"b\":{}\r} ", `{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `[01]`, `[-]`, `[- 1]`, `[1.]`, `[.5]`, `1e3`,
	`[1,]`, `[,1]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:2}`, `tru`, `truex`, `"\u0041"`, `"é"`, `[[[[[[[[[1]]]]]]]]]`, `[1 2]`, `{} {}`, `"`, `[`, `{"a":1`,
	`{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1}`,
}

// skip reports whether a Reader takes b.
func skip(b []byte) bool {
	r := quickjson.NewReader(b)
	r.Skip()
	return r.OK()
}

func TestSkip(t *testing.T) {
	// In the profile, and plain.
	want := map[int]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true, 10: true, 11: true}
	for i, text := range texts {
		if got := skip([]byte(text)); got != want[i] {
			t.Errorf("%s: %v, want %v", text, got, want[i])
		}
	}
}

func TestReader(t *testing.T) {
	r := quickjson.NewReader([]byte(` {"t" : "x", "n": 1234567890123456789 ,"b":[true,false], "rest": {"a":[ 1]} } `))
	var text, rest string
	var n uint64
	var flags []bool
	for r.Enter('{'); r.More('}'); {
		switch string(r.Name()) {
		case "t":
			text = string(r.Text())
		case "n":
			n = r.Uint()
		case "b":
			for r.Enter('['); r.More(']'); {
				flags = append(flags, r.Bool())
			}
		case "rest":
			rest = string(r.Skip())
		}
	}
	if !r.OK() || text != "x" || n != 1234567890123456789 || len(flags) != 2 || !flags[0] || flags[1] || rest != `{"a":[ 1]}` {
		t.Error(r.OK(), text, n, flags, rest)
	}
}

func TestUintGivesUp(t *testing.T) {
	for _, text := range []string{``, `-1`, `01`, `1.0`, `1e1`, `1E1`, `12345678901234567890`, `"1"`, `null`} {
		r := quickjson.NewReader([]byte(text))
		if n := r.Uint(); r.OK() || n != 0 && text[0] != '1' {
			t.Errorf("%s: %d", text, n)
		}
	}
}

// FuzzReader: what is taken is JSON, and no field of an object comes twice.
func FuzzReader(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !skip(b) {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("%q is taken", b)
		}
		// A second field of the same name would be lost here.
		var v any
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := bytes.Count(again, []byte(`:`)), bytes.Count(b, []byte(`:`)); got != want {
			t.Fatalf("%q is taken, and is %q", b, again)
		}
	})
}

// FuzzAppend: what is written is what package json writes.
func FuzzAppend(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Add("a<b>&\u2028\x00\xff\"\\")
	f.Fuzz(func(t *testing.T, text string) {
		want, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := quickjson.AppendText([]byte("x"), text); string(got) != "x"+string(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		want, err = json.Marshal(json.RawMessage(text))
		if err != nil {
			return
		}
		if got := quickjson.AppendRaw([]byte("x"), json.RawMessage(text)); string(got) != "x"+string(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
