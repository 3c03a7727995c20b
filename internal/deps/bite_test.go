package deps_test

import (
	"go/token"
	"strings"
	"testing"
)

// bad has one fault on each line with a mark: the name of the bar that must find
// it. The bars must find nothing else.
const bad = `package bad // want comments

import ("context"; "sync"; "time")

var lock sync.Mutex // want globals
var count = 0
var table = map[string]int{"a": 1}
var fine, zero = []string{"a"}, [2]byte{}
var zeros [9]byte
var pool = sync.Pool{New: func() any { return new([8]byte) }}
var memo = sync.OnceValue(func() int { return 1 })

func Exported() { // want comments
	count++ // want globals
	table["b"] = 2 // want globals
	p := &fine // want globals
	fine := 1
	fine = 2
	go Exported() // want goroutines
	time.Sleep(time.Second)
	_ = context.Background() // want background
}

type T struct{} // a comment at the end serves

func (T) Method() {} // want comments

type hidden struct{}

func (*hidden) Method() {}

// Generic is one.
type Generic[K any] map[K]int

func (g Generic[K]) Method() {} // want comments

func init() { // want words
	var x interface{} // want words
	delete(table, "a") // want globals
	if strings.Contains(err.Error(), "x") { // want words
	}
}
`

const badTest = `package bad

import "testing"

func TestSleeps(t *testing.T) {
	time.Sleep(1) // want sleep
	context.Background()
	go f()
}

func TestBubble(t *testing.T) { bubble(t, func() { time.Sleep(1) }) }

// TODO
`

func TestBarsBite(t *testing.T) {
	long := "// Package long is long.\npackage long\n\n" + strings.Repeat("\n", maxFile) + "func f() {\n" + strings.Repeat("\n", maxFunc) + "}\n"
	files := token.NewFileSet()
	var all []*source
	for path, text := range map[string]string{
		"bad/a.go":         bad,
		"bad/a_test.go":    badTest,
		"bad/b_test.go":    "package bad\nimport \"testing/synctest\"\nfunc bubble(t *testing.T, f func()) { synctest.Test(t, nil) }\n",
		"bad/poll_test.go": "package bad\nfunc poll() { time.Sleep(1) }\n",
		"cmd/x/main.go":    "// Command x is one.\npackage main\nfunc main() { context.Background() }\n",
		"long/long.go":     long,
		"long/reason.go":   long + "\n// long: a table\n",
	} {
		s, err := parse(files, path, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	found := make(map[string]int)
	for _, bar := range bars {
		bar.check(all, func(s *source, at token.Pos, format string, _ ...any) {
			found[bar.name]++
			line := strings.Split(s.text, "\n")[s.line(at)-1]
			if _, want, ok := strings.Cut(line, "// want "); s.path == "bad/a.go" && (!ok || want != bar.name) {
				t.Errorf("%s finds %q in %q", bar.name, format, line)
			}
		})
	}
	wanted := func(name string) int { return strings.Count(bad+badTest, "// want "+name+"\n") }
	for _, bar := range bars {
		want := wanted(bar.name)
		switch bar.name {
		case "sizes":
			want = 2 // the file and the function
		case "words":
			want++ // the unfinished comment
		}
		if found[bar.name] != want {
			t.Errorf("%s: %d findings, want %d", bar.name, found[bar.name], want)
		}
	}
}
