package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// F66: one record per line, escaped, at most 2 KiB, whatever peers choose.
func TestLogRecordsAreShortSingleLines(t *testing.T) {
	nasty := []string{
		"two\nlines", "\u009b31m\u0085", "\x1b[31mred\x1b[0m", "\x00\x07\r", "\xff\xfe\xfd", "\u202eback", "\u2028", `quo"te\`,
		strings.Repeat("x", 1<<20), strings.Repeat("\n", 1<<20), strings.Repeat("\x1b", 1<<20),
		strings.Repeat("\u202e", 1<<18), strings.Repeat("\U000e0001", 1<<18), strings.Repeat("\xff", 1<<20), strings.Repeat("<", 1<<20),
	}
	for _, format := range []string{"text", "json"} {
		for _, bad := range nasty {
			var out bytes.Buffer
			log := newLogger(&out, slog.LevelInfo, format)
			log.With("peer", bad, "remote", bad).WithGroup("g").Warn(bad, "name", bad, "err", errors.New(bad), "code", bad, "in", 7)
			text := out.Bytes()
			if n := bytes.Count(text, []byte("\n")); n != 1 || text[len(text)-1] != '\n' {
				t.Errorf("%s, %.10q: got %d lines, want 1", format, bad, n)
			}
			if len(text) > maxRecord {
				t.Errorf("%s, %.10q: got %d bytes, want at most %d", format, bad, len(text), maxRecord)
			}
			if !utf8.Valid(text) {
				t.Errorf("%s, %.10q: got no UTF-8", format, bad)
			}
			for _, r := range string(text[:len(text)-1]) {
				if !strconv.IsPrint(r) {
					t.Errorf("%s, %.10q: got unprintable %q", format, bad, r)
					break
				}
			}
			if format == "json" && !json.Valid(text) {
				t.Errorf("%.10q: got no JSON: %.100q", bad, text)
			}
		}
	}
}

func TestLogKeepsShortValues(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, slog.LevelInfo, "text")
	log.Debug("not logged")
	log.With("session", ":17").Info("session begins", "name", "org.example.echo", "in", 7)
	if got := out.String(); !strings.HasSuffix(got, `level=INFO msg="session begins" session=:17 name=org.example.echo in=7`+"\n") {
		t.Errorf("got %q", got)
	}
}
