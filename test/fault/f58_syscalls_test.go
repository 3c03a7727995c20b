//go:build fault && linux

package fault_test

import (
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/peersfile"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// contents are all files of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		all[e.Name()] = string(text)
	}
	return all
}

// F58: who saves a line, a revocation, an invite or a redemption is killed at each
// system call that it makes for that, before it is made. Every file is there as it
// was or as it is to be; what was answered is there; and whoever comes next makes good
// what was begun and sweeps what is left.
func TestF58EachSystemCall(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	must(t, err)
	fresh, old := shs.GenerateKey().Public(), shs.GenerateKey().Public()
	expires := time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05Z")
	step := times(3, 1) // the short form leaves some out
	kills := make(map[string]int)
	for what := range changes {
		before := map[string]string{"authorized_peers": "# a list\n" + shs.GenerateKey().Public().String() + " level=basic\n", "revoked_peers": "", "invites": ""}
		if what == "revocation" {
			before["authorized_peers"] += old.String() + " # lost soon\n"
			before["revoked_peers"] = shs.GenerateKey().Public().String() + "\n"
		}
		prepare := func() peersfile.Files {
			dir := filepath.Join(room(t), rand.Text())
			must(t, os.Mkdir(dir, 0o700))
			for name, text := range before {
				if text != "" {
					must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
				}
			}
			f := peersfile.Beside(filepath.Join(dir, "authorized_peers"))
			if what == "redemption" && before["invites"] == "" {
				must(t, f.AddInvite(t.Context(), time.Now(), 32, policy.Key(old), "", policy.Option{Name: "expires", Value: expires}))
				before["invites"] = contents(t, dir)["invites"]
			}
			return f
		}
		after := make(map[string]string)
		whole := prepare()
		must(t, changes[what](whole, policy.Key(fresh), policy.Key(old), expires))
		maps.Copy(after, contents(t, filepath.Dir(whole.Peers)))
		synced := false // the last fsync before the answer
		for n := 1; ; n += step {
			f := prepare()
			dir := filepath.Dir(f.Peers)
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), saverEnv+"="+strings.Join([]string{what, f.Peers, fresh.String(), old.String(), expires}, " "))
			number, said, done := dieAt(t, cmd, n)
			answered := strings.Contains(said, "done")
			at := fmt.Sprintf("%s, killed at system call %d (number %d)", what, n, number)
			if done && !answered || n > 500 {
				t.Fatalf("%s: %q, which was not killed, was not answered", what, said)
			}
			synced = synced || number == syscall.SYS_FSYNC
			changed := 0
			for name, text := range contents(t, dir) {
				switch {
				case strings.Contains(name, ".new-"):
				case text == after[name] && text != before[name]:
					changed++
				case name == "invites" && what == "redemption": // bound, which is a step of its own
				case text != before[name]:
					t.Errorf("%s: %s is neither old nor new:\n%s", at, name, text)
				}
			}
			if answered && changed == 0 {
				t.Errorf("%s: answered, and nothing has changed", at)
			}
			made(t, at, f, what, policy.Key(fresh), policy.Key(old), answered)
			if done {
				break
			}
			kills[what]++
		}
		if kills[what] < 8 || !synced && step == 1 {
			t.Errorf("%s: %d system calls, an fsync among them: %v", what, kills[what], synced)
		}
	}
	report(t, "F58", "killed at one in %d of the system calls of a line (%d), a revocation (%d), an invite (%d) and a redemption (%d): every file old or new, what was answered is there, the next change finds all in order",
		step, kills["line"], kills["revocation"], kills["invite"], kills["redemption"])
}

// made does what a server does when it starts, and another change: all is in order,
// and the change is whole or not there.
func made(t *testing.T, at string, f peersfile.Files, what string, fresh, old policy.Key, answered bool) {
	t.Helper()
	if _, err := f.Finish(t.Context(), time.Now()); err != nil {
		t.Fatalf("%s: finishing: %v", at, err)
	}
	must(t, f.Edit(t.Context(), policy.Change{Action: policy.Add, Key: policy.Key(shs.GenerateKey().Public())}))
	peers, err := f.ReadPeers()
	must(t, err)
	revoked, err := f.ReadRevoked()
	must(t, err)
	invites, err := f.ReadInvites(time.Now())
	must(t, err)
	has := func(all []policy.Peer, key policy.Key) bool {
		for _, p := range all {
			if p.Key == key {
				return p.Redeemer == (policy.Key{})
			}
		}
		return false
	}
	_, isRevoked := revoked[old]
	is := map[string]bool{"line": has(peers, fresh), "revocation": isRevoked, "invite": has(invites, fresh), "redemption": has(peers, fresh)}[what]
	if answered && !is || what == "redemption" && is == has(invites, old) {
		t.Errorf("%s: answered %t, there %t; %d lines, %d revoked, %d invites", at, answered, is, len(peers), len(revoked), len(invites))
	}
	for name := range contents(t, filepath.Dir(f.Peers)) {
		if strings.Contains(name, ".new-") {
			t.Errorf("%s: %s was left behind", at, name)
		}
	}
}
