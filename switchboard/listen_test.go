//go:build unix

package switchboard_test

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cad2f06c/switchboard/switchboard"
)

// These tell this test binary, started again, what to be.
const (
	childRole = "SWITCHBOARD_TEST_CHILD"
	childArg  = "SWITCHBOARD_TEST_ARG"
)

// TestChild is no test: it is what the binary does when a test starts it again
// as another process.
func TestChild(t *testing.T) {
	role := os.Getenv(childRole)
	if role == "" {
		return
	}
	os.Exit(runChild(role, os.Getenv(childArg)))
}

// runChild plays a role and returns the exit code.
func runChild(role, arg string) int {
	switch role {
	case "listen": // holds a socket until it is killed
		ln, err := switchboard.Listen(context.Background(), arg)
		if err != nil {
			os.Stdout.WriteString("error: " + err.Error() + "\n")
			return 1
		}
		os.Stdout.WriteString("ready\n")
		ln.Accept()
	case "login": // logs in and says what came of it
		return runLogin(arg)
	case "activated":
		return runActivated()
	}
	return 0
}

// child is this test binary in a role.
func child(t *testing.T, role, arg string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childRole+"="+role, childArg+"="+arg)
	cmd.Stderr = os.Stderr
	return cmd
}

// firstLine starts cmd and returns its first line of output. The process is
// killed when the test ends.
func firstLine(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	ln, err := switchboard.Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// F47: the socket of a killed server is taken over, that of a live one is not.
func TestListenTakesOverStaleSocketOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus.sock")
	first := child(t, "listen", "unix:"+path)
	if got := firstLine(t, first); got != "ready" {
		t.Fatalf("first server: got %q, want ready", got)
	}
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = switchboard.Listen(t.Context(), "unix:"+path)
	if !errors.Is(err, switchboard.ErrListening) {
		t.Fatalf("second listener beside a live one: got %v, want ErrListening", err)
	}
	if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
		t.Fatalf("the live socket was touched: %v", err)
	}
	first.Process.Kill()
	first.Wait()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the killed server left no socket, so this test shows nothing: %v", err)
	}
	ln := listen(t, "unix:"+path)
	go func() {
		if conn, err := ln.Accept(); err == nil {
			conn.Close()
		}
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("dialling the new server: %v", err)
	}
	conn.Close()
}

// A socket that lives without a lock belongs to another program.
func TestListenLeavesForeignSocketAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus.sock")
	foreign, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if _, err := switchboard.Listen(t.Context(), "unix:"+path); !errors.Is(err, switchboard.ErrListening) {
		t.Fatalf("got %v, want ErrListening", err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the foreign socket is gone: %v", err)
	}
	conn.Close()
	if _, err := os.Lstat(path + ".lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lock file after a refusal: got %v, want none", err)
	}
}

func TestListenCloseRemovesOnlyItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus.sock")
	ln := listen(t, "unix:"+path)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	for _, p := range []string{path, path + ".lock"} {
		if _, err := os.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s after Close: got %v, want none", filepath.Base(p), err)
		}
	}
	ln = listen(t, "unix:"+path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("a file that took the socket's place: got %q, %v, want it untouched", text, err)
	}
}

// Many listeners at once: one gets the socket, and after it closes another can.
func TestListenOneAtATime(t *testing.T) {
	addr := "unix:" + filepath.Join(t.TempDir(), "bus.sock")
	for range 20 {
		var wg sync.WaitGroup
		lns := make(chan net.Listener, 8)
		for range cap(lns) {
			wg.Go(func() {
				ln, err := switchboard.Listen(t.Context(), addr)
				switch {
				case err == nil:
					lns <- ln
				case !errors.Is(err, switchboard.ErrListening):
					t.Errorf("got %v, want ErrListening", err)
				}
			})
		}
		wg.Wait()
		if len(lns) != 1 {
			t.Fatalf("%d listeners at once, want 1", len(lns))
		}
		if err := (<-lns).Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// F52: with umask 0, the socket is never seen wider than 0600.
func TestListenSocketNeverWide(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus.sock")
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if fi, err := os.Lstat(path); err == nil && fi.Mode().Perm()&0o177 != 0 {
					t.Errorf("socket seen with mode %v", fi.Mode())
					return
				}
			}
		})
	}
	for range 300 {
		ln, err := switchboard.Listen(t.Context(), "unix:"+path)
		if err != nil {
			t.Error(err)
			break
		}
		if fi, err := os.Lstat(path); err != nil || fi.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("got %v, %v, want a socket with mode 0600", fi, err)
		}
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

