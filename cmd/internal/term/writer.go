package term

import (
	"io"
	"unicode/utf8"
)

// Writer passes text on to W and escapes what is not printable, but for tabs
// and line ends. It is for bytes of a peer that a person will look at. A
// character that is cut in two by Write is put together again; Flush writes what
// is left of one at the end.
type Writer struct {
	W io.Writer

	rest []byte // the begin of a character, or a carriage return
}

// Write escapes p. It returns len(p) unless W fails.
func (w *Writer) Write(p []byte) (int, error) {
	in := append(w.rest, p...)
	out := make([]byte, 0, len(in)+16)
	for len(in) > 0 {
		if in[0] == '\r' && len(in) == 1 || in[0] != '\r' && !utf8.FullRune(in) {
			break // the next Write tells
		}
		var size int
		out, size = appendText(out, in)
		in = in[size:]
	}
	w.rest = append([]byte(nil), in...)
	if _, err := w.W.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes an unfinished character as bytes.
func (w *Writer) Flush() error {
	var out []byte
	for in := w.rest; len(in) > 0; {
		var size int
		out, size = appendText(out, in)
		in = in[size:]
	}
	w.rest = nil
	_, err := w.W.Write(out)
	return err
}

// appendText appends the first character of in, escaped unless it is printable,
// a tab or a line end, and returns how many bytes it took. A carriage return
// alone would let what follows cover the line.
func appendText(out, in []byte) ([]byte, int) {
	switch {
	case in[0] == '\n' || in[0] == '\t':
		return append(out, in[0]), 1
	case in[0] == '\r' && len(in) > 1 && in[1] == '\n':
		return append(out, '\r', '\n'), 2
	}
	r, size := utf8.DecodeRune(in)
	return appendEscaped(out, r, string(in[:size])), size
}
