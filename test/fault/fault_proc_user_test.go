//go:build fault

package fault_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// asNobody runs f on a thread that acts as another user, and throws the thread
// away. What f starts on other threads is root again.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	var errno syscall.Errno
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		keep := ^uintptr(0)
		if _, _, errno = syscall.RawSyscall(syscall.SYS_SETRESUID, keep, nobody, keep); errno == 0 {
			f()
		}
	}()
	<-done
	if errno != 0 {
		t.Fatalf("becoming another user: %v", errno)
	}
}

// intrude connects as another user, says what a client would say first, and
// returns how many bytes the server answered.
func intrude(t *testing.T, path string) (n int) {
	t.Helper()
	asNobody(t, func() {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Errorf("connecting as another user: %v (the test opened the socket to all)", err)
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(slow * 10 * time.Second)) // else the test hangs, and fails so
		if _, err := conn.Write(make([]byte, 64)); err != nil && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("writing as another user: %v", err)
		}
		got, err := io.ReadAll(conn)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reading as another user: %v, want the end of the connection", err)
		}
		n = len(got)
	})
	return n
}

// F51: another user is refused by what the kernel says of him, even after
// somebody has opened the socket and its directory to all; it is logged, and
// those who may stay do not notice.
func TestF51OtherUser(t *testing.T) {
	needRoot(t)
	tries := times(20, 500)
	d := newDaemon(t)
	d.start()
	c, err := client.Dial(within(t, 10*time.Second), client.Config{Address: d.unix(), Key: shs.GenerateKey(), NoReconnect: true})
	must(t, err)
	defer c.Close()
	must(t, os.Chmod(d.sock, 0o777))
	must(t, os.Chmod(d.dir, 0o777))
	for range tries {
		if n := intrude(t, d.sock); n != 0 {
			t.Fatalf("another user was told %d bytes, want none", n)
		}
	}
	home := room(t)
	must(t, os.Chown(home, nobody, nobody))
	for _, mode := range []string{"plain", "box", "auto"} {
		cmd := command(t, home, "sbctl", "--address", d.unix(), "--mode", mode, "whoami")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		got := run(t, cmd)
		if got.code != 3 || got.stdout != "" || !strings.Contains(got.stderr, "check the address") {
			t.Errorf("%s: sbctl as another user ended with %d and said %q %q, want 3 and what to check", mode, got.code, got.stdout, got.stderr)
		}
	}
	tries += 4 // auto tries plain, then box
	d.logged("another user: uid 65534", tries)
	if _, err := c.WhoAmI(within(t, 10*time.Second)); err != nil {
		t.Errorf("the session of the server's own user: %v", err)
	}
	report(t, "F51", "%d connections of another user to a socket of mode 0777: 0 bytes answered, %d refusals logged", tries, tries)
}

// F52: the socket is never open to others, not for an instant and not under
// umask 000, and neither is anything else that a starting server makes.
func TestF52SocketNeverWide(t *testing.T) {
	starts, binds := times(5, 100), times(100, 5000)
	d := newDaemon(t)
	spy := newSpy(t, d.dir, d.sock, d.sock+".lock", d.dir+"/address")
	old := syscall.Umask(0) // the server inherits it
	defer syscall.Umask(old)
	for range starts {
		d.start()
		d.stop()
	}
	for range binds {
		ln, err := switchboard.Listen(t.Context(), "unix:"+d.sock)
		must(t, err)
		must(t, ln.Close())
	}
	looks, knocks := spy.stop(t)
	report(t, "F52", "umask 000, %d starts and %d binds: no file wider than 0600 in %d looks, no connection of another user in %d tries", starts, binds, looks, knocks)
}

// spy looks at files all the time, and as another user tries to connect to the
// first of them.
type spy struct {
	over          atomic.Bool
	looks, knocks int
	seen          map[string]int // how often a file was there
	wrong         []string
	wg            sync.WaitGroup
}

func newSpy(t *testing.T, dir, sock string, others ...string) *spy {
	s := &spy{seen: make(map[string]int)}
	paths := append(others, sock)
	s.wg.Go(func() {
		for !s.over.Load() {
			for _, path := range paths {
				s.looks++
				fi, err := os.Lstat(path)
				switch {
				case errors.Is(err, fs.ErrNotExist):
				case err != nil:
					s.wrong = append(s.wrong, err.Error())
				case fi.Mode().Perm()&^0o600 != 0:
					s.wrong = append(s.wrong, fmt.Sprintf("%s has mode %v", path, fi.Mode()))
				default:
					s.seen[path]++
				}
			}
		}
	})
	if os.Geteuid() == 0 {
		s.wg.Go(func() {
			var wrong []string
			asNobody(t, func() {
				for !s.over.Load() {
					s.knocks++
					conn, err := net.Dial("unix", sock)
					if err == nil {
						conn.Close()
					}
					if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EACCES) {
						wrong = append(wrong, fmt.Sprintf("another user's connect: %v", err))
					}
				}
			})
			if len(wrong) > 0 {
				t.Errorf("%d times: %s", len(wrong), wrong[0])
			}
		})
	}
	return s
}

// stop ends the spy and fails the test if it saw anything.
func (s *spy) stop(t *testing.T) (looks, knocks int) {
	t.Helper()
	s.over.Store(true)
	s.wg.Wait()
	if len(s.wrong) > 0 {
		t.Errorf("%d times: %s", len(s.wrong), s.wrong[0])
	}
	if len(s.seen) < 3 {
		t.Errorf("of the files only %v were ever seen", s.seen)
	}
	return s.looks, s.knocks
}
