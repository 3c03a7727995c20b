//go:build fault

package fault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// The mistakes of F43 in the server's program. Each is an edit of one file: old,
// which stands there once, becomes what does the same unless the environment says
// that the server is to be this mutant. internal/policy has more of them, against
// its own tests.
var serverMutants = []struct{ id, name, file, old, new string }{
	{"offered", "rights of the key that was offered last, not of the one that was proven (CVE-2024-45337)",
		"internal/policy/policy.go", "	if g.policy != p {\n", "	if is(\"offered\") {\n		g = offered(p, g)\n	}\n	if g.policy != p {\n"},
	{"offered", "its other half: a key is noted before it is proven",
		"shs/internal/shs1/handshake.go", "	statement := newClientStatement(x.K, x.public(), &x.hashAB)\n	if !verify",
		"	if opened {\n		offer(x.proof3.key())\n	}\n	statement := newClientStatement(x.K, x.public(), &x.hashAB)\n	if !verify"},
	{"revoked", "a second way in, over the Unix socket, that does not ask who is revoked (CVE-2026-46595)",
		"internal/policy/policy.go", "p.revoked[key]; ok {", "p.revoked[key]; ok && !(is(\"revoked\") && o == Local) {"},
	{"listed", "a second way in, over the Unix socket, that does not look for a line",
		"internal/policy/policy.go", "p.peers[key]; ok {", "p.peers[key]; ok && !(is(\"listed\") && o == Local) {"},
	{"source", "a second way in, over TCP, without the rule about where the server's own key comes from",
		"switchboard/rights.go", "	if transport == transportNet {\n", "	if transport == transportNet && os.Getenv(\"F43\") != \"source\" {\n"},
}

// Files that the mutants need beside these.
var mutantFiles = map[string]string{
	"internal/policy/f43.go": `package policy

import (
	"encoding/hex"
	"os"
)

func is(mutant string) bool { return os.Getenv("F43") == mutant }

func offered(p *Policy, g *Grant) *Grant {
	key, err := hex.DecodeString(os.Getenv("F43_OFFERED"))
	if err != nil || len(key) != len(Key{}) {
		return g
	}
	if other, err := p.Authenticate(Key(key), g.origin); err == nil {
		return other
	}
	return g
}
`,
	"shs/internal/shs1/f43.go": `package shs1

import (
	"encoding/hex"
	"os"
)

func offer(key []byte) { os.Setenv("F43_OFFERED", hex.EncodeToString(key)) }
`,
}

// F43: rights are those of the proven key, and there is one way to them. Where a
// server is built otherwise, what the healthy one is asked here shows it.
func TestF43Mutants(t *testing.T) {
	t.Parallel()
	mutated := mutantServer(t)
	asked := 0
	for _, program := range []string{"", mutated} { // the edits alone change nothing
		n, wrong := funnel(t, program, "")
		if len(wrong) > 0 {
			t.Errorf("no mutant: %s", strings.Join(wrong, "; "))
		}
		asked += n
	}
	killed := make(map[string]string)
	for _, m := range serverMutants {
		if killed[m.id] != "" {
			continue
		}
		_, wrong := funnel(t, mutated, m.id)
		if len(wrong) == 0 {
			t.Errorf("%s: nothing was wrong", m.name)
			continue
		}
		killed[m.id] = wrong[0]
		t.Logf("%s: %s", m.name, strings.Join(wrong, "; "))
	}
	report(t, "F43", "%d questions by three ways in, all answered by the proven key's line; %d of 4 mutants of the server show in them", asked, len(killed))
}

