package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/switchboard"
)

// maxConfig is the largest configuration file, in bytes.
const maxConfig = 64 << 10

// readConfig reads a configuration file of at most maxConfig bytes, if nobody else
// can have written it.
func readConfig(path string) (string, error) {
	text, err := peersfile.Read(path)
	if err != nil {
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
	if strings.TrimSpace(text) == "" {
		return Settings{}, fmt.Errorf("%s:1: the file is empty; if nothing is to be set, a # comment says so", name)
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n" // the decoder miscounts lines where an error meets the end
	}
	f := file{name: name, text: text}
	var err error
	if f.meta, err = toml.Decode(text, &f.raw); err != nil {
		return Settings{}, configError(name, text, err)
	}
	top := s.table(dir)
	seen := make(map[string]bool)
	for _, key := range f.meta.Keys() { // in the order of the file
		read, path, err := f.find(top, key)
		if err != nil {
			return Settings{}, f.refuse(path, err)
		}
		if read == nil || seen[path.String()] {
			continue
		}
		seen[path.String()] = true
		if err := f.meta.PrimitiveDecode(f.value(path), read); err != nil {
			return Settings{}, configError(name, text, err)
		}
	}
	s.Defaults.listedAt, s.Defaults.localAt = f.place("defaults", "listed"), f.place("defaults", "local")
	return s, nil
}

// file is a configuration file that has been read and not yet understood.
type file struct {
	name, text string
	meta       toml.MetaData
	raw        map[string]toml.Primitive
}

// reader takes the value of one setting. The decoder adds the line to its error.
type reader func(value any) error

// UnmarshalTOML makes the decoder call r.
func (r reader) UnmarshalTOML(value any) error { return r(value) }

// table finds what takes the value of a key in a table of the file: a reader, or
// a table again.
type table func(key string) (any, error)

// errUnknown says that a table has no such key.
var errUnknown = errors.New("unknown setting")

// misspelt is the errUnknown of a key that is spelt like its flag.
type misspelt string

func (m misspelt) Error() string { return fmt.Sprintf("did you mean %s?", string(m)) }

// settings is a table of the keys that it has.
func settings(keys map[string]any) table {
	return func(key string) (any, error) {
		if t, ok := keys[key]; ok {
			return t, nil
		}
		if flag := strings.ToLower(strings.ReplaceAll(key, "-", "_")); keys[flag] != nil {
			return nil, misspelt(flag)
		}
		return nil, errUnknown
	}
}

// find goes down to the reader of a key, or of the value that the key is in; it
// returns none for a table. path is how far it went.
func (f *file) find(top table, key toml.Key) (read reader, path toml.Key, err error) {
	for i, part := range key {
		path = key[:i+1]
		next, err := top(part)
		if err != nil {
			return nil, path, err
		}
		switch next := next.(type) {
		case reader:
			return next, path, nil
		case table:
			top = next
		}
		if kind := f.meta.Type(path...); kind != "" && kind != "Hash" {
			return nil, path, fmt.Errorf("want a table, [%s]", path)
		}
	}
	return nil, path, nil
}

// value is what stands at a path of tables.
func (f *file) value(path toml.Key) toml.Primitive {
	v := f.raw[path[0]]
	for _, part := range path[1:] {
		var in map[string]toml.Primitive
		if err := f.meta.PrimitiveDecode(v, &in); err != nil {
			break // no table: the line of this value is as good
		}
		v = in[part]
	}
	return v
}

// refuse is the error about a key.
func (f *file) refuse(path toml.Key, why error) error {
	if m, ok := errors.AsType[misspelt](why); ok {
		why = fmt.Errorf("%w %.64q (%w)", errUnknown, path.String(), m)
	} else if why == errUnknown {
		why = fmt.Errorf("%w %.64q", why, path.String())
	}
	return fmt.Errorf("%s: %w", f.at(path), why)
}

// place is where a key stands, or "" if it does not.
func (f *file) place(path ...string) string {
	if !f.meta.IsDefined(path...) {
		return ""
	}
	return f.at(path)
}

// errHere has the decoder say where it is.
var errHere = errors.New("here")

// at is the file, and the line of a key if it can be found.
func (f *file) at(path toml.Key) string {
	here := reader(func(any) error { return errHere })
	pe, ok := errors.AsType[toml.ParseError](f.meta.PrimitiveDecode(f.value(path), here))
	if ok && pe.Position.Line > 0 {
		return fmt.Sprintf("%s:%d", f.name, pe.Position.Line)
	}
	// The decoder knows no place of a table that only a dotted key has made. It
	// is the first line at which a reading of the file would find the key.
	lines := strings.SplitAfter(f.text, "\n")
	for n := range lines {
		var ignored map[string]toml.Primitive
		md, err := toml.Decode(strings.Join(lines[:n+1], ""), &ignored)
		if err == nil && md.IsDefined(path...) {
			return fmt.Sprintf("%s:%d", f.name, n+1)
		}
	}
	return f.name
}

// table is that of all settings: each checks its value and stores it in s.
func (s *Settings) table(dir string) table { return settings(s.readers(dir)) }

func (s *Settings) readers(dir string) map[string]any {
	return map[string]any{
		"listen":           readListen(&s.Listen, dir),
		"key":              readPath(&s.Key, dir),
		"authorized_peers": readPath(&s.AuthorizedPeers, dir),
		"address_file":     readPath(&s.AddressFile, dir),
		"direct":           readKinds(&s.Direct),
		"advertise":        readText(&s.Advertise, func(v string) error { _, err := switchboard.ParseAdvertise(v); return err }),
		"network_key":      readText(&s.NetworkKey, func(v string) error { _, err := parseNetworkKey(v); return err }),
		"log_level":        readText(&s.LogLevel, func(v string) error { _, err := parseLevel(v); return err }),
		"log_format":       readText(&s.LogFormat, func(v string) error { _, err := parseFormat(v); return err }),
		"drain":            readText(&s.Drain, func(v string) error { _, err := parseDrain(v); return err }),
		"defaults":         s.Defaults.table(),
		"levels":           levelTables(&s.Levels),
		"tenants":          tenantTables(&s.Tenants),
		"limits":           limitTable(&s.Limits),
		"audit":            s.Audit.table(dir),
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
		want := `a list of addresses, such as ["unix:/run/me/bus.sock"]`
		list, err := readTexts(value, want)
		if err == nil && len(list) == 0 {
			err = errors.New("want " + want)
		}
		if err != nil {
			return err
		}
		for _, addr := range list {
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
		kinds, err := readTexts(value, `a list of kinds, such as ["fd", "unix", "net"]`)
		if err != nil {
			return err
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
