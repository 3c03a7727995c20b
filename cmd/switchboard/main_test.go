package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cad2f06c/switchboard/cmd/internal/scripttest"
)

func TestMain(m *testing.M) { scripttest.Main(m, nil) }

func TestScript(t *testing.T) { scripttest.Run(t, "testdata/script") }

// asUser tells this test binary where the scripts of TestUserScript are when it
// has started itself as another user.
const asUser = "SWITCHBOARD_TEST_SCRIPTS"

// TestUserScript runs the scripts that use the default places. Root's are in
// /run and /etc, which a test leaves alone: root runs them as nobody.
func TestUserScript(t *testing.T) {
	if dir := os.Getenv(asUser); dir != "" {
		scripttest.Run(t, dir)
		return
	}
	if os.Geteuid() != 0 {
		scripttest.Run(t, "testdata/user")
		return
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "sb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	binary, scripts := filepath.Join(dir, "switchboard.test"), filepath.Join(dir, "scripts")
	for _, err := range []error{
		os.WriteFile(binary, self, 0o755),
		os.CopyFS(scripts, os.DirFS("testdata/user")),
		os.Chown(dir, nobody, nobody),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binary, "-test.run=^TestUserScript$", "-test.v")
	cmd.Dir = dir
	cmd.Env = []string{asUser + "=" + scripts, "TMPDIR=" + dir, "PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("as user %d: %v\n%s", nobody, err, out)
	}
}