// F53: places where somebody else could take the socket's name are refused, and
// nothing that lies there is followed or removed.
func TestListenRefusesUnsafePlaces(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, dir string) (path, victim string)
		root bool // can only be set up by root
	}{
		{"symlink to a socket", func(t *testing.T, dir string) (string, string) {
			real := filepath.Join(dir, "real.sock")
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			must(t, err)
			must(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: real}))
			must(t, syscall.Close(fd))
			must(t, os.Symlink(real, filepath.Join(dir, "s")))
			return filepath.Join(dir, "s"), real
		}, false},
		{"dangling symlink", func(t *testing.T, dir string) (string, string) {
			must(t, os.Symlink(filepath.Join(dir, "nothing"), filepath.Join(dir, "s")))
			return filepath.Join(dir, "s"), filepath.Join(dir, "s")
		}, false},
		{"regular file", func(t *testing.T, dir string) (string, string) {
			p := filepath.Join(dir, "s")
			must(t, os.WriteFile(p, []byte("x"), 0o600))
			return p, p
		}, false},
		{"directory", func(t *testing.T, dir string) (string, string) {
			p := filepath.Join(dir, "s")
			must(t, os.Mkdir(p, 0o700))
			return p, p
		}, false},
		{"symlink as lock file", func(t *testing.T, dir string) (string, string) {
			p := filepath.Join(dir, "s")
			must(t, os.WriteFile(filepath.Join(dir, "victim"), []byte("x"), 0o600))
			must(t, os.Symlink(filepath.Join(dir, "victim"), p+".lock"))
			return p, filepath.Join(dir, "victim")
		}, false},
		{"fifo as lock file", func(t *testing.T, dir string) (string, string) {
			p := filepath.Join(dir, "s")
			must(t, syscall.Mkfifo(p+".lock", 0o600))
			return p, p + ".lock"
		}, false},
		{"world-writable directory", func(t *testing.T, dir string) (string, string) {
			must(t, os.Chmod(dir, 0o777))
			return filepath.Join(dir, "s"), dir
		}, false},
		{"sticky directory", func(t *testing.T, dir string) (string, string) {
			must(t, os.Chmod(dir, 0o777|fs.ModeSticky))
			return filepath.Join(dir, "s"), dir
		}, false},
		{"group-writable directory", func(t *testing.T, dir string) (string, string) {
			must(t, os.Chmod(dir, 0o770))
			return filepath.Join(dir, "s"), dir
		}, false},
		{"directory of another user", func(t *testing.T, dir string) (string, string) {
			must(t, os.Chown(dir, 65534, 65534))
			return filepath.Join(dir, "s"), dir
		}, true},
		{"link to a world-writable directory", func(t *testing.T, dir string) (string, string) {
			wide := filepath.Join(dir, "wide")
			must(t, os.Mkdir(wide, 0o777))
			must(t, os.Chmod(wide, 0o777))
			must(t, os.Symlink(wide, filepath.Join(dir, "d")))
			return filepath.Join(dir, "d", "s"), wide
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("only root can give a directory away")
			}
			path, victim := tt.make(t, t.TempDir())
			before, err := os.Lstat(victim)
			must(t, err)
			ln, err := switchboard.Listen(t.Context(), "unix:"+path)
			if err == nil {
				ln.Close()
			}
			if !errors.Is(err, switchboard.ErrUnsafePath) {
				t.Errorf("got %v, want ErrUnsafePath", err)
			}
			if after, err := os.Lstat(victim); err != nil || !os.SameFile(before, after) || after.Size() != before.Size() {
				t.Errorf("%s was changed: %v", victim, err)
			}
		})
	}
}

func TestListenRefusesBadAddresses(t *testing.T) {
	long := "unix:" + filepath.Join(t.TempDir(), strings.Repeat("x", 107))
	for _, addr := range []string{
		"", "unix", "unix:", "net:", "tcp:", "http:localhost", "unix:a/../b", "unix:..", "unix:/x/..", "unix:/x/",
		"unix:@abstract", "unix:a\x00b", "net:localhost:http", "net:localhost:65536", "net:localhost:-1",
		"net:a:b:c", "net:[::1", long,
	} {
		if err := switchboard.CheckListenAddr(addr); err == nil {
			t.Errorf("CheckListenAddr(%q): got no error", addr)
		}
		if ln, err := switchboard.Listen(t.Context(), addr); err == nil {
			ln.Close()
			t.Errorf("Listen(%q): got no error", addr)
		}
	}
	for _, addr := range []string{"net:localhost", "net:::1", "net:[::1]", "net:127.0.0.1:0", "tcp:0.0.0.0", "net::7483", "unix:rel"} {
		if err := switchboard.CheckListenAddr(addr); err != nil {
			t.Errorf("CheckListenAddr(%q): %v", addr, err)
		}
	}
}

// A relative path and a missing directory are made good.
func TestListenMakesPrivateDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	listen(t, "unix:run/sub/bus.sock")
	fi, err := os.Stat("run/sub")
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want a directory with mode 0700", fi, err)
	}
}

// The listener is usable as the *net.UnixListener that it embeds.
func TestListenKeepsUnixListener(t *testing.T) {
	ln := listen(t, "unix:"+filepath.Join(t.TempDir(), "bus.sock"))
	if _, ok := ln.(interface {
		AcceptUnix() (*net.UnixConn, error)
		SyscallConn() (syscall.RawConn, error)
	}); !ok {
		t.Errorf("%T lacks the methods of a *net.UnixListener", ln)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := net.Dial("unix", ln.Addr().String())
		if err == nil {
			conn.Close()
		}
	})
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := conn.(*net.UnixConn); !ok {
		t.Errorf("accepted a %T, want *net.UnixConn", conn)
	}
	conn.Close()
	wg.Wait()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
