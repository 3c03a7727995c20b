//go:build fault && linux

package fault_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// F67: of a real server's log, flipped bytes, deleted, doubled and swapped lines and
// a cut are found by "sbctl audit verify", which names the first bad record. A cut
// back to a head shows only with the heads that were kept elsewhere. (Every byte of
// 1,000 records is tried in internal/audit.)
func TestF67AuditTampered(t *testing.T) {
	dir := filepath.Join(room(t), "audit")
	d, admin := keeper(t, dir)
	for i := range 40 {
		c, err := client.Dial(within(t, 10*time.Second), client.Config{Address: d.unix(), Key: shs.GenerateKey()})
		must(t, err)
		_, err = c.Lookup(within(t, 10*time.Second), fmt.Sprintf("org.example.n%d", i))
		if err == nil {
			t.Fatal("a name that nobody has")
		}
		must(t, c.Close())
	}
	must(t, admin.Close())
	d.stop()
	files, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v, want one file", files, err)
	}
	whole, err := os.ReadFile(files[0])
	must(t, err)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	lines = lines[:len(lines)-1]
	heads := filepath.Join(d.dir, "heads")
	must(t, os.WriteFile(heads, lines[len(lines)-1], 0o600))
	verify := func(text []byte, more ...string) outcome {
		t.Helper()
		must(t, os.WriteFile(files[0], text, 0o600))
		args := append([]string{"audit", "verify", dir, "--server", d.key.Public().String()}, more...)
		return run(t, command(t, d.dir, "sbctl", args...))
	}
	if got := verify(whole, "--heads", heads); got.code != 0 {
		t.Fatalf("untouched: %+v", got)
	}
	names := regexp.MustCompile(`record \d+ is the first that is wrong`)
	tried := 0
	bad := func(what string, text []byte, more ...string) {
		t.Helper()
		tried++
		if got := verify(text, more...); got.code != 1 || !names.MatchString(got.stderr) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	for i := 0; i < len(whole); i += max(1, len(whole)/times(40, 2000)) {
		text := bytes.Clone(whole)
		text[i] ^= 1
		bad(fmt.Sprintf("byte %d", i), text)
	}
	n := len(lines) / 2
	join := func(parts ...[][]byte) []byte {
		var all []byte
		for _, p := range parts {
			all = append(all, bytes.Join(p, nil)...)
		}
		return all
	}
	bad("a line deleted", join(lines[:n], lines[n+1:]))
	bad("a line doubled", join(lines[:n+1], lines[n:]))
	bad("two lines swapped", join(lines[:n], lines[n+1:n+2], lines[n:n+1], lines[n+2:]))
	bad("cut within a line", whole[:len(whole)-7])
	bad("a cut tail, with a head kept elsewhere", join(lines[:n]), "--heads", heads)
	if got := verify(join(lines[:n])); got.code != 0 {
		t.Errorf("a cut tail without a head is told by nothing in the files, but: %+v", got)
	}
	report(t, "F67", "%d changes of a log of %d records were all found, each with the first bad record; a cut tail only with a head kept elsewhere", tried, len(lines))
}
