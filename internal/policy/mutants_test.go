package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// swap replaces old, which stands once in the file.
type swap struct{ file, old, new string }

type mutant struct {
	name  string
	swaps []swap
}

// mutants are mistakes that somebody could make, after two that were made elsewhere:
// rights of a key that was offered and not proven (CVE-2024-45337), and a second way
// in that forgot a rule of the first (CVE-2026-46595).
var mutants = []mutant{
	{"the offered instead of the proven key", []swap{
		{"policy.go", "	borders map[string]*border\n", "	borders map[string]*border\n	offered *Key\n"},
		{"config.go", "		server:  cfg.Server,\n", "		server:  cfg.Server,\n		offered: new(Key),\n"},
		{"policy.go", "	if _, ok := p.revoked[key]; ok {", "	*p.offered = key\n	if _, ok := p.revoked[key]; ok {"},
		{"policy.go", "	if g.policy != p {", "	if offered, err := p.Authenticate(*p.offered, g.origin); err == nil {\n		g = offered\n	}\n	if g.policy != p {"},
	}},
	{"a second path without the rule: local peers are not asked whether they are revoked", []swap{
		{"policy.go", "	if _, ok := p.revoked[key]; ok {", "	if _, ok := p.revoked[key]; ok && o == Far {"},
	}},
	{"a second path without the rule: local peers are not looked up", []swap{
		{"policy.go", "	if g, ok := p.peers[key]; ok {", "	if g, ok := p.peers[key]; ok && o == Far {"},
	}},
	{"a second path without the rule: the server's own key is itself from anywhere", []swap{
		{"policy.go", "	if isServer && o == Local {", "	if isServer {"},
	}},
	{"a second path without the rule: a grant of an older snapshot goes on", []swap{
		{"policy.go", "	if g.policy != p {", "	if false {"},
	}},
	{"a second path without the rule: names of other tenants need a pattern only", []swap{
		{"policy.go", "crosses(o.Tenant, g.tenant, o.Name); !ok {", "crosses(o.Tenant, g.tenant, o.Name); !ok && g.policy == nil {"},
	}},
}

// TestMutants builds the package's tests against each mutant and asserts that they
// fail; against the package as it is they pass, so that a failure means something.
func TestMutants(t *testing.T) {
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	run := func(name string, swaps []swap, want int) {
		out, code, err := mutate(t, dir, t.TempDir(), swaps)
		switch {
		case err != nil:
			t.Errorf("%s: %v\n%s", name, err, out)
		case code != want || (code != 0) != bytes.Contains(out, []byte("--- FAIL: ")):
			t.Errorf("%s: the tests end with %d, want %d\n%s", name, code, want, out)
		}
	}
	wg.Go(func() { run("no mutant", nil, 0) })
	for _, half := range [][]mutant{mutants[:len(mutants)/2], mutants[len(mutants)/2:]} {
		wg.Go(func() {
			for _, m := range half {
				run(m.name, m.swaps, 1)
			}
		})
	}
}

// mutate returns what the tests say, and their exit code.
func mutate(t *testing.T, dir, temp string, swaps []swap) (out []byte, code int, err error) {
	texts := make(map[string]string)
	for _, s := range swaps {
		text, ok := texts[s.file]
		if !ok {
			read, err := os.ReadFile(filepath.Join(dir, s.file))
			if err != nil {
				return nil, 0, err
			}
			text = string(read)
		}
		if strings.Count(text, s.old) != 1 {
			return nil, 0, errors.New(s.file + " holds not once what is to be changed: " + s.old)
		}
		texts[s.file] = strings.Replace(text, s.old, s.new, 1)
	}
	replace := make(map[string]string)
	for file, text := range texts {
		replace[filepath.Join(dir, file)] = filepath.Join(temp, file)
		if err := os.WriteFile(filepath.Join(temp, file), []byte(text), 0o600); err != nil {
			return nil, 0, err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(filepath.Join(temp, "overlay.json"), overlay, 0o600)
	}
	if err != nil {
		return nil, 0, err
	}
	tests := filepath.Join(temp, "policy.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", filepath.Join(temp, "overlay.json"), "-o", tests, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return out, 0, err
	}
	// The tests of files and rates are long and have nothing to say here.
	run := exec.CommandContext(t.Context(), tests, "-test.skip=^Test(Mutants|Edit|Parse|Bucket|Window)", "-test.timeout=60s", "-rapid.nofailfile", "-rapid.shrinktime=0s")
	run.Dir = dir
	out, err = run.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, exit.ExitCode(), nil
	}
	return out, 0, err
}
