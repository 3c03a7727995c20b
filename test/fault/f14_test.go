//go:build fault

package fault_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// F14: implementations of the handshake that are not ours, misbehaving peers among
// them: npm's shs1-test in both roles, 45 cases a seed, and secret-handshake. All
// pass, and no process of ours ends by anything but a refusal.
func TestF14Suite(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s here", name)
		}
	}
	seeds := times(20, 10_000)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(5, 90))*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../interop/js/run.sh", "shs1.test.js", "secret-handshake.test.js")
	cmd.Env = append(os.Environ(), "SHS1_SEEDS="+strconv.Itoa(seeds))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // node and its peers, too
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, out)
	}
	must(t, err)
	passed := regexp.MustCompile(`(?m)^.* pass (\d+)$`).FindSubmatch(out)
	draw := regexp.MustCompile(strconv.Itoa(seeds) + ` seeds of ([0-9a-f]+)`).FindSubmatch(out)
	if passed == nil || draw == nil || strings.Contains(string(out), "panic:") {
		t.Fatalf("it does not say what passed:\n%s", out)
	}
	report(t, "F14", "shs1-test, %d seeds of %s, 45 cases each in both roles, and secret-handshake: %s tests passed in %v, no panic",
		seeds, draw[1], passed[1], time.Since(began).Round(time.Second))
}
