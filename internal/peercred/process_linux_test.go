package peercred_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/internal/peercred"
)

// connectsTo is set for a process of the test's own program that connects there.
const connectsTo = "PEERCRED_CONNECTS_TO"

// TestMain is that process too: it connects, and stays until its stdin ends.
func TestMain(m *testing.M) {
	path := os.Getenv(connectsTo)
	if path == "" {
		os.Exit(m.Run())
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer conn.Close()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// A process is known while it lives, and gone when it has ended: before it was looked
// at or behind, also while its parent has not taken what is left of it, and when
// another process has its number.
func TestProcess(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), connectsTo+"="+ln.Addr().String())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, pid, err := peercred.UID(conn)
	if err != nil || int(pid) != cmd.Process.Pid {
		t.Fatalf("pid %d, %v, want %d", pid, err, cmd.Process.Pid)
	}
	p := peercred.ProcessOf(conn, pid)
	if p.PID != pid || p.Started == 0 || p.Gone() {
		t.Errorf("a process that lives: %+v, gone %t", p, p.Gone())
	}
	// Another process with the number is one that has started at another time.
	if other := (peercred.Process{PID: int32(os.Getpid()), Started: p.Started}); !other.Gone() {
		t.Errorf("the process of another start counts as %+v", other)
	}
	stdin.Close()
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); !p.Gone() && time.Now().Before(end); { // it ends soon; nobody has waited for it
		<-time.After(time.Millisecond)
	}
	if late := peercred.ProcessOf(conn, pid); !p.Gone() || !late.Gone() || late.Started != 0 {
		t.Errorf("a process that has ended: %+v, gone %t; looked at now %+v, gone %t", p, p.Gone(), late, late.Gone())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if late := peercred.ProcessOf(conn, pid); !p.Gone() || !late.Gone() {
		t.Errorf("a process that was reaped: gone %t; looked at now %+v, gone %t", p.Gone(), late, late.Gone())
	}
	if unknown := peercred.ProcessOf(conn, 0); unknown.Gone() || (peercred.Process{}).Gone() {
		t.Error("an unknown process is gone")
	}
}
