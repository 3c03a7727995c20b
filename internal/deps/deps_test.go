package deps_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cad2f06c/switchboard"

// rule is what one package may import, beyond the standard library. What is not
// allowed is banned, and why says the reason for that.
type rule struct {
	pkg     string   // below the module; "x/..." is everything below x
	ours    []string // packages of ours, in the same form
	modules []string // modules of others
	whole   bool     // its tests run a whole server and clients, so they may import anything but cmd
	why     string
}

const (
	crypto  = "golang.org/x/crypto"
	edwards = "filippo.io/edwards25519"
	circl   = "github.com/cloudflare/circl"
	sys     = "golang.org/x/sys"
	cobra   = "github.com/spf13/cobra"
	pflag   = "github.com/spf13/pflag"
	toml    = "github.com/BurntSushi/toml"
	notify  = "github.com/fsnotify/fsnotify"

	testscript = "github.com/rogpeppe/go-internal"
)

// rules are the arrows of the design; the first that fits a package holds.
var rules = []rule{
	{pkg: "shs", ours: []string{"shs/internal/...", "internal/sock"}, modules: []string{crypto, edwards, sys},
		why: "a leaf: authentication is read and audited by itself; sys is for writev"},
	{pkg: "shs/internal/salsa", modules: []string{crypto, sys}, why: "a leaf: it knows keys and bytes, and what the processor can do"},
	{pkg: "shs/internal/...", ours: []string{"shs/internal/..."}, modules: []string{crypto, edwards, circl},
		why: "a leaf, as shs is"},
	{pkg: "internal/quickjson", why: "a leaf: it knows JSON, and no name of a field"},
	{pkg: "muxrpc", ours: []string{"internal/quickjson"}, why: "the codec serves any connection and knows neither keys nor names"},
	{pkg: "names", why: "a leaf: the registry is pure and knows sessions by number only"},
	{pkg: "internal/policy", ours: []string{"names"}, why: "the rules are pure: who decides knows keys and names, and nothing of sessions"},
	{pkg: "internal/peersfile", ours: []string{"internal/policy"}, modules: []string{sys},
		why: "it keeps files of rules, and knows neither who asks nor what becomes of them; sys is for the lock"},
	{pkg: "internal/mux", why: "a leaf: it is to be replaced, or compared with a library, by itself"},
	{pkg: "internal/paths", modules: []string{sys}, why: "a leaf: commands and client share it, and neither may draw in the other"},
	{pkg: "internal/peercred", modules: []string{sys}, why: "a leaf: client and server share it, and neither may draw in the other"},
	{pkg: "internal/testnet", why: "a leaf: tests of leaves use it, so whatever it imported they would import"},
	{pkg: "internal/sock", modules: []string{sys}, why: "a leaf: system calls of sockets, and nothing of what goes over them; unsafe is in it, and not in shs"},
	{pkg: "internal/alarm", modules: []string{sys}, why: "a leaf: timers that client and server share, and nothing of what they are for"},
	{pkg: "internal/memory", why: "a leaf: it asks the system, and knows nothing of what the memory is for"},
	{pkg: "internal/audit", why: "a leaf: it keeps what it is told, and knows no session, name or key"},
	{pkg: "internal/audit/httpsink", ours: []string{"internal/audit"}, why: "a sink of the log, apart so that the log draws in no HTTP client"},
	{pkg: "internal/deps", why: "it holds no code"},
	{pkg: "internal/control", ours: []string{"internal/quickjson", "names", "muxrpc", "shs"},
		why: "the words of the contract: types of arguments and errors, nothing that runs"},
	{pkg: "channel", ours: []string{"internal/alarm", "internal/mux", "internal/peercred", "internal/sock", "shs"}, modules: []string{sys},
		why: "it moves lanes and dials links, and knows neither names nor calls; peercred, sock and sys are for the links' sockets: who is there, and whether still", whole: true},
	{pkg: "switchboard", modules: []string{sys}, whole: true,
		ours: []string{"channel", "internal/alarm", "internal/audit", "internal/control", "internal/memory", "internal/mux", "internal/peercred", "internal/peersfile", "internal/policy", "internal/sock", "muxrpc", "names", "shs"},
		why:  "the server is a library: it takes settings and has no default places, and it is no client of itself"},
	{pkg: "client", whole: true,
		ours: []string{"channel", "internal/alarm", "internal/control", "internal/mux", "internal/paths", "internal/peercred", "muxrpc", "shs"},
		why:  "strangers build on the client: it must not draw in the server or its registry"},
	{pkg: "cmd/switchboard", ours: []string{"cmd/internal/...", "switchboard", "shs", "internal/paths"}, modules: []string{cobra}, whole: true,
		why: "flags, settings and wiring of the server"},
	{pkg: "cmd/internal/daemon", ours: []string{"cmd/internal/...", "internal/audit/...", "switchboard", "shs", "internal/paths", "internal/peersfile"},
		modules: []string{cobra, pflag, toml, notify}, whole: true, why: "flags, settings and wiring of the server"},
	{pkg: "cmd/sbctl", ours: []string{"cmd/internal/...", "client", "shs", "muxrpc", "internal/paths"}, modules: []string{cobra}, whole: true,
		why: "the command line is a client like any other"},
	{pkg: "cmd/internal/ctl", ours: []string{"cmd/internal/...", "internal/audit", "client", "shs", "muxrpc", "internal/paths", "internal/peersfile", "internal/policy"},
		modules: []string{cobra, pflag}, whole: true, why: "the command line is a client like any other"},
	{pkg: "cmd/internal/scripttest", ours: []string{"cmd/internal/ctl", "cmd/internal/daemon"}, modules: []string{testscript},
		why: "it runs both commands in scripts, and knows nothing of what they are made of"},
	{pkg: "cmd/internal/systemd", modules: []string{sys}, why: "it knows the words of a service manager, and nothing of what serves; sys is for the clock"},
	{pkg: "cmd/internal/...", ours: []string{"cmd/internal/...", "shs", "internal/paths"}, modules: []string{cobra, pflag, toml},
		why: "both commands share it, and neither may draw in the other's half"},
	{pkg: "examples/...", ours: []string{"client", "channel", "shs", "examples/..."}, whole: true,
		why: "an example shows what a stranger can write, who has the public packages only"},
	{pkg: "bench/...", ours: []string{"client", "channel", "shs", "switchboard", "internal/policy", "bench/..."}, modules: []string{crypto, edwards, sys}, whole: true,
		why: "it measures what a stranger's program gets, beside what the machine gives"},
	{pkg: "test/...", ours: []string{"client", "channel", "shs", "muxrpc", "switchboard", "test/..."}, modules: []string{crypto, edwards}, whole: true,
		why: "its programs stand beside the product and use its public packages"},
}

