package peercred_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cad2f06c/switchboard/internal/peercred"
)

// as runs f with another effective uid. Only its own thread changes, and that
// thread ends with the goroutine.
func as(t *testing.T, uid int, f func() error) {
	t.Helper()
	const keep = ^uintptr(0)
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
			t.Errorf("becoming uid %d: %v", uid, errno)
			return
		}
		if err := f(); err != nil {
			t.Errorf("as uid %d: %v", uid, err)
		}
	})
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// The uids of both sides must come out right when they differ from each other and
// from this process: a socket that somebody else listens on is socket activation.
func TestOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	const activator, caller = 54321, 54322
	dir := socketDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	var ln net.Listener
	as(t, activator, func() (err error) {
		ln, err = net.Listen("unix", path)
		return err
	})
	defer ln.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if uid, err := peercred.ListenerUID(ln); err != nil || uid != activator {
		t.Errorf("listener: got uid %d, %v, want %d", uid, err, activator)
	}
	var client net.Conn
	as(t, caller, func() (err error) {
		client, err = net.Dial("unix", path)
		return err
	})
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if uid, _, err := peercred.UID(client); err != nil || uid != activator {
		t.Errorf("at the client: got uid %d, %v, want that of listen, %d", uid, err, activator)
	}
	if uid, _, err := peercred.UID(server); err != nil || uid != caller {
		t.Errorf("at the server: got uid %d, %v, want that of connect, %d", uid, err, caller)
	}
}
