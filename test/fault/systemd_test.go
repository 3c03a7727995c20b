//go:build fault

package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// A server tells its manager that it is ready, gives signs of life twice in the
// watchdog's time, and none while it is stopped; it tells of a reload and of its
// end.
func TestNotify(t *testing.T) {
	m := newManager(t)
	d := newDaemon(t)
	const dog = 400 * time.Millisecond
	d.env = m.env(dog)
	d.start()
	if got := m.next(20 * time.Second); got != "READY=1\nSTATUS=0 sessions, 0 channels at the server, 0 on direct links\n" {
		t.Errorf("first it said %q, want READY", got)
	}
	d.where().client(t, "unix")
	if !eventually(10*time.Second, func() bool {
		return m.next(5*time.Second) == "WATCHDOG=1\nSTATUS=1 sessions, 0 channels at the server, 0 on direct links\n"
	}) {
		t.Error("no sign of life with the number of sessions")
	}
	late := time.Duration(0)
	for range times(10, 100) {
		began := time.Now()
		if got := m.next(20 * time.Second); !strings.HasPrefix(got, "WATCHDOG=1\n") {
			t.Errorf("it said %q, want a sign of life", got)
		}
		late = max(late, time.Since(began))
	}
	must(t, d.cmd.Process.Signal(syscall.SIGSTOP))
	for m.next(dog) != "" {
	}
	if got := m.next(2 * dog); got != "" {
		t.Errorf("a stopped server said %q", got)
	}
	must(t, d.cmd.Process.Signal(syscall.SIGCONT))
	m.hears("WATCHDOG=1")
	must(t, d.cmd.Process.Signal(syscall.SIGHUP))
	if got := m.hears("RELOADING=1"); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*\n$`).MatchString(got) {
		t.Errorf("of the reload it said %q", got)
	}
	m.hears("READY=1")
	must(t, d.cmd.Process.Signal(syscall.SIGTERM))
	if got := m.hears("STOPPING=1"); got != "STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000\nSTATUS=stopping\n" {
		t.Errorf("of its end it said %q", got)
	}
	<-d.drained
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	d.cmd = nil
	report(t, "systemd", "READY, RELOADING and STOPPING told; with a watchdog of %v a sign of life every %v at most, none while the process was stopped", dog, ms(late))
}

// A server that fails to start is never ready.
func TestNotifyFailure(t *testing.T) {
	m := newManager(t)
	d := newDaemon(t)
	d.env = m.env(0)
	d.args = []string{"--log-level", "loud"}
	if got := run(t, d.command()); got.code != 2 {
		t.Errorf("ended with %d, want 2", got.code)
	}
	if got := m.next(100 * time.Millisecond); got != "" {
		t.Errorf("it said %q", got)
	}
}

// systemd's own tool passes sockets, Unix and TCP, and the first connection
// starts the server; the sockets are not its own and stay.
func TestSocketActivate(t *testing.T) {
	tool := needTool(t, "systemd-socket-activate")
	key := shs.GenerateKey()
	d := newDaemon(t, key.Public())
	port := freePort(t)
	cmd := exec.Command(tool, "-l", d.sock, "-l", "127.0.0.1:"+port, "-E", "XDG_CONFIG_HOME="+d.dir, "-E", "XDG_RUNTIME_DIR="+d.dir,
		program(t, "switchboard"), "--key", d.dir+"/server.key", "--authorized-peers", d.dir+"/authorized_peers", "--address-file", d.dir+"/address")
	cmd.Dir = d.dir
	log, err := os.Create(d.dir + "/log")
	must(t, err)
	defer log.Close()
	cmd.Stderr = log
	must(t, cmd.Start())
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill(); <-over })
	if !eventually(20*time.Second, func() bool { _, err := os.Lstat(d.sock); return err == nil }) {
		t.Fatal("the tool does not listen: ", d.log())
	}
	d.port = port
	for _, addr := range []string{d.unix(), d.tcp()} {
		c, err := client.Dial(within(t, 20*time.Second), client.Config{Address: addr, Key: key, NoReconnect: true})
		if err != nil {
			t.Fatal(err, d.log())
		}
		if _, err := c.WhoAmI(within(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-over:
		over <- nil
		if err != nil {
			t.Errorf("the server ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the server does not end: ", d.log())
	}
	if _, err := os.Lstat(d.sock); errors.Is(err, fs.ErrNotExist) {
		t.Error("the server has removed a socket that is not its own")
	}
	report(t, "systemd", "systemd-socket-activate: a Unix and a TCP socket served, and left where they are")
}

// The units of deploy are in order for systemd, and what they allow is rated OK
// or better.
func TestUnits(t *testing.T) {
	tool := needTool(t, "systemd-analyze")
	for _, kind := range []string{"system", "user"} {
		dir := room(t)
		units, err := filepath.Glob("../../deploy/" + kind + "/*")
		must(t, err)
		if len(units) != 2 {
			t.Fatalf("deploy/%s has %q, want a service and a socket", kind, units)
		}
		var paths []string
		for _, unit := range units {
			text, err := os.ReadFile(unit)
			must(t, err)
			path := dir + "/" + filepath.Base(unit)
			must(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "/usr/bin/switchboard", program(t, "switchboard"))), 0o644))
			paths = append(paths, path)
		}
		analyze := func(verb string, args ...string) string {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, tool, append([]string{verb, "--" + kind, "--no-pager"}, args...)...)
			cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir, "SYSTEMD_COLORS=0", "SYSTEMD_EMOJI=0")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("systemd-analyze %s for %s: %v\n%s", verb, kind, err, out)
			}
			return string(out)
		}
		if out := analyze("verify", append([]string{"--man=no"}, paths...)...); strings.TrimSpace(out) != "" {
			t.Errorf("systemd-analyze verify for %s says\n%s", kind, out)
		}
		out := analyze("security", "--offline=true", "--threshold=50", dir+"/switchboard.service")
		found := regexp.MustCompile(`Overall exposure level for switchboard.service: ([0-9.]+) (OK|SAFE|PERFECT)`).FindStringSubmatch(out)
		if found == nil {
			t.Errorf("systemd-analyze security for %s says\n%s", kind, out)
			continue
		}
		report(t, "systemd", "the %s service is rated %s %s, without a word by verify", kind, found[1], found[2])
	}
}

// What deploy says of the system is in order too: the configuration is one, and
// names what the units make.
func TestDeployedSettings(t *testing.T) {
	dir := room(t)
	text, err := os.ReadFile("../../deploy/switchboard.toml")
	must(t, err)
	here := strings.ReplaceAll(strings.ReplaceAll(string(text), "/var/lib/switchboard", dir), "/run/switchboard", dir)
	must(t, os.WriteFile(dir+"/switchboard.toml", []byte(here), 0o644))
	list, err := os.ReadFile("../../deploy/tmpfiles.d/switchboard.conf")
	must(t, err)
	_, comment, ok := strings.Cut(string(list), "authorized_peers 0600 switchboard switchboard - ")
	if !ok {
		t.Fatalf("tmpfiles.d makes no authorized_peers: %s", list)
	}
	must(t, os.WriteFile(dir+"/authorized_peers", []byte(comment), 0o600))
	if got := run(t, command(t, dir, "switchboard", "config", "check", dir+"/switchboard.toml")); got.code != 0 {
		t.Errorf("config check ended with %d: %s", got.code, got.stderr)
	}
	for _, unit := range []string{"system", "user"} {
		socket, err := os.ReadFile(fmt.Sprintf("../../deploy/%s/switchboard.socket", unit))
		must(t, err)
		if !strings.Contains(string(socket), "/switchboard/bus.sock\n") {
			t.Errorf("the %s socket is not where clients look", unit)
		}
	}
}
