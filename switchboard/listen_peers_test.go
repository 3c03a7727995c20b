//go:build unix

package switchboard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// runLogin is a child that logs in over a Unix socket. It is told path, server
// key and mode, and says "in", or "refused" if the server hung up on it.
func runLogin(arg string) int {
	fields := strings.Fields(arg)
	key, err := shs.ParsePublicKey(fields[1])
	if err != nil {
		return 1
	}
	raw, err := net.Dial("unix", fields[0])
	if err != nil {
		fmt.Println("dial:", err)
		return 0
	}
	cfg := &shs.Config{Key: shs.GenerateKey(), ServerKey: key}
	if fields[2] == "plain" {
		uid, err := strconv.ParseUint(fields[3], 10, 32)
		if err != nil {
			return 1
		}
		cfg.PlainKey = shs.DefaultNetworkKey().Plain(uint32(os.Geteuid()), uint32(uid))
	}
	conn := shs.Client(raw, cfg)
	err = conn.Handshake(context.Background())
	switch {
	case err == nil:
		fmt.Println("in")
		conn.Close()
	case errors.Is(err, shs.ErrRefused):
		fmt.Println("refused")
	default:
		fmt.Println(err)
	}
	return 0
}

// serving has a server serve until the test ends.
func serving(t *testing.T, srv *switchboard.Server, ln net.Listener) {
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
}

// F51: another user is refused by the kernel's word for who he is, even where
// somebody has opened the socket to all; in both modes, and with a line in the
// log.
func TestListenRefusesOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("only root can be somebody else, and only Linux has /proc/self/exe")
	}
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, "bus.sock")
	ln := listen(t, "unix:"+path)
	must(t, os.Chmod(path, 0o777))

	var log syncBuffer
	srv, err := switchboard.New(switchboard.Config{Key: seeded(0), Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	serving(t, srv, ln)

	for _, tt := range []struct {
		mode string
		uid  uint32
		want string
	}{
		{"box", 0, "in"}, {"plain", 0, "in"}, {"box", 65534, "refused"}, {"plain", 65534, "refused"},
	} {
		t.Run(fmt.Sprint(tt.mode, " as ", tt.uid), func(t *testing.T) {
			cmd := child(t, "login", fmt.Sprintln(path, srv.Key(), tt.mode, os.Geteuid()))
			cmd.Path = "/proc/self/exe" // its own folder may be closed to others
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: tt.uid, Gid: tt.uid}}
			cmd.Dir = "/"
			if got := firstLine(t, cmd); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if text := log.String(); strings.Count(text, "level=WARN") < 2 {
		t.Errorf("got log\n%s\nwant a warning for each refusal", text)
	}
}

// TestSessionsOfOneUser: over Unix sockets a user has so many sessions and no more,
// whatever keys they have, and one that ends makes room; the server's own key comes
// in beside them.
func TestSessionsOfOneUser(t *testing.T) {
	ln := listen(t, "unix:"+filepath.Join(t.TempDir(), "bus.sock"))
	srv, err := switchboard.New(switchboard.Config{Key: seeded(0), Limits: switchboard.Limits{Admission: switchboard.Admission{SessionsPerUID: 2}}})
	must(t, err)
	serving(t, srv, ln)
	login := func(n byte) (net.Conn, error) {
		raw, err := net.Dial("unix", ln.Addr().String())
		must(t, err)
		t.Cleanup(func() { raw.Close() })
		return raw, shs.Client(raw, &shs.Config{Key: seeded(n), ServerKey: srv.Key()}).Handshake(t.Context())
	}
	first, err := login(1)
	must(t, err)
	for _, c := range []struct {
		key  byte
		want error
	}{{2, nil}, {3, shs.ErrRefused}, {0, nil}, {0, nil}} {
		if _, err := login(c.key); !errors.Is(err, c.want) {
			t.Errorf("key %d: got %v, want %v", c.key, err, c.want)
		}
	}
	if over := srv.Stats().Over; over["sessions_per_uid"] != 1 || len(over) != 1 {
		t.Errorf("counted %v", over)
	}
	first.Close()
	for { // the server hears of it
		if _, err := login(3); err == nil {
			break
		}
	}
}

// F61: without a list of keys the server does not serve TCP, and closes what it
// was given.
func TestServeRefusesTCPWithoutPolicy(t *testing.T) {
	ln := listen(t, "net:127.0.0.1:0")
	srv, err := switchboard.New(switchboard.Config{Key: seeded(0)})
	must(t, err)
	if err := srv.Serve(t.Context(), ln); !errors.Is(err, switchboard.ErrNoPolicy) {
		t.Fatalf("got %v, want ErrNoPolicy", err)
	}
	if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		defer conn.Close()
		if n, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
			t.Errorf("got %d bytes from a server that does not serve", n)
		}
	}
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
