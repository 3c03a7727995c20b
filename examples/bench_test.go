//go:build examples

package examples_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// patience is how long anything may take on a busy machine.
const patience = 2 * time.Minute

// bench is a running server, the programs, and a user's home.
type bench struct {
	bin       string // folder of the built programs
	home      string
	addresses map[string]string // by transport
}

// newBench builds the programs and starts a server on a Unix socket and on a TCP
// port that admits the bench's user.
func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "sb") // t.TempDir's paths are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bench{bin: filepath.Join(dir, "bin"), home: dir}
	b.build(t, "../cmd/switchboard", "../cmd/sbctl")

	// One key for all: sbctl makes it, JavaScript and Python read the same file.
	// The other one is for tests in which it matters who calls whom.
	var ids []byte
	for _, key := range []string{b.key(), b.otherKey()} {
		id, err := b.command("", "", "sbctl", "key", "new", key).Output()
		if err != nil {
			t.Fatalf("sbctl key new: %v", err)
		}
		ids = append(append(ids, bytes.TrimSpace(id)...), " level=trusted\n"...)
	}
	// The user's own key has one place, and the tester's is not to be touched.
	wrapper := fmt.Sprintf("#!/bin/sh\nexec '%s/sbctl' --key '%s' \"$@\"\n", b.bin, b.key())
	run := filepath.Join(dir, "run/switchboard")
	if err := errors.Join(
		os.MkdirAll(run, 0o700), os.MkdirAll(b.path(), 0o700),
		os.WriteFile(filepath.Join(b.path(), "sbctl"), []byte(wrapper), 0o700),
		os.WriteFile(filepath.Join(dir, "peers"), append([]byte("# the examples\n"), ids...), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	server := b.start(t, "", dir, "switchboard",
		"--listen", "unix:"+run+"/bus.sock", "--listen", "net:127.0.0.1:0",
		"--key", filepath.Join(dir, "server.key"), "--authorized-peers", filepath.Join(dir, "peers"),
		"--address-file", b.addressFile())
	server.await(t, "try: sbctl")
	text, err := os.ReadFile(b.addressFile())
	if err != nil {
		t.Fatal(err)
	}
	unix, tcp, ok := strings.Cut(strings.TrimSpace(string(text)), ";")
	if !ok {
		t.Fatalf("the address file says %q", text)
	}
	b.addresses = map[string]string{"unix": unix, "net": tcp}
	return b
}

// key is the path of the user's key.
func (b *bench) key() string { return filepath.Join(b.home, "user.key") }

// otherKey is the path of another user's.
func (b *bench) otherKey() string { return filepath.Join(b.home, "other.key") }

// path is a folder in which sbctl logs in with that key.
func (b *bench) path() string { return filepath.Join(b.home, "path") }

// build builds commands of this module into bin.
func (b *bench) build(t *testing.T, packages ...string) {
	t.Helper()
	args := append([]string{"build", "-o", b.bin + "/"}, packages...)
	for i, p := range packages {
		args[len(args)-len(packages)+i] = "./" + p
	}
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// addressFile is the file that the server writes.
func (b *bench) addressFile() string { return filepath.Join(b.home, "run/switchboard/address") }

// public is the key of the bench's user.
func (b *bench) public(t *testing.T) string {
	t.Helper()
	key, err := shs.LoadKey(b.key())
	if err != nil {
		t.Fatal(err)
	}
	return key.Public().String()
}

func (b *bench) chmodAddress(t *testing.T, mode os.FileMode) {
	if err := os.Chmod(b.addressFile(), mode); err != nil {
		t.Fatal(err)
	}
}

// command is a program as the bench's user starts it, in a folder of examples.
func (b *bench) command(addr, dir string, args ...string) *exec.Cmd {
	for _, dir := range []string{b.path(), b.bin} {
		own := filepath.Join(dir, args[0])
		if _, err := os.Stat(own); err == nil && !strings.Contains(args[0], "/") {
			args = append([]string{own}, args[1:]...)
		}
	}
	cmd := exec.Command(strings.Replace(args[0], "BIN", b.bin, 1), args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"PATH="+b.path()+":"+os.Getenv("PATH"), "XDG_RUNTIME_DIR="+filepath.Join(b.home, "run"),
		"SWITCHBOARD_ADDRESS="+addr, "SWITCHBOARD_KEY="+b.key())
	return cmd
}

// process is a started program and what it has said so far.
type process struct {
	cmd  *exec.Cmd
	name string
	in   io.WriteCloser // only of those that node starts
	done chan struct{}  // closed when it has ended and err is set
	err  error

	mu      sync.Mutex
	said    bytes.Buffer
	changed chan struct{} // closed and replaced on each change
}

// start starts a program, which the test's end kills with its children.
func (b *bench) start(t *testing.T, addr, dir string, args ...string) *process {
	t.Helper()
	return b.run(t, b.command(addr, dir, args...), strings.Join(args, " "))
}

// run is start for a command.
func (b *bench) run(t *testing.T, cmd *exec.Cmd, name string) *process {
	t.Helper()
	p := &process{cmd: cmd, name: name}
	p.done, p.changed = make(chan struct{}), make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		// It may have ended by itself.
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, p.text())
		}
	})
	return p
}