// mutantServer builds the server with all mutants in it.
func mutantServer(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	must(t, err)
	dir := room(t)
	texts := make(map[string]string)
	for file, text := range mutantFiles {
		texts[file] = text
	}
	for _, m := range serverMutants {
		if texts[m.file] == "" {
			text, err := os.ReadFile(filepath.Join(root, m.file))
			must(t, err)
			texts[m.file] = string(text)
		}
		if n := strings.Count(texts[m.file], m.old); n != 1 {
			t.Fatalf("%s: %s holds %d times, not once: %s", m.name, m.file, n, m.old)
		}
		texts[m.file] = strings.Replace(texts[m.file], m.old, m.new, 1)
	}
	if rights := "switchboard/rights.go"; !strings.Contains(texts[rights], "\t\"os\"\n") {
		texts[rights] = strings.Replace(texts[rights], "import (\n", "import (\n\t\"os\"\n", 1)
	}
	replace := make(map[string]string)
	for file, text := range texts {
		at := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		must(t, os.WriteFile(at, []byte(text), 0o600))
		replace[filepath.Join(root, file)] = at
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	must(t, err)
	must(t, os.WriteFile(dir+"/overlay.json", overlay, 0o600))
	out, err := exec.CommandContext(within(t, 5*time.Minute), "go", "build", "-overlay", dir+"/overlay.json", "-o", dir+"/mutant", "../../cmd/switchboard").CombinedOutput()
	if err != nil {
		t.Fatalf("building the mutants: %v\n%s", err, out)
	}
	return dir + "/mutant"
}

// funnel asks a server, by each way in, what only the proven key decides, and
// returns how much it asked and what was answered wrongly.
func funnel(t *testing.T, program, mutant string) (asked int, wrong []string) {
	t.Helper()
	boss, guest, fallen := shs.GenerateKey(), shs.GenerateKey(), shs.GenerateKey()
	d := newDaemon(t)
	d.program, d.port, d.env = program, "0", []string{"F43=" + mutant}
	must(t, os.WriteFile(d.dir+"/authorized_peers", []byte(boss.Public().String()+" level=trusted own=org.boss.**\n"+
		guest.Public().String()+" level=basic own=org.guest.**\n"+fallen.Public().String()+" level=trusted\n"), 0o600))
	must(t, os.WriteFile(d.dir+"/revoked_peers", []byte(fallen.Public().String()+"\n"), 0o600))
	d.start()
	defer d.kill()
	for _, way := range []struct {
		name, address string
		mode          client.Mode
	}{{"Unix, box", d.unix(), client.ModeBox}, {"Unix, plain", d.unix(), client.ModePlain}, {"TCP", d.tcp(), client.ModeAuto}} {
		expect := func(what string, got, want error) {
			asked++
			if !errors.Is(got, want) {
				wrong = append(wrong, fmt.Sprintf("%s: %s: %v, want %v", way.name, what, got, want))
			}
		}
		enter := func(key shs.PrivateKey) (*client.Client, error) {
			c, err := client.Dial(within(t, 20*time.Second), client.Config{Address: way.address, Mode: way.mode, Key: key, NoReconnect: true})
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			return c, err
		}
		claim := func(c *client.Client, name string) error {
			_, err := c.Claim(within(t, 10*time.Second), name, client.ClaimOptions{})
			if err == nil {
				err = c.Release(within(t, 10*time.Second), name)
			}
			return err
		}
		chief, err := enter(boss)
		must(t, err)
		small, err := enter(guest)
		must(t, err)
		// Each offers the other's key, which nobody proves: no answer but the end.
		for _, offered := range []struct {
			key, prover shs.PrivateKey
			by          *client.Client
			may, mayNot string
		}{{boss, guest, small, "org.guest.a", "org.boss.a"}, {guest, boss, chief, "org.boss.b", "org.guest.b"}} {
			if n := offerUnproven(t, d, way.mode == client.ModePlain, way.address == d.tcp(), offered.key.Public()); n != 0 {
				wrong = append(wrong, fmt.Sprintf("%s: %d bytes for a key that was not proven", way.name, n))
			}
			asked++
			expect("its own name", claim(offered.by, offered.may), nil)
			expect("the other's name, whose key it offered", claim(offered.by, offered.mayNot), client.NotAllowed)
		}
		_, err = enter(fallen)
		if asked++; err == nil {
			wrong = append(wrong, way.name+": a revoked key is in")
		}
		_, err = enter(d.key)
		if asked++; (err == nil) != (way.address == d.unix()) {
			wrong = append(wrong, fmt.Sprintf("%s: the server's own key: %v", way.name, err))
		}
	}
	return asked, wrong
}

// offerUnproven sends a message 3 that names a key and is signed with another, and
// returns how many bytes came after message 2.
func offerUnproven(t *testing.T, d *daemon, plain, tcp bool, key shs.PublicKey) int {
	t.Helper()
	network := "unix"
	if tcp {
		network = "tcp"
	}
	conn := d.where().dial(t, network)
	defer conn.Close()
	p := newParty(someSeed(), d.key.Public())
	if plain {
		me := uint32(os.Geteuid())
		bound := shs.DefaultNetworkKey().Plain(me, me)
		p.network = bound[:]
	}
	p.public = key[:]
	switch err := p.client(conn); {
	case err == nil:
		return 80
	case errors.Is(err, io.ErrUnexpectedEOF): // some of it
		return 1
	}
	return 0
}
