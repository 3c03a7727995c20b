package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/cad2f06c/switchboard/switchboard"
)

// maxConfig is the largest configuration file, in bytes.
const maxConfig = 64 << 10

// readConfig reads a configuration file of at most maxConfig bytes.
func readConfig(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if len(text) > maxConfig {
		return "", fmt.Errorf("%s: larger than %d bytes", path, maxConfig)
	}
	return string(text), nil
}

// parseConfig reads the text of a configuration file. Relative paths in it are
// taken from dir. An error begins with "name:line:", and is about the first
// mistake in the file.
func parseConfig(name, text, dir string) (Settings, error) {
	var s Settings
	readers := s.readers(dir)
	if !strings.HasSuffix(text, "\n") {
		text += "\n" // the decoder miscounts lines where an error meets the end
	}
	var raw map[string]toml.Primitive
	md, err := toml.Decode(text, &raw)
	if err != nil {
		return Settings{}, configError(name, text, err)
	}
	seen := make(map[string]bool)
	for _, key := range md.Keys() { // in the order of the file
		top := key[0]
		if seen[top] {
			continue
		}
		seen[top] = true
		read, known := readers[top]
		if !known {
			hint := ""
			if flag := strings.ToLower(strings.ReplaceAll(top, "-", "_")); readers[flag] != nil {
				hint = fmt.Sprintf(" (did you mean %s?)", flag)
			}
			return Settings{}, unknownSetting(name, text, md, key, raw[top], hint)
		}
		if err := md.PrimitiveDecode(raw[top], read); err != nil {
			return Settings{}, configError(name, text, err)
		}
	}
	return s, nil
}

// reader takes the value of one setting. The decoder adds the line to its error.
type reader func(value any) error

// UnmarshalTOML makes the decoder call r.
func (r reader) UnmarshalTOML(value any) error { return r(value) }

// unknownSetting is the error about a key that is in no table of ours.
func unknownSetting(name, text string, md toml.MetaData, key toml.Key, value toml.Primitive, hint string) error {
	unknown := fmt.Errorf("unknown setting %.64q%s", key.String(), hint)
	refuse := reader(func(any) error { return unknown })
	pe, ok := errors.AsType[toml.ParseError](md.PrimitiveDecode(value, refuse))
	if ok && pe.Position.Line > 0 {
		return fmt.Errorf("%s:%d: %w", name, pe.Position.Line, unknown)
	}
	// The decoder knows no place of a table that only a dotted key has made. It
	// is the first line at which a reading of the file would find the key.
	lines := strings.SplitAfter(text, "\n")
	for n := range lines {
		var ignored map[string]toml.Primitive
		md, err := toml.Decode(strings.Join(lines[:n+1], ""), &ignored)
		if err == nil && md.IsDefined(key...) {
			return fmt.Errorf("%s:%d: %w", name, n+1, unknown)
		}
	}
	return fmt.Errorf("%s: %w", name, unknown)
}

// readers is the table of settings: each checks its value and stores it in s.
func (s *Settings) readers(dir string) map[string]reader {
	return map[string]reader{
		"listen":           readListen(&s.Listen, dir),
		"key":              readPath(&s.Key, dir),
		"authorized_peers": readPath(&s.AuthorizedPeers, dir),
		"address_file":     readPath(&s.AddressFile, dir),
		"direct":           readKinds(&s.Direct),
		"advertise":        readText(&s.Advertise, func(v string) error { _, err := switchboard.ParseAdvertise(v); return err }),
		"network_key":      readText(&s.NetworkKey, func(v string) error { _, err := parseNetworkKey(v); return err }),
		"log_level":        readText(&s.LogLevel, func(v string) error { _, err := parseLevel(v); return err }),
		"log_format":       readText(&s.LogFormat, func(v string) error { _, err := parseFormat(v); return err }),
	}
}

// readText reads a non-empty string that check takes.
func readText(dst *string, check func(string) error) reader {
	return func(value any) error {
		v, ok := value.(string)
		if !ok || v == "" {
			return errors.New("want a text in quotes")
		}
		if err := check(v); err != nil {
			return err
		}
		*dst = v
		return nil
	}
}

// readPath reads the path of a file.
func readPath(dst *string, dir string) reader {
	return readText(dst, func(v string) error { return nil }).then(func() { *dst = from(dir, *dst) })
}

// then runs f after r has taken a value.
func (r reader) then(f func()) reader {
	return func(value any) error {
		err := r(value)
		if err == nil {
			f()
		}
		return err
	}
}

// readListen reads a list of listen addresses.
func readListen(dst *[]string, dir string) reader {
	return func(value any) error {
		list, ok := value.([]any)
		if !ok || len(list) == 0 {
			return errors.New(`want a list of addresses, such as ["unix:/run/me/bus.sock"]`)
		}
		for _, item := range list {
			addr, ok := item.(string)
			if !ok {
				return errors.New("want a list of texts in quotes")
			}
			// An abstract socket ("@…") is none of a folder: it is for the check to refuse.
			if path, isUnix := strings.CutPrefix(addr, "unix:"); isUnix && path != "" && path[0] != '@' {
				addr = "unix:" + from(dir, path)
			}
			if err := switchboard.CheckListenAddr(addr); err != nil {
				return err
			}
			*dst = append(*dst, addr)
		}
		return nil
	}
}

// readKinds reads a list of kinds of direct links, which may be empty.
func readKinds(dst *[]string) reader {
	return func(value any) error {
		list, ok := value.([]any)
		if !ok {
			return errors.New(`want a list of kinds, such as ["fd", "unix", "net"]`)
		}
		kinds := make([]string, len(list))
		for i, item := range list {
			if kinds[i], ok = item.(string); !ok {
				return errors.New("want a list of texts in quotes")
			}
		}
		*dst = kinds
		return checkKinds(kinds)
	}
}

// checkKinds reports whether the server takes a list of kinds.
func checkKinds(kinds []string) error {
	_, err := switchboard.ParseKinds(kinds)
	return err
}

// from makes path absolute, seen from dir. It is not cleaned: ".." is for the
// listener to refuse.
func from(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return dir + "/" + path
}

// configError puts file and line in front of what the decoder says. Where it
// counts past an end of line that it complains of, the last line is the one.
func configError(name, text string, err error) error {
	pe, ok := errors.AsType[toml.ParseError](err)
	if !ok {
		return fmt.Errorf("%s: %w", name, err)
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	line := min(max(1, pe.Position.Line), len(lines))
	hint := ""
	if lacksQuotes(lines[line-1]) {
		hint = ` (a text needs quotes: "text")`
	}
	return fmt.Errorf("%s:%d: %s%s", name, line, pe.Message, hint)
}

// lacksQuotes reports whether the value on a line, or the first of a list, looks
// like a text without quotes.
func lacksQuotes(line string) bool {
	_, value, _ := strings.Cut(line, "=")
	value = strings.TrimLeft(value, " \t[")
	if value == "" || strings.HasPrefix(value, "true") || strings.HasPrefix(value, "false") {
		return false
	}
	c := value[0]
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("/.~@$_", c) >= 0
}
