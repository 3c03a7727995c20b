package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestREADME: the Go in the README compiles, in a function that has what its
// text takes for granted.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(text, -1)
	if len(snippets) == 0 {
		t.Fatal("there is no Go in the README")
	}
	for i, snippet := range snippets {
		body := string(snippet[1])
		// What an excerpt does not use it may leave unused.
		for _, name := range regexp.MustCompile(`(?m)^\w+(?:, \w+)* :=`).FindAllString(body, -1) {
			names := strings.TrimSuffix(name, " :=")
			body += strings.Repeat("_, ", strings.Count(names, ",")) + "_ = " + names + "\n"
		}
		compile(t, fmt.Sprintf(`package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

var (
	_ = fmt.Sprint
	_ channel.Conn
	_ client.Config
	_ shs.PublicKey
)

func excerpt%d(ctx context.Context, handler http.Handler) {
%s}

func main() {}
`, i, body))
	}
}

// compile reports what the compiler has to say about a program.
func compile(t *testing.T, program string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "readme.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-e", "-o", os.DevNull, file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\nof\n%s", err, out, program)
	}
}
