package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// swap replaces old, which stands once in the file. The new text does what the old
// one does unless the variable mutant says its name.
type swap struct{ file, old, new string }

// mutants are mistakes that somebody could make, after two that were made elsewhere:
// rights of a key that was offered and not proven (CVE-2024-45337), and a second way
// in that forgot a rule of the first (CVE-2026-46595).
var mutants = []struct {
	id, name string
	swaps    []swap
}{
	{"offered", "the offered instead of the proven key", []swap{
		{"policy.go", "	borders map[string]*border\n", "	borders map[string]*border\n	offered *Key\n"},
		{"config.go", "		server:  cfg.Server,\n", "		server:  cfg.Server,\n		offered: new(Key),\n"},
		{"policy.go", "	if _, ok := p.revoked[key]; ok {", "	*p.offered = key\n	if _, ok := p.revoked[key]; ok {"},
		{"policy.go", "	if g.policy != p {",
			`	if offered, err := p.Authenticate(*p.offered, g.origin); mutant == "offered" && err == nil {
				g = offered
			}
			if g.policy != p {`},
	}},
	{"revoked", "a second path without the rule: local peers are not asked whether they are revoked", []swap{
		{"policy.go", "p.revoked[key]; ok {", `p.revoked[key]; ok && (mutant != "revoked" || o == Far) {`},
	}},
	{"listed", "a second path without the rule: local peers are not looked up", []swap{
		{"policy.go", "p.peers[key]; ok {", `p.peers[key]; ok && (mutant != "listed" || o == Far) {`},
	}},
	{"server", "a second path without the rule: the server's own key is itself from anywhere", []swap{
		{"policy.go", "isServer && o == Local {", `isServer && (mutant == "server" || o == Local) {`},
	}},
	{"older", "a second path without the rule: a grant of an older snapshot goes on", []swap{
		{"policy.go", "if g.policy != p {", `if mutant != "older" && g.policy != p {`},
	}},
	{"border", "a second path without the rule: names of other tenants need a pattern only", []swap{
		{"policy.go", "g.tenant, o.Name); !ok {", `g.tenant, o.Name); !ok && mutant != "border" {`},
	}},
	{"trust", "a second path without the rule: who is untrusted talks to all that it sees", []swap{
		{"policy.go", "if v == Talk && o.Owned", `if mutant != "trust" && v == Talk && o.Owned`},
	}},
}

// mutantEnv says which mutant a test program is to be.
const mutantEnv = "POLICY_MUTANT"

// TestMutants builds the package's tests with all mutants in it and asserts that they
// fail with each, and pass with none, so that a failure means something.
func TestMutants(t *testing.T) {
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	replace := map[string]string{"mutant.go": "package policy\n\nimport \"os\"\n\nvar mutant = os.Getenv(\"" + mutantEnv + "\")\n"}
	for _, m := range mutants {
		for _, s := range m.swaps {
			if replace[s.file] == "" {
				text, err := os.ReadFile(s.file)
				if err != nil {
					t.Fatal(err)
				}
				replace[s.file] = string(text)
			}
			if n := strings.Count(replace[s.file], s.old); n != 1 {
				t.Fatalf("%s: %s holds %d times, not once: %s", m.name, s.file, n, s.old)
			}
			replace[s.file] = strings.Replace(replace[s.file], s.old, s.new, 1)
		}
	}
	tests := build(t, dir, temp, replace)
	if out, code := runMutant(t, tests, ""); code != 0 {
		t.Fatalf("no mutant: the tests end with %d\n%s", code, out)
	}
	for _, m := range mutants {
		if out, code := runMutant(t, tests, m.id); code != 1 || !bytes.Contains(out, []byte("--- FAIL: ")) {
			t.Errorf("%s: the tests end with %d and do not fail\n%s", m.name, code, out)
		}
	}
}

// build makes a test program of the package with other texts for some of its files.
func build(t *testing.T, dir, temp string, texts map[string]string) (tests string) {
	t.Helper()
	replace := make(map[string]string)
	for file, text := range texts {
		replace[filepath.Join(dir, file)] = filepath.Join(temp, file)
		if err := os.WriteFile(filepath.Join(temp, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(temp, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	tests = filepath.Join(temp, "policy.test")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", filepath.Join(temp, "overlay.json"), "-o", tests, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the mutants: %v\n%s", err, out)
	}
	return tests
}

// runMutant returns what the tests of decisions say of a mutant, and their exit code.
// Those of files, rates and allocations have nothing to say here.
func runMutant(t *testing.T, tests, id string) (out []byte, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tests, "-test.skip=^Test(Mutants|AuthorizeAllocates|Edit|Parse|Bucket|Window)", "-test.timeout=60s", "-rapid.nofailfile", "-rapid.shrinktime=0s")
	cmd.Env = append(os.Environ(), mutantEnv+"="+id)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return out, exit.ExitCode()
	case err != nil:
		t.Fatalf("running the tests with mutant %q: %v", id, err)
	}
	return out, 0
}
