// Package term keeps what commands print fit for a terminal: aligned tables,
// colour only where it is wanted, and no control character that a peer chose.
// It holds no state of its own.
package term

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// IsTerminal reports whether f is a terminal, or at least a device that shows
// characters.
func IsTerminal(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}

// Colour is how to begin and end a coloured text. The zero value does nothing.
type Colour struct{ begin string }

// Palette are the colours of a command's output.
type Palette struct{ Head, Good, Bad, Change Colour }

// NewPalette returns colours for f: none unless it is a terminal, and none if
// NO_COLOR is set to anything or TERM is "dumb".
func NewPalette(f *os.File, getenv func(string) string) Palette {
	if !IsTerminal(f) || getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return Palette{}
	}
	return Palette{Head: Colour{"\x1b[1m"}, Good: Colour{"\x1b[32m"}, Bad: Colour{"\x1b[31m"}, Change: Colour{"\x1b[33m"}}
}

// Paint returns s in the colour.
func (c Colour) Paint(s string) string {
	if c.begin == "" {
		return s
	}
	return c.begin + s + "\x1b[0m"
}

// Error is err on one line, escaped: parts of it may be a peer's words.
func Error(err error) string {
	return Escape(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
}

// Escape returns s with all that is not printable written as Go escapes: control
// characters, invisible ones that turn the direction of text, and bytes that are
// no UTF-8.
func Escape(s string) string {
	if printable(s) {
		return s
	}
	out := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		out = appendEscaped(out, r, s[i:i+size])
		i += size
	}
	return string(out)
}

// printable reports whether s needs no escape.
func printable(s string) bool {
	for i, r := range s {
		if !strconv.IsPrint(r) || r == utf8.RuneError && s[i] != 0xef {
			return false
		}
	}
	return true
}

// appendEscaped appends rune r, which was read from raw.
func appendEscaped(out []byte, r rune, raw string) []byte {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Appendf(out, `\x%02x`, raw[0])
	case strconv.IsPrint(r):
		return append(out, raw...)
	}
	quoted := strconv.QuoteRune(r)
	return append(out, quoted[1:len(quoted)-1]...)
}

// JSON returns a valid JSON text with all that is not printable written as \u
// escapes, which mean the same to a reader of JSON. White space between tokens
// must be spaces.
func JSON(text []byte) []byte {
	if printable(string(text)) {
		return text
	}
	out := make([]byte, 0, len(text)+16)
	for _, r := range string(text) {
		switch {
		case strconv.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// Table prints rows as columns as wide as their longest cell, two spaces apart.
// Cells are escaped. The last column is not padded.
func Table(w io.Writer, head Colour, rows [][]string) error {
	var widths []int
	cells := make([][]string, len(rows))
	for i, row := range rows {
		for j, cell := range row {
			cell = Escape(cell)
			cells[i] = append(cells[i], cell)
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], utf8.RuneCountInString(cell))
		}
	}
	var out strings.Builder
	for i, row := range cells {
		var line strings.Builder
		for j, cell := range row {
			line.WriteString(cell)
			if j < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)+2))
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if i == 0 {
			text = head.Paint(text)
		}
		out.WriteString(text + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}
