//go:build fault && linux

package fault_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/audit"
	"github.com/cad2f06c/switchboard/shs"
)

// F55: a peer exits and a process of somebody else's key takes its pid. It gets
// nothing of the first: neither its name nor its place in any decision. In the log the
// two differ by when they were started.
func TestF55PidReused(t *testing.T) {
	needRoot(t)
	d, admin := keeper(t, filepath.Join(room(t), "audit"))
	own, other := filepath.Join(d.dir, "own.key"), filepath.Join(d.dir, "other.key")
	ownKey, otherKey := newKey(t, own), newKey(t, other)
	must(t, os.WriteFile(filepath.Join(d.dir, "peers"), fmt.Appendf(nil,
		"%s own=org.example.** see=** talk=** level=trusted\n%s see=** talk=** level=basic\n", ownKey.Public(), otherKey.Public()), 0o600))
	d.stop()
	d.args = append(d.args, "--authorized-peers", filepath.Join(d.dir, "peers"))
	d.start()

	expose := func(key string) *exec.Cmd {
		return command(t, d.dir, "sbctl", "--address", d.unix(), "--key", key, "expose", "org.example.a", "exec:cat")
	}
	a := expose(own)
	must(t, a.Start())
	pid := a.Process.Pid
	owned := func(want string) {
		t.Helper()
		if !eventually(10*time.Second, func() bool {
			e, err := admin.Lookup(within(t, 10*time.Second), "org.example.a")
			return want == "" && err != nil || err == nil && e.ID.String() == want
		}) {
			t.Fatalf("the name does not come to be of %q", want)
		}
	}
	owned(ownKey.Public().String())
	must(t, a.Process.Kill())
	_ = a.Wait() // it was killed
	owned("")
	b := withPid(t, pid, func() *exec.Cmd { return expose(other) })
	if code := exitOf(b); code != 5 {
		t.Errorf("the process that has taken the pid ended with %d, want 5: not allowed", code)
	}
	owned("")
	if !eventually(10*time.Second, func() bool { return refusals(t, admin, otherKey.Public(), pid) == 1 }) {
		t.Errorf("the log has %d refusals of the other key with pid %d, want 1", refusals(t, admin, otherKey.Public(), pid), pid)
	}
	if pids := startsOf(t, admin, pid); len(pids) != 2 {
		t.Errorf("the log has %v for the processes with pid %d, want 2 different starts", pids, pid)
	}
	report(t, "F55", "pid %d was taken by a process with another key: its claim was refused by that key's own line; their logins are written down with different starts", pid)
}

// refusals is how often the log says that a key with a pid might not do something.
func refusals(t *testing.T, admin *client.Client, key shs.PublicKey, pid int) (n int) {
	t.Helper()
	for raw, err := range admin.Audit(within(t, 10*time.Second), client.AuditQuery{Event: "not_allowed", Peer: key.String()}) {
		must(t, err)
		var r audit.Record
		must(t, r.UnmarshalJSON(raw))
		if r.PID == pid {
			n++
		}
	}
	return n
}

// F55: a process logs in, and ends; another has its connection. The list says that the
// pid is not to be looked for.
func TestF55PidGone(t *testing.T) {
	needRoot(t)
	d, admin := keeper(t, filepath.Join(room(t), "audit"))
	self, err := os.Executable()
	must(t, err)
	holder := exec.Command(self)
	holder.Env = append(os.Environ(), holderEnv+"="+d.sock)
	stdin, err := holder.StdinPipe()
	must(t, err)
	stdout, err := holder.StdoutPipe()
	must(t, err)
	must(t, holder.Start())
	var fd int
	_, err = fmt.Fscan(stdout, &fd)
	must(t, err)
	pid := holder.Process.Pid
	const pidfdOpen, pidfdGetfd = 434, 438 // on every architecture
	pidfd, _, errno := syscall.Syscall(pidfdOpen, uintptr(pid), 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer syscall.Close(int(pidfd))
	mine, _, errno := syscall.Syscall(pidfdGetfd, pidfd, uintptr(fd), 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	f := os.NewFile(mine, "taken over")
	raw, err := net.FileConn(f)
	must(t, err)
	must(t, f.Close())
	conn := shs.Client(raw, &shs.Config{Key: shs.GenerateKey(), ServerKey: d.key.Public()})
	must(t, conn.Handshake(within(t, 10*time.Second)))
	defer conn.Close()
	gone := func() (gone bool) {
		list, err := admin.Sessions(within(t, 10*time.Second))
		must(t, err)
		for _, s := range list {
			if s.PID == int32(pid) {
				return s.PIDGone
			}
			if s.PIDGone {
				t.Errorf("the process of %s, with pid %d, counts as gone", s.Session, s.PID)
			}
		}
		t.Fatalf("no session has pid %d: %+v", pid, list)
		return false
	}
	if gone() {
		t.Error("a process that lives is gone")
	}
	stdin.Close()
	_ = holder.Wait() // whatever it says
	if !gone() {
		t.Error("a process that has ended is not gone")
	}
	report(t, "F55", "pid %d of a session whose process had ended, and left its connection to another: listed as gone", pid)
}

// startsOf are those of the processes that have logged in with a pid.
func startsOf(t *testing.T, admin *client.Client, pid int) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for raw, err := range admin.Audit(within(t, 10*time.Second), client.AuditQuery{Event: "login"}) {
		must(t, err)
		var r audit.Record
		must(t, r.UnmarshalJSON(raw))
		if r.PID == pid {
			all[r.Attrs["pid_started"]] = true
		}
	}
	return all
}

// withPid starts a command that gets a pid, for which others have to be passed by.
func withPid(t *testing.T, pid int, make func() *exec.Cmd) *exec.Cmd {
	t.Helper()
	for range 500 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0o644); err != nil {
			t.Skipf("this kernel lets nobody choose a pid: %v", err)
		}
		cmd := make()
		must(t, cmd.Start())
		if cmd.Process.Pid == pid {
			return cmd
		}
		cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}
	t.Skip("others take the pid first")
	return nil
}

