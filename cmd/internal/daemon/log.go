package daemon

import (
	"bytes"
	"context"
	"encoding"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

// maxRecord bounds one log record, in bytes as written.
const maxRecord = 2 << 10

// recordHead is set aside of maxRecord for time, level, quotes and the mark of a
// cut.
const recordHead = 128

// newLogger makes the command's logger. Its records are single lines, for the
// handlers of log/slog escape control characters, and at most maxRecord bytes
// long: peers choose some of what is logged.
func newLogger(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(clipHandler{next: slog.NewJSONHandler(jsonWriter{w}, opts), room: maxRecord - recordHead})
	}
	return slog.New(clipHandler{next: slog.NewTextHandler(w, opts), room: maxRecord - recordHead})
}

// jsonWriter escapes what the JSON handler leaves as it is: control characters
// above ASCII, and invisible ones that turn the direction of text. Each Write is
// one record.
type jsonWriter struct{ w io.Writer }

// Write returns len(record) unless w fails.
func (j jsonWriter) Write(record []byte) (int, error) {
	line := append(slices.Clip(term.JSON(bytes.TrimSuffix(record, []byte("\n")))), '\n')
	if _, err := j.w.Write(line); err != nil {
		return 0, err
	}
	return len(record), nil
}

// clipHandler cuts values so that the records of the handler behind it stay
// within room bytes. Room shrinks with the attributes that were added for good.
type clipHandler struct {
	next slog.Handler
	room int
}

// Enabled asks the handler behind.
func (h clipHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle passes a clipped copy of r on.
func (h clipHandler) Handle(ctx context.Context, r slog.Record) error {
	room := h.room
	message, room := clip(r.Message, room)
	out := slog.NewRecord(r.Time, r.Level, message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a, room = clipAttr(a, room); a.Key != "" {
			out.AddAttrs(a)
		}
		return true
	})
	return h.next.Handle(ctx, out)
}

// WithAttrs adds clipped attributes for good. They get at most half of what is
// left, so that a record always has something of its own.
func (h clipHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	half := h.room / 2
	room := half
	var kept []slog.Attr
	for _, a := range attrs {
		if a, room = clipAttr(a, room); a.Key != "" {
			kept = append(kept, a)
		}
	}
	return clipHandler{next: h.next.WithAttrs(kept), room: h.room - (half - room)}
}

// WithGroup opens a group. Its name is ours, not a peer's.
func (h clipHandler) WithGroup(name string) slog.Handler {
	return clipHandler{next: h.next.WithGroup(name), room: h.room - len(name) - 8}
}

// clipAttr cuts a to fit into room and returns what is left. An attribute for
// which there is no room at all comes back empty.
func clipAttr(a slog.Attr, room int) (slog.Attr, int) {
	a.Value = a.Value.Resolve()
	room -= len(a.Key) + 4 // space, "=", quotes
	if room <= 0 {
		return slog.Attr{}, 0
	}
	switch a.Value.Kind() {
	case slog.KindString, slog.KindAny, slog.KindGroup:
		var text string
		text, room = clip(valueText(a.Value), room)
		a.Value = slog.StringValue(text)
	default: // numbers, times: short
		room -= 32
	}
	return a, room
}

// valueText is how v is logged.
func valueText(v slog.Value) string {
	switch x := v.Any().(type) {
	case string:
		return x
	case error:
		return x.Error()
	case encoding.TextMarshaler:
		if text, err := x.MarshalText(); err == nil {
			return string(text)
		}
	}
	return v.String()
}

// clip cuts s so that it takes at most room bytes when escaped, and returns the
// room that is left.
func clip(s string, room int) (string, int) {
	used := 0
	for i, r := range s {
		n := utf8.RuneLen(r)
		if !strconv.IsPrint(r) || r == utf8.RuneError || r == '"' || r == '\\' {
			n = max(6, len(strconv.QuoteRune(r))-2) // \u001b in JSON, \U000e0001 in text
			if r > 0xffff {
				n = 12 // \udb40\udc01 in JSON
			}
		}
		if used+n > room {
			return s[:i] + "…", 0
		}
		used += n
	}
	return s, room - used
}
