package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// empty is a program that does nothing: what starting a Go program costs.
const empty = "package main\n\nfunc main() {}\n"

// BenchmarkList is the whole process of `sbctl list`, from fork to exit, beside
// that of a Go program that does nothing. The two take turns, so that a busy
// machine slows both; medians are reported, and their ratio.
func BenchmarkList(b *testing.B) {
	dir := b.TempDir()
	sbctl, nothing := buildBoth(b, dir)
	env := append(os.Environ(), "SWITCHBOARD_ADDRESS="+startServer(b, dir))
	key := filepath.Join(dir, "user.key")
	if out, err := exec.Command(sbctl, "key", "new", key).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	var list, idle []time.Duration
	for b.Loop() {
		list = append(list, timed(b, env, sbctl, "--key", key, "list"))
		idle = append(idle, timed(b, env, nothing))
	}
	slices.Sort(list)
	slices.Sort(idle)
	ours, theirs := list[len(list)/2], idle[len(idle)/2]
	b.ReportMetric(float64(ours.Microseconds())/1000, "list-ms")
	b.ReportMetric(float64(theirs.Microseconds())/1000, "empty-ms")
	b.ReportMetric(float64(ours)/float64(theirs), "list/empty")
}

// buildBoth builds sbctl, switchboard and the empty program.
func buildBoth(b *testing.B, dir string) (sbctl, nothing string) {
	b.Helper()
	source := filepath.Join(dir, "empty.go")
	if err := os.WriteFile(source, []byte(empty), 0o600); err != nil {
		b.Fatal(err)
	}
	nothing = filepath.Join(dir, "empty")
	for _, args := range [][]string{{nothing, source}, {dir + "/", ".", "../switchboard"}} {
		cmd := exec.Command("go", append([]string{"build", "-o"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
	return filepath.Join(dir, "sbctl"), nothing
}

// startServer starts the built server and returns its address.
func startServer(b *testing.B, dir string) string {
	b.Helper()
	address := filepath.Join(dir, "address")
	cmd := exec.Command(filepath.Join(dir, "switchboard"), "--log-level", "error",
		"--listen", "unix:"+filepath.Join(dir, "s"), "--key", filepath.Join(dir, "server.key"), "--address-file", address)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it listens
		b.Fatal(err)
	}
	text, err := os.ReadFile(address)
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// timed runs a command and says how long its process took.
func timed(b *testing.B, env []string, name string, args ...string) time.Duration {
	cmd := exec.Command(name, args...)
	cmd.Env = env
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}