func exitOf(cmd *exec.Cmd) int {
	late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait() // the code says it
	return cmd.ProcessState.ExitCode()
}

// F56: the clock on the wall is set back an hour and on by ten years, and has leap
// seconds, one that comes twice and one that is left out: no number of the audit log
// comes twice or out of order, its own time goes on as if nothing had been, and its
// chain holds. Server and peer are stopped for a while, as when a machine is put to
// sleep: the session goes on.
func TestF56Clock(t *testing.T) {
	dir := filepath.Join(room(t), "audit")
	wall := time.Now()
	began := time.Now()
	log, err := audit.Open(audit.Config{Dir: dir, Rate: -1, Clock: audit.Clock{
		Wall: func() time.Time { return wall },
		Mono: func() time.Duration { return time.Since(began) },
	}})
	must(t, err)
	for _, jump := range []time.Duration{0, -time.Hour, 10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour, -time.Second, time.Second, 0} {
		for range 50 {
			must(t, log.Commit(within(t, 10*time.Second), audit.Event{Event: "jump", Reason: jump.String()}))
		}
		must(t, log.Commit(within(t, 10*time.Second), audit.Event{Event: "before"})) // nobody reads wall now
		wall = wall.Add(jump)
	}
	all := log.Recent(audit.Filter{})
	took := time.Since(began)
	must(t, log.Close())
	var steps []time.Duration
	for i := 1; i < len(all); i++ {
		if all[i].Seq <= all[i-1].Seq || all[i].Mono < all[i-1].Mono {
			t.Errorf("record %d (mono %d) came behind %d (mono %d)", all[i].Seq, all[i].Mono, all[i-1].Seq, all[i-1].Mono)
		}
		if step := all[i].Time().Sub(all[i-1].Time()); step != 0 {
			steps = append(steps, step)
		}
	}
	if own := time.Duration(all[len(all)-1].Mono-all[0].Mono) * time.Millisecond; own > took {
		t.Errorf("by its own time the log went on for %v, in %v", own, took)
	}
	if want := "[-1h0m0s 87600h0m0s -87600h0m0s -1s 1s]"; fmt.Sprint(steps) != want {
		t.Errorf("the clock on the wall went by %v, want %s", steps, want)
	}
	if r, err := audit.Verify(dir, nil); err != nil || r.Fault != nil {
		t.Errorf("got %+v, %v", r, err)
	}

	d, admin := keeper(t, filepath.Join(room(t), "audit"))
	peer := command(t, d.dir, "sbctl", "--address", d.unix(), "expose", "org.example.a", "exec:cat")
	must(t, peer.Start())
	defer func() { peer.Process.Kill(); _ = peer.Wait() }()
	var before client.Entry
	if !eventually(10*time.Second, func() bool {
		before, err = admin.Lookup(within(t, 10*time.Second), "org.example.a")
		return err == nil
	}) {
		t.Fatal(err)
	}
	pause := time.Duration(times(3, 600)) * time.Second
	for _, p := range []*os.Process{d.cmd.Process, peer.Process} {
		must(t, p.Signal(syscall.SIGSTOP))
	}
	<-time.After(pause)
	for _, p := range []*os.Process{peer.Process, d.cmd.Process} {
		must(t, p.Signal(syscall.SIGCONT))
	}
	var after client.Entry
	if !eventually(time.Minute, func() bool { // the one who asks has not slept, and may have to come back
		after, err = admin.Lookup(within(t, 20*time.Second), "org.example.a")
		return err == nil
	}) || after.Session != before.Session || after.Epoch != before.Epoch {
		t.Errorf("the session was %s, then %s, %v", before.Session, after.Session, err)
	}
	report(t, "F56", "clock −1 h, +10 y, −10 y, a second twice, a second left out: %d records in order, the chain holds; server and peer stopped for %v: the session went on", len(all), pause)
}
