package control_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// protocol returns the text of PROTOCOL.md.
func protocol(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// block returns the lines of a fenced block, without comments.
func block(t *testing.T, kind string) []string {
	t.Helper()
	_, rest, ok := strings.Cut(protocol(t), "```"+kind+"\n")
	text, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatalf("PROTOCOL.md has no %s block", kind)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestProtocolExchange decodes the conversation of PROTOCOL.md §9.
func TestProtocolExchange(t *testing.T) {
	streams := map[string]*bytes.Buffer{"C": {}, "S": {}}
	for _, line := range block(t, "hex") {
		from, digits, _ := strings.Cut(line, " ")
		raw, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil || streams[from] == nil {
			t.Fatalf("line %q: %v", line, err)
		}
		streams[from].Write(raw)
	}
	p, err := muxrpc.ReadPacket(streams["C"], control.MaxServerBody)
	if err != nil {
		t.Fatal(err)
	}
	req, err := muxrpc.ParseRequest(p)
	if err != nil {
		t.Fatal(err)
	}
	var args control.ConnectArgs
	if err := control.Decode(req.Args, &args); err != nil {
		t.Fatal(err)
	}
	if p.Req != 1 || req.Name != control.MethodConnect || req.Type != "duplex" || args.To != "org.example.echo" {
		t.Errorf("got request %d %s %s to %q", p.Req, req.Type, req.Name, args.To)
	}
	p, err = muxrpc.ReadPacket(streams["S"], control.MaxPeerBody)
	if err != nil {
		t.Fatal(err)
	}
	var res control.ConnectResult
	if err := json.Unmarshal(p.Body, &res); err != nil {
		t.Fatal(err)
	}
	if p.Req != -1 || p.Flags != muxrpc.FlagStream|muxrpc.FlagJSON || res.Peer.Name != args.To || res.Peer.Session != ":17" {
		t.Errorf("got answer %d flags %#x %+v", p.Req, p.Flags, res)
	}
	for from, s := range streams {
		if rest, _ := io.ReadAll(s); string(rest) != "hi" {
			t.Errorf("channel bytes of %s are %q", from, rest)
		}
	}
}

// TestProtocolTables holds PROTOCOL.md to the code: every method and every
// error code has its row.
func TestProtocolTables(t *testing.T) {
	text := protocol(t)
	for _, c := range control.Codes() {
		if !strings.Contains(text, "\n| `"+string(c)+"` |") {
			t.Errorf("no row for code %s", c)
		}
	}
	var walk func(prefix string, tree map[string]any)
	walk = func(prefix string, tree map[string]any) {
		for name, v := range tree {
			if sub, ok := v.(map[string]any); ok {
				walk(prefix+name+".", sub)
			} else if !strings.Contains(text, "`"+prefix+name+"`") {
				t.Errorf("no row for method %s%s", prefix, name)
			}
		}
	}
	walk("", control.Manifest())
}

func TestDecode(t *testing.T) {
	for _, tc := range []struct {
		name string
		args string
		want string // of ClaimArgs.Name; "!" for bad_request
	}{
		{"none", ``, ""},
		{"object", `{"name":"a"}`, "a"},
		{"other case is another field", `{"NAME":"a"}`, ""},
		{"unknown field", `{"name":"a","future":[1]}`, "a"},
		{"not an object", `"a"`, "!"},
		{"array", `["a"]`, "!"},
		{"null", `null`, "!"},
		{"wrong type", `{"name":7}`, "!"},
		{"two", `{"name":"a"} {"name":"b"}`, "!"},
		{"empty", `{}`, ""},
		{"false", `{"queue":false,"name":"a"}`, "a"},
		{"null is nothing", `{"name":null}`, ""},
		{"escapes", `{"\u006eame":"\u0061\"}{"}`, `a"}{`},
		{"nested", `{"info":{"name":"b","x":[{"name":"c"},"]}"]},"name":"a"}`, "a"},
		{"wrong type of flag", `{"name":"a","queue":1}`, "!"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var args []json.RawMessage
			for part := range strings.SplitSeq(tc.args, " ") {
				if part != "" {
					args = append(args, json.RawMessage(part))
				}
			}
			var a control.ClaimArgs
			err := control.Decode(args, &a)
			if got := map[bool]string{true: a.Name, false: "!"}[err == nil]; got != tc.want {
				t.Errorf("got %q (%v), want %q", got, err, tc.want)
			}
		})
	}
}

func TestSession(t *testing.T) {
	for s, want := range map[string]bool{":17": true, ":0": true, "17": false, ":017": false, ":+1": false, ":": false, ":18446744073709551616": false} {
		if _, ok := control.ParseSession(s); ok != want {
			t.Errorf("ParseSession(%q) = %v, want %v", s, ok, want)
		}
	}
}
