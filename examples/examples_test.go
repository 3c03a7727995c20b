//go:build examples

package examples_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
)

// example is a plugin, and perhaps a client, as a reader would start them. NAME
// in a command is the name to claim or to call, TEXT what the client says.
type example struct {
	name   string
	dir    string
	needs  func(*testing.T, *bench)
	plugin []string
	client []string
	fixed  string // the plugin's name, if it takes none
	local  bool   // it has a key of its own, so TCP is not for it
	upper  bool   // it answers in capitals

	listening, waiting, answer, bye string // lines that the two print
	watcher                         []string
	came, went                      string // lines of the watcher, or else of the plugin
}

var examples = []example{
	{
		name: "go", needs: needGo("go/echo"), fixed: "org.example.echo", local: true,
		plugin:    []string{"BIN/echo"},
		listening: "listening as NAME",
	},
	{
		name: "js", dir: "js", needs: needNode,
		plugin: []string{"node", "echo-plugin.js", "NAME"}, client: []string{"node", "client.js", "NAME", "TEXT"},
		listening: "listening as NAME", waiting: "waiting for NAME", answer: "answer: ", bye: "goodbye",
		came: "\nconnected NAME @", went: "\ndisconnected NAME @",
	},
	{
		name: "js-yamux", dir: "js", needs: needNode,
		plugin: []string{"node", "yamux-plugin.js", "NAME"}, client: []string{"node", "client.js", "--yamux", "NAME", "TEXT"},
		listening: "listening as NAME", waiting: "waiting for NAME", answer: "answer: ", bye: "goodbye",
		came: "\nconnected NAME @", went: "\ndisconnected NAME @",
	},
	{
		name: "python", dir: "python", needs: needPython,
		plugin:    []string{".venv/bin/python", "echo_plugin.py", "NAME"},
		client:    []string{".venv/bin/python", "client.py", "NAME", "TEXT"},
		listening: "listening as NAME", waiting: "waiting for NAME", answer: "answer: ",
		came: "\nconnected NAME @", went: "\ndisconnected NAME @",
	},
	{
		name: "shell", dir: "shell", upper: true,
		plugin: []string{"./uppercase.sh", "NAME"}, client: []string{"./client.sh", "NAME", "TEXT"},
		listening: "NAME leads to", waiting: "protocol", answer: "answer: ",
		watcher: []string{"sbctl", "watch"}, came: "+ NAME\n", went: "- NAME\n",
	},
}

// TestExamples runs each example over a Unix socket and over TCP: its client
// before its plugin, its plugin against sbctl, its client against sbctl, and its
// watch while another plugin comes and goes.
func TestExamples(t *testing.T) {
	b := newBench(t)
	for _, ex := range examples {
		if ex.needs != nil {
			ex.needs(t, b)
		}
		t.Run(ex.name, func(t *testing.T) {
			for transport, addr := range b.addresses {
				if ex.local && transport != "unix" {
					continue
				}
				t.Run(transport, func(t *testing.T) { runExample(t, b, ex, addr) })
			}
		})
	}
}

