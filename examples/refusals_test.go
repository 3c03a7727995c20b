//go:build examples

package examples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// library is an example library, and options of its open() of which each has one
// that it does not do.
type library struct {
	name    string
	command []string // of testdata/refusals
	plugin  []string
	options []string
}

var libraries = []library{
	{
		name: "switchboard.js", command: []string{"node", "../testdata/refusals.js", "switchboard"},
		plugin: []string{"node", "echo-plugin.js"},
		options: []string{
			`{"sealed":true}`, `{"direct":["unix"]}`, `{"require":true}`, `{"resume":65536}`, `{"seal":true}`,
		},
	},
	{
		name: "yamux.js", command: []string{"node", "../testdata/refusals.js", "yamux"},
		plugin: []string{"node", "yamux-plugin.js"},
		options: []string{
			`{"sealed":true}`, `{"direct":["fd"]}`, `{"direct":["unix","fd"]}`,
			`{"direct":["net"],"resume":65536}`, `{"seal":true}`,
		},
	},
	{
		name: "switchboard.py", command: []string{".venv/bin/python", "../testdata/refusals.py"},
		plugin: []string{".venv/bin/python", "echo_plugin.py"},
		options: []string{
			`{"sealed":true}`, `{"direct":["unix"]}`, `{"require":true}`, `{"resume":65536}`, `{"seal":true}`,
		},
	},
}

// dir is the folder of the library.
func (l library) dir() string {
	if l.command[0] == "node" {
		return "js"
	}
	return "python"
}

// TestRefusals: a library that cannot do what an option of open() promises says
// so and opens nothing; its errors have names, and a claim that failed leaves
// nothing behind.
func TestRefusals(t *testing.T) {
	b := newBench(t)
	needNode(t, b)
	needPython(t, b)
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			addr, name := b.addresses["unix"], nameOf(t)
			for _, name := range []string{name, name + ".taken"} {
				b.start(t, addr, "", "sbctl", "expose", name, "exec:cat").await(t, "leads to")
			}
			args := append(append(l.command[:len(l.command):len(l.command)], name, name+".taken"), l.options...)
			p := b.start(t, addr, l.dir(), args...)
			p.exit(t)
			p.await(t, "all refused")
		})
	}
}

// TestSealedRefused: a plugin that cannot seal refuses a channel that is to be
// sealed, with a word, and goes on serving others.
func TestSealedRefused(t *testing.T) {
	b := newBench(t)
	needNode(t, b)
	needPython(t, b)
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			addr, name := b.addresses["unix"], nameOf(t)
			plugin := b.start(t, addr, l.dir(), append(l.plugin[:len(l.plugin):len(l.plugin)], name)...)
			plugin.await(t, "listening as")
			sealed := b.start(t, addr, "", "sbctl", "connect", "--sealed", name)
			sealed.fail(t)
			sealed.await(t, "sealed channels are not supported here")
			if strings.Contains(plugin.text(), "channel from") {
				t.Error("the handler has seen the channel")
			}
			open := b.start(t, addr, "", "sbctl", "connect", name)
			open.exit(t)
			plugin.await(t, "channel from")
		})
	}
}

// TestNoAddressFile: where no server has written its address, JavaScript and
// Python say that none may be running.
func TestNoAddressFile(t *testing.T) {
	b := newBench(t)
	needNode(t, b)
	needPython(t, b)
	if err := os.Remove(filepath.Join(b.home, "run/switchboard/address")); err != nil {
		t.Fatal(err)
	}
	for name, cmd := range findAddress {
		t.Run(name, func(t *testing.T) {
			p := b.start(t, "", name, cmd...)
			p.fail(t)
			p.await(t, "run/switchboard/address is not there: is the server running?")
		})
	}
}
