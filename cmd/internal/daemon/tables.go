package daemon

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cad2f06c/switchboard/switchboard"
)

// Defaults is [defaults]: the levels of peers about whom no line says one.
type Defaults struct {
	Listed string // of a line without level=
	Local  string // of a peer of the server's user without a line; refuse is none

	listedAt, localAt string // file and line; "" if they are not set
}

// levels are those that a peer can have.
func levels() []string { return []string{"untrusted", "basic", "trusted", "verified"} }

func (d *Defaults) table() table {
	return settings(map[string]any{
		"listed": readWord(&d.Listed, levels()),
		"local":  readWord(&d.Local, append(levels(), "refuse")),
	})
}

// levelTables are the tables below [levels].
func levelTables(dst *map[string]switchboard.Bundle) table {
	return func(level string) (any, error) {
		if err := checkLevel(level); err != nil {
			return nil, err
		}
		list := func(field func(*switchboard.Bundle) *[]string) reader {
			return readInto(dst, level, field, func(b switchboard.Bundle) error {
				return checkPolicy(switchboard.PolicyConfig{Bundles: map[string]switchboard.Bundle{level: b}})
			})
		}
		return settings(map[string]any{
			"own":  list(func(b *switchboard.Bundle) *[]string { return &b.Own }),
			"see":  list(func(b *switchboard.Bundle) *[]string { return &b.See }),
			"talk": list(func(b *switchboard.Bundle) *[]string { return &b.Talk }),
		}), nil
	}
}

// tenantTables are the tables below [tenants].
func tenantTables(dst *map[string]switchboard.Tenant) table {
	return func(name string) (any, error) {
		check := func(t switchboard.Tenant) error {
			return checkPolicy(switchboard.PolicyConfig{Tenants: map[string]switchboard.Tenant{name: t}})
		}
		if err := check(switchboard.Tenant{}); err != nil {
			return nil, err
		}
		list := func(field func(*switchboard.Tenant) *[]string) reader { return readInto(dst, name, field, check) }
		return settings(map[string]any{
			"export": list(func(t *switchboard.Tenant) *[]string { return &t.Export }),
			"import": list(func(t *switchboard.Tenant) *[]string { return &t.Import }),
		}), nil
	}
}

// checkPolicy reports what is wrong with a piece of a policy.
func checkPolicy(piece switchboard.PolicyConfig) error {
	_, err := switchboard.NewPolicy(piece)
	return err
}

// readInto reads a list of texts into a field of an entry of a map, if check takes
// the entry.
func readInto[T any](dst *map[string]T, key string, field func(*T) *[]string, check func(T) error) reader {
	return func(value any) error {
		texts, err := readTexts(value, `a list of patterns, such as ["org.example.**"]`)
		if err != nil {
			return err
		}
		if *dst == nil {
			*dst = make(map[string]T)
		}
		entry := (*dst)[key]
		*field(&entry) = texts
		(*dst)[key] = entry
		return check(entry)
	}
}

func checkLevel(level string) error {
	if slices.Contains(levels(), level) {
		return nil
	}
	return fmt.Errorf("level %.64q: want %s", level, strings.Join(levels(), ", "))
}

// limitTable is [limits]: the fields of the server's limits, in snake_case, and
// [limits.rates] by method.
func limitTable(l *switchboard.Limits) table {
	all := numbers(reflect.ValueOf(l).Elem())
	all["rates"] = table(func(method string) (any, error) {
		return reader(func(value any) error {
			rate, err := readRate(value)
			if err != nil {
				return err
			}
			if l.Rates == nil {
				l.Rates = make(map[string]switchboard.Rate)
			}
			l.Rates[method] = rate
			return nil
		}), switchboard.CheckMethod(method)
	})
	return settings(all)
}

// readRate reads a rate as authorized_peers has them, number/seconds.
func readRate(value any) (switchboard.Rate, error) {
	text, _ := value.(string)
	n, seconds, _ := strings.Cut(text, "/")
	calls, err := strconv.ParseUint(n, 10, 31)
	per, err2 := strconv.ParseUint(seconds, 10, 17)
	if err != nil || err2 != nil || calls == 0 || per == 0 {
		return switchboard.Rate{}, errors.New(`want a number of calls and of seconds, such as "100/60"`)
	}
	return switchboard.Rate{N: int(calls), Per: time.Duration(per) * time.Second}, nil
}

// numbers are the readers of the numbers and times of a struct. A struct in it
// that is named after its type is a part of it, another a table of its own, such
// as [limits.basic].
func numbers(v reflect.Value) map[string]any {
	all := make(map[string]any)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := snake(f.Name)
		switch field := v.Field(i).Addr().Interface().(type) {
		case *int:
			all[key] = readNumber(field, noneAt(key), mostAt(key))
		case *time.Duration:
			all[key] = readTime(field, noneAt(key))
		default:
			switch {
			case f.Type.Kind() != reflect.Struct:
			case f.Name == f.Type.Name():
				maps.Copy(all, numbers(v.Field(i)))
			default:
				all[key] = settings(numbers(v.Field(i)))
			}
		}
	}
	return all
}

// noneAt reports whether a limit may be 0, which is none at all: the library
// takes a negative number for that.
func noneAt(key string) bool {
	return strings.HasPrefix(key, "penalty_") || key == "connect_rate" || key == "handshake_rate" || key == "name_hold"
}

// mostAt is the largest number that a limit may be: of bytes held, more than of
// what is counted.
func mostAt(key string) int64 {
	if strings.HasPrefix(key, "held") {
		return min(1<<40, math.MaxInt)
	}
	return math.MaxInt32
}

// snake is a Go name as a key of the file.
func snake(name string) string {
	var b strings.Builder
	rs := []rune(name)
	for i, r := range rs {
		if i > 0 && unicode.IsUpper(r) && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// readNumber reads a whole number from 1 to most, or from 0 if that is none.
func readNumber(dst *int, none bool, most int64) reader {
	return func(value any) error {
		n, ok := value.(int64)
		switch {
		case ok && n == 0 && none:
			*dst = -1
		case ok && n >= 1 && n <= most:
			*dst = int(n)
		case none:
			return fmt.Errorf("want a whole number up to %d; 0 is none", most)
		default:
			return fmt.Errorf("want a whole number from 1 to %d", most)
		}
		return nil
	}
}

// readTime reads a time such as "1m30s".
func readTime(dst *time.Duration, none bool) reader {
	return func(value any) error {
		text, ok := value.(string)
		d, err := time.ParseDuration(text)
		switch {
		case ok && err == nil && d == 0 && none:
			*dst = -1
		case ok && err == nil && d >= time.Millisecond && d <= 24*time.Hour:
			*dst = d
		default:
			return errors.New(`want a time up to a day, such as "1m30s"`)
		}
		return nil
	}
}

// readWord reads one of some words.
func readWord(dst *string, words []string) reader {
	return readText(dst, func(v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("%.64q: want %s", v, strings.Join(words, ", "))
		}
		return nil
	})
}

// readTexts returns the texts of a list, never nil. want says what they are.
func readTexts(value any, want string) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, errors.New("want " + want)
	}
	texts := make([]string, len(list))
	for i, item := range list {
		if texts[i], ok = item.(string); !ok {
			return nil, errors.New("want a list of texts in quotes")
		}
	}
	return texts, nil
}