// Write takes what the program says.
func (p *process) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
	return p.said.Write(data)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// await waits until the program has said what.
func (p *process) await(t *testing.T, what string) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for done := p.done; ; {
		p.mu.Lock()
		found, changed := strings.Contains(p.said.String(), what), p.changed
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-done:
			if done = nil; strings.Contains(p.text(), what) {
				return
			}
			t.Fatalf("%s ended (%v) and never said %q", p.name, p.err, what)
		case <-late.C:
			t.Fatalf("%s does not say %q", p.name, what)
		}
	}
}

// wait waits for the end of the program.
func (p *process) wait(t *testing.T) error {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.done:
		return p.err
	case <-late.C:
		t.Fatalf("%s does not end", p.name)
		return nil
	}
}

// exit waits for the good end of the program.
func (p *process) exit(t *testing.T) {
	t.Helper()
	if err := p.wait(t); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// fail waits for the end of a program that ought to fail.
func (p *process) fail(t *testing.T) {
	t.Helper()
	if err := p.wait(t); err == nil {
		t.Fatalf("%s succeeded", p.name)
	}
}

// interrupt sends what Ctrl-C sends, and waits for a good end.
func (p *process) interrupt(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	p.exit(t)
}

// needGo builds an example.
func needGo(dir string) func(*testing.T, *bench) {
	return func(t *testing.T, b *bench) { b.build(t, dir) }
}

// needNode installs what the JavaScript examples import.
func needNode(t *testing.T, _ *bench) {
	t.Helper()
	need(t, "node", "node 20 or newer (Debian: apt-get install nodejs)")
	need(t, "npm", "npm (Debian: apt-get install npm)")
	install(t, "js/package-lock.json", "js/node_modules/.installed", "js", []string{"npm", "ci"})
}

// needPython installs what the Python examples import.
func needPython(t *testing.T, _ *bench) {
	t.Helper()
	need(t, "python3", "python 3.9 or newer (Debian: apt-get install python3 python3-venv)")
	install(t, "python/requirements.txt", "python/.venv/.installed", "python",
		[]string{"python3", "-m", "venv", "--clear", ".venv"},
		[]string{".venv/bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "-r", "requirements.txt"})
}

// need skips the test where a program is missing; in CI it fails.
func need(t *testing.T, program, hint string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: install %s", program, hint)
	}
	t.Skipf("%s is missing: install %s", program, hint)
}

// install runs the steps in dir unless stamp says that this was done for the
// very same list of packages.
func install(t *testing.T, list, stamp, dir string, steps ...[]string) {
	t.Helper()
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if have, err := os.ReadFile(stamp); err == nil && bytes.Equal(have, sum[:]) {
		return
	}
	for _, step := range steps {
		cmd := exec.CommandContext(t.Context(), step[0], step[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s in %s: %v\n%s", strings.Join(step, " "), dir, err, out)
		}
	}
	if err := os.WriteFile(stamp, sum[:], 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace puts values for placeholders into each argument.
func replace(args []string, pairs ...string) []string {
	r := strings.NewReplacer(pairs...)
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = r.Replace(a)
	}
	return out
}