// bans hold through any number of steps.
var bans = []struct {
	from, to, why string
	but           []string // packages that the ban does not concern
}{
	{from: "client", to: "switchboard", why: "a program that connects would carry a whole server"},
	{from: "switchboard", to: "client", why: "the server would be a client of itself, and the two could no longer be tested against each other"},
	{from: "cmd/sbctl", to: "switchboard", why: "the command line would carry a whole server, and start as slowly"},
	{from: "cmd/switchboard", to: "client", why: "the server's program talks to nobody"},
	{from: "...", to: "cmd/...", but: []string{"cmd/..."}, why: "a command is the end of the chain: what others need goes into a package"},
	{from: "...", to: "internal/testnet", why: "it is for tests only"},
	{from: "...", to: "cmd/internal/scripttest", why: "it is for tests only"},
}

// testModules may be imported by tests, and by nothing else.
var testModules = []string{
	"pgregory.net/rapid", "go.uber.org/goleak", "golang.org/x/net/nettest", "github.com/google/go-cmp", testscript}

// leafBans are parts of the standard library that a leaf has no business with.
var leafBans = map[string]string{
	"net/http":     "a leaf speaks one protocol, and HTTP is not it",
	"encoding/gob": "a Go-only form on the wire shuts out every other language",
	"reflect":      "what needs it hides its types from the reader",
	"unsafe":       "bytes from strangers pass through here",
}

var leaves = []string{"shs", "shs/internal/...", "muxrpc", "names", "internal/mux"}

// pkg is what go list says of one package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Deps                               []string
}

// list asks the go command about all packages of the module, for one system.
func list(t *testing.T, system string) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags=fault", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOFLAGS=-mod=readonly", "GOWORK=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %s: %v\n%s", system, err, stderr.String())
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// short is a package's place below the module; false if it is not ours.
func short(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// fits reports whether the pattern of a rule covers a package.
func fits(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if above, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == above || strings.HasPrefix(pkg, above+"/")
	}
	return pkg == pattern
}

func fitsAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, pkg) })
}

// inModule reports whether an import path belongs to one of modules.
func inModule(modules []string, path string) bool {
	return slices.ContainsFunc(modules, func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") })
}

// standard reports whether path is in the standard library, whose first elements
// have no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func TestImports(t *testing.T) {
	for _, system := range []string{"linux", "darwin"} {
		packages := list(t, system)
		if len(packages) < 10 {
			t.Fatalf("go list for %s found %d packages, want the whole module", system, len(packages))
		}
		for _, p := range packages {
			for _, fault := range p.faults() {
				t.Error(system + ": " + fault)
			}
		}
	}
}

// faults lists what a package imports and must not, with the reasons.
func (p pkg) faults() (all []string) {
	name, _ := short(p.ImportPath)
	i := slices.IndexFunc(rules, func(r rule) bool { return fits(r.pkg, name) })
	if i < 0 {
		return []string{name + " has no rule: say in rules what it may import, and why"}
	}
	r := rules[i]
	for _, path := range p.Imports {
		if why := r.bans(name, path); why != "" {
			all = append(all, fmt.Sprintf("%s imports %s: %s", name, path, why))
		}
	}
	for _, path := range append(p.TestImports, p.XTestImports...) {
		if !r.allowsTest(name, path) {
			all = append(all, fmt.Sprintf("a test of %s imports %s: %s", name, path, r.why))
		}
	}
	for _, path := range p.Deps {
		target, ours := short(path)
		for _, ban := range bans {
			if ours && fits(ban.from, name) && fits(ban.to, target) && !fitsAny(ban.but, name) {
				all = append(all, fmt.Sprintf("%s leads to %s: %s", name, target, ban.why))
			}
		}
	}
	return all
}

// bans says why a package must not import path, or "".
func (r rule) bans(name, path string) string {
	target, ours := short(path)
	switch {
	case ours && fitsAny(r.ours, target), inModule(r.modules, path):
		return ""
	case !ours && standard(path) && fitsAny(leaves, name):
		return leafBans[path]
	case !ours && standard(path):
		return ""
	}
	return r.why
}

// allowsTest reports whether a test of a package may import path.
func (r rule) allowsTest(name, path string) bool {
	target, ours := short(path)
	if !ours {
		return standard(path) || inModule(r.modules, path) || inModule(testModules, path)
	}
	if target == name || target == "internal/testnet" || fitsAny(r.ours, target) {
		return true
	}
	return r.whole && (!fits("cmd/...", target) || fits("cmd/...", name))
}

// TestRulesBite shows that each kind of fault is found.
func TestRulesBite(t *testing.T) {
	for _, p := range []pkg{
		{ImportPath: module + "/util"},
		{ImportPath: module + "/names", Imports: []string{module + "/shs"}},
		{ImportPath: module + "/names", Imports: []string{"golang.org/x/sys/unix"}},
		{ImportPath: module + "/names", Imports: []string{"net/http"}},
		{ImportPath: module + "/names", Imports: []string{"pgregory.net/rapid"}},
		{ImportPath: module + "/names", TestImports: []string{module + "/switchboard"}},
		{ImportPath: module + "/names", XTestImports: []string{"github.com/stretchr/testify/assert"}},
		{ImportPath: module + "/client", Imports: []string{module + "/switchboard"}},
		{ImportPath: module + "/client", Imports: []string{cobra}},
		{ImportPath: module + "/client", Deps: []string{module + "/switchboard"}},
		{ImportPath: module + "/client", XTestImports: []string{module + "/cmd/internal/ctl"}},
		{ImportPath: module + "/switchboard", Deps: []string{module + "/client"}},
		{ImportPath: module + "/switchboard", Deps: []string{module + "/internal/testnet"}},
		{ImportPath: module + "/cmd/sbctl", Deps: []string{module + "/switchboard"}},
		{ImportPath: module + "/examples/go/echo", Imports: []string{module + "/muxrpc"}},
	} {
		if faults := p.faults(); len(faults) != 1 {
			t.Errorf("%+v: found %q, want one fault", p, faults)
		}
	}
}