func runExample(t *testing.T, b *bench, ex example, addr string) {
	name := "org.example." + strings.ReplaceAll(t.Name(), "/", ".")
	if ex.fixed != "" {
		name = ex.fixed
	}
	other := name + ".other"
	run := func(cmd []string, name string) *process {
		return b.start(t, addr, ex.dir, replace(cmd, "NAME", name, "TEXT", "Hällo, "+ex.name)...)
	}

	var client *process
	if ex.client != nil { // there is nobody yet, so it waits
		client = run(ex.client, name)
		client.await(t, ex.in(ex.waiting, name))
	}
	plugin := run(ex.plugin, name)
	plugin.await(t, ex.in(ex.listening, name))
	if client != nil {
		client.exit(t)
		client.await(t, ex.answer+ex.reply("Hällo, "+ex.name))
	}

	// A megabyte both ways at once; the answer ends because the half-close does.
	said := sayable(t, ex, 1<<20)
	connect := b.command(addr, "", "sbctl", "connect", name)
	connect.Stdin = bytes.NewReader(said)
	got, err := connect.Output()
	if err != nil || !bytes.Equal(got, []byte(ex.reply(string(said)))) {
		t.Errorf("sbctl connect %s: %d bytes of %d came back as they should, %v", name, len(got), len(said), err)
	}

	watcher := plugin
	if ex.watcher != nil {
		watcher = run(ex.watcher, name)
		watcher.await(t, ex.in(ex.came, name))
	}
	cat := b.start(t, addr, "", "sbctl", "expose", other, "exec:cat")
	cat.await(t, other+" leads to")
	if ex.came != "" {
		watcher.await(t, ex.in(ex.came, other))
	}
	if ex.client != nil {
		client := run(ex.client, other)
		client.exit(t)
		client.await(t, ex.answer+"Hällo, "+ex.name)

		// A channel that is cut must not look like one that ended.
		cut := b.start(t, addr, "", "sbctl", "expose", name+".cut", "exec:sh", "-c", "head -c 3; kill -9 $$")
		cut.await(t, ".cut leads to")
		client = run(ex.client, name+".cut")
		client.fail(t)
		cut.interrupt(t)
	}
	cat.interrupt(t)
	if ex.went != "" {
		watcher.await(t, ex.in(ex.went, other))
	}

	plugin.interrupt(t)
	plugin.await(t, ex.bye)
}

// in is a line of an example for a name.
func (ex example) in(line, name string) string { return strings.ReplaceAll(line, "NAME", name) }

// reply is what the example's plugin answers.
func (ex example) reply(said string) string {
	if !ex.upper {
		return said
	}
	return strings.Map(func(r rune) rune { // tr knows bytes
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, said)
}

// sayable is n bytes that the example's plugin can answer.
func sayable(t *testing.T, ex example, n int) []byte {
	data := make([]byte, n/2)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	if ex.upper {
		return fmt.Appendf(nil, "%x", data)
	}
	return append(data, data...)
}

// TestHTTPPlugin runs the Go example that is an HTTP server without a port, and
// asks it with the same program as a client.
func TestHTTPPlugin(t *testing.T) {
	b := newBench(t)
	needGo("go/httpplugin")(t, b)
	addr := b.addresses["unix"]
	plugin := b.start(t, addr, "", "BIN/httpplugin")
	plugin.await(t, "serving http as org.example.http")
	client := b.start(t, addr, "", "BIN/httpplugin", "/hello?x=1")
	client.exit(t)
	client.await(t, "/hello, you are @")
	plugin.interrupt(t)
}

// TestPythonVector checks the Python handshake and box stream against the vector
// in PROTOCOL.md.
func TestPythonVector(t *testing.T) {
	b := newBench(t)
	needPython(t, b)
	b.start(t, "", "python", ".venv/bin/python", "test_vector.py").exit(t)
}

// findAddress is the search for the address file, in JavaScript and Python. Root
// looks in /run; here everybody is somebody else.
var findAddress = map[string][]string{
	"js": {"node", "--input-type=module", "-e", "process.geteuid = () => 4242\n" +
		"const { findAddress } = await import('./switchboard.js')\nconsole.log(findAddress())"},
	"python": {".venv/bin/python", "-c", "import os, switchboard\nos.geteuid = lambda: os.stat('.').st_uid or 4242\nprint(switchboard.find_address())"},
}

// TestAddressFile: JavaScript and Python find the address file that a server
// writes, and do not use one that others may write.
func TestAddressFile(t *testing.T) {
	b := newBench(t)
	needNode(t, b)
	needPython(t, b)
	for name, cmd := range findAddress {
		t.Run(name, func(t *testing.T) {
			ok := b.start(t, "", name, cmd...)
			ok.exit(t)
			ok.await(t, b.addresses["unix"]+";"+b.addresses["net"])
			b.chmodAddress(t, 0o666)
			defer b.chmodAddress(t, 0o600)
			bad := b.start(t, "", name, cmd...)
			bad.fail(t)
			bad.await(t, "others may write it")
		})
	}
}
