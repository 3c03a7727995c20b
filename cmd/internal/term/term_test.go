package term_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

func ExampleTable() {
	err := term.Table(os.Stdout, term.Colour{}, [][]string{
		{"NAME", "VIA"},
		{"org.example.echo", "unix"},
		{"\x1b[2Jx", "net"},
	})
	fmt.Println(err)
	// Output:
	// NAME              VIA
	// org.example.echo  unix
	// \x1b[2Jx          net
	// <nil>
}

func TestEscape(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain text, größer, 名前", "plain text, größer, 名前"},
		{"a\nb\tc\r", `a\nb\tc\r`},
		{"\x1b[31m\x07\x00", `\x1b[31m\a\x00`},
		{"\u009b31m", `\u009b31m`},
		{"\xff\x9b", `\xff\x9b`},
		{"\u202e\u2028\ufeff", `\u202e\u2028\ufeff`},
		{"\ufffd", "\ufffd"},
		{"\U000e0041", `\U000e0041`},
		{`back\slash "quote"`, `back\slash "quote"`},
	}
	for _, tt := range tests {
		if got := term.Escape(tt.in); got != tt.want {
			t.Errorf("Escape(%q): got %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := term.Error(errors.Join(errors.New("a"), errors.New("b\x1b"))); got != `a; b\x1b` {
		t.Errorf("Error: got %q", got)
	}
}

func TestWriter(t *testing.T) {
	const in = "größe\tx\r\nbad\rcover \x1b]0;title\x07 \u009b \xe2\x28 \xf0\x9f\x98\x80 end\xe2\x82"
	const want = "größe\tx\r\nbad\\rcover \\x1b]0;title\\a \\u009b \\xe2( \U0001f600 end\\xe2\\x82"
	for name, read := range map[string]func(*strings.Reader) string{
		"whole":       func(r *strings.Reader) string { return through(t, r, false) },
		"byte a time": func(r *strings.Reader) string { return through(t, r, true) },
	} {
		if got := read(strings.NewReader(in)); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func through(t *testing.T, r *strings.Reader, single bool) string {
	var out strings.Builder
	w := &term.Writer{W: &out}
	buf := make([]byte, 64)
	src := iotest.DataErrReader(r)
	if single {
		src = iotest.OneByteReader(r)
	}
	for {
		n, err := src.Read(buf)
		if m, werr := w.Write(buf[:n]); m != n || werr != nil {
			t.Fatalf("Write: got %d, %v, want %d", m, werr, n)
		}
		if err != nil {
			break
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What JSON escapes means the same as before.
func FuzzJSON(f *testing.F) {
	f.Add("a\u009b\u202e\U000e0041\x7f\ufffd")
	f.Add(`"<>&`)
	f.Fuzz(func(t *testing.T, s string) {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		safe := term.JSON(text)
		if got := term.Escape(string(safe)); got != string(safe) {
			t.Fatalf("got unprintable %q", safe)
		}
		var before, after string
		if err := errors.Join(json.Unmarshal(text, &before), json.Unmarshal(safe, &after)); err != nil {
			t.Fatal(err)
		}
		if before != after {
			t.Fatalf("got %q, want %q", after, before)
		}
	})
}
