//go:build fault

package fault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
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

// F54: a key file that somebody else may know or have changed, or that is not
// whole, is not used: not by the server, not by sbctl. Both say why, and the file
// stays as it is.
func TestF54KeyFileFaults(t *testing.T) {
	change := func(old, new string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			text, err := os.ReadFile(path)
			must(t, err)
			if !bytes.Contains(text, []byte(old)) {
				t.Fatalf("the key file has no %q", old)
			}
			must(t, os.WriteFile(path, bytes.Replace(text, []byte(old), []byte(new), 1), 0o600))
		}
	}
	mode := func(m fs.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) { must(t, os.Chmod(path, m)) }
	}
	instead := func(make func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, path string) { must(t, errors.Join(os.Remove(path), make(path))) }
	}
	other := shs.GenerateKey().Public().String()
	cases := []struct {
		name  string
		spoil func(t *testing.T, path string)
		want  string
		root  bool
	}{
		{"group may read", mode(0o640), "has mode 0640", false},
		{"others may read", mode(0o604), "has mode 0604", false},
		{"group may write", mode(0o620), "has mode 0620", false},
		{"executable", mode(0o700), "has mode 0700", false},
		{"another user's", func(t *testing.T, path string) { must(t, os.Chown(path, nobody, nobody)) }, "belongs to user 65534", true},
		{"symbolic link", func(t *testing.T, path string) {
			must(t, errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path)))
		}, "is a symbolic link", false},
		{"dangling link", instead(func(path string) error { return os.Symlink(path+".nowhere", path) }), "is a symbolic link", false},
		{"hard link", func(t *testing.T, path string) { must(t, os.Link(path, path+".second")) }, "has 2 hard links", false},
		{"directory", instead(func(path string) error { return os.Mkdir(path, 0o700) }), "not a regular file", false},
		{"fifo", instead(func(path string) error { return syscall.Mkfifo(path, 0o600) }), "not a regular file", false},
		{"empty", func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }, "cut short", false},
		{"truncated", func(t *testing.T, path string) { must(t, os.Truncate(path, 200)) }, "cut short", false},
		{"a mebibyte of something", func(t *testing.T, path string) { must(t, os.WriteFile(path, make([]byte, 1<<20), 0o600)) }, "1048576 bytes", false},
		{"wrong curve", change(`"ed25519"`, `"k256"`), "curve is not ed25519", false},
		{"short private key", change(`==.ed25519`, `.ed25519`), "private key is not 64 bytes", false},
		{"another public key", func(t *testing.T, path string) {
			key, err := shs.LoadKey(path)
			must(t, err)
			change(`"public": "`+key.Public().String()[1:], `"public": "`+other[1:])(t, path)
		}, "public key is not that", false},
		{"another id", func(t *testing.T, path string) {
			key, err := shs.LoadKey(path)
			must(t, err)
			change(`"id": "`+key.Public().String(), `"id": "`+other)(t, path)
		}, "id is not its public key", false},
	}
	ran := 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.root {
				needRoot(t)
			}
			home, dir := room(t), room(t)
			path := dir + "/k"
			newKey(t, path)
			c.spoil(t, path)
			before := tree(t, dir)
			for _, cmd := range []*exec.Cmd{
				command(t, home, "switchboard", "--listen", "unix:"+home+"/s", "--key", path),
				command(t, home, "sbctl", "--key", path, "--address", "unix:"+home+"/s~shs:"+other[1:45], "whoami"),
				command(t, home, "sbctl", "key", "show", path),
			} {
				got := run(t, cmd)
				if got.code == 0 || !strings.Contains(got.stderr, c.want) || strings.Count(got.stderr, "\n") != 1 || got.stdout != "" {
					t.Errorf("%q: ended with %d and said %q %q, want a refusal on one line with %q", cmd.Args[1:], got.code, got.stdout, got.stderr, c.want)
				}
			}
			if _, err := os.Lstat(home + "/s"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a server without a key made its socket (%v)", err)
			}
			unchanged(t, dir, before)
			ran++
		})
	}
	cuts := cutKey(t)
	report(t, "F54", "%d faults of a key file, and a cut at each of its %d bytes: refused with the reason by server and sbctl, the file left as it was", ran, cuts)
}

// cutKey truncates a key file everywhere. What is left is refused or, where only
// the comment behind it is cut, the same key.
func cutKey(t *testing.T) int {
	t.Helper()
	path := room(t) + "/k"
	key := newKey(t, path)
	text, err := os.ReadFile(path)
	must(t, err)
	whole := bytes.LastIndexByte(text, '}') + 1
	for n := range len(text) {
		must(t, os.WriteFile(path, text[:n], 0o600))
		got, err := shs.LoadKey(path)
		if n < whole && !errors.Is(err, shs.ErrKeyFile) || n >= whole && (err != nil || got != key) {
			t.Errorf("cut at %d of %d: %v", n, len(text), err)
		}
		if err != nil && strings.Contains(err.Error(), key.Public().String()[1:20]) {
			t.Errorf("cut at %d: the error tells of the key: %v", n, err)
		}
	}
	return len(text)
}

// F54, the other half: a new key file is there whole and of mode 0600 or not at
// all, under umask 000, whoever is killed and however many make it at once.
func TestF54KeyMadeWhole(t *testing.T) {
	kills, races := times(20, 300), times(30, 200)
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := room(t)
	var latest atomic.Value // the path that is being made
	latest.Store(dir + "/k0")
	made := 0
	next := func() string { // each is made once: a removed one would change under the watcher
		made++
		path := fmt.Sprintf("%s/k%d", dir, made)
		latest.Store(path)
		return path
	}
	var over atomic.Bool
	var watching sync.WaitGroup
	loads := 0
	watching.Go(func() {
		for !over.Load() {
			path := latest.Load().(string)
			fi, err := os.Lstat(path)
			if err == nil && fi.Mode() != 0o600 {
				t.Errorf("the key file has mode %v", fi.Mode())
				return
			}
			switch _, err := shs.LoadKey(path); {
			case err == nil:
				loads++
			case !errors.Is(err, fs.ErrNotExist):
				t.Errorf("a key file that is being made: %v", err)
				return
			}
		}
	})
	for range races {
		raceForKey(t, next())
	}
	late := 0
	for range kills {
		path := next()
		cmd := command(t, dir, "sbctl", "key", "new", path)
		must(t, cmd.Start())
		pause := time.NewTimer(rand.N(8 * time.Millisecond))
		<-pause.C
		cmd.Process.Kill()
		cmd.Wait()
		if _, err := shs.LoadKey(path); err == nil {
			late++
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after kill -9 of its maker: %v", err)
		}
	}
	over.Store(true)
	watching.Wait()
	left, err := filepath.Glob(dir + "/.k*.new-*")
	must(t, err)
	for _, path := range left { // of the killed
		if fi, err := os.Lstat(path); err != nil || fi.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", path, fi, err)
		}
	}
	report(t, "F54", "%d races of 8 makers of one key: one won each; %d makers killed, %d after the key was there: never in part, never wider than 0600 in %d loads", races, kills, late, loads)
}

// raceForKey makes one key file by eight at once.
func raceForKey(t *testing.T, path string) {
	t.Helper()
	var makers sync.WaitGroup
	var mu sync.Mutex
	var won []shs.PrivateKey
	for range 8 {
		makers.Go(func() {
			key, err := shs.CreateKey(path)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, key)
			} else if !errors.Is(err, fs.ErrExist) {
				t.Errorf("a maker that came second: %v", err)
			}
		})
	}
	makers.Wait()
	got, err := shs.LoadKey(path)
	if len(won) != 1 || err != nil || got != won[0] {
		t.Fatalf("%d of 8 made the key, the file has another (%v)", len(won), err)
	}
}

// F61: nobody is admitted over TCP whom no list names; without a list there is
// no TCP listener at all.
func TestF61NoTCPWithoutList(t *testing.T) {
	port := freePort(t)
	home := room(t)
	newKey(t, home+"/server.key")
	asUser := func(cmd *exec.Cmd) *exec.Cmd { // root's default list is in /etc
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		return cmd
	}
	if os.Geteuid() == 0 {
		must(t, errors.Join(os.Chown(home, nobody, nobody), os.Chown(home+"/server.key", nobody, nobody)))
	}
	for _, args := range [][]string{
		{"--listen", "net:127.0.0.1:" + port},
		{"--listen", "tcp:127.0.0.1:" + port},
		{"--listen", "unix:" + home + "/s", "--listen", "net:127.0.0.1:" + port},
		{"--listen", "net:127.0.0.1:" + port, "--authorized-peers", home + "/missing"},
	} {
		got := run(t, asUser(command(t, home, "switchboard", append(args, "--key", home+"/server.key")...)))
		if got.code != 2 || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%q: ended with %d and said %q %q, want code 2 and one line", args, got.code, got.stdout, got.stderr)
		}
		if _, err := os.Lstat(home + "/s"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: the socket was made (%v)", args, err)
		}
	}
	stranger := shs.GenerateKey()
	for name, list := range map[string]string{
		"an unknown rule": stranger.Public().String() + " owns=org.example.**\n",
		"garbage":         "everybody\n",
		"a key twice":     strings.Repeat(stranger.Public().String()+"\n", 2),
	} {
		must(t, os.WriteFile(home+"/list", []byte(list), 0o644))
		got := run(t, asUser(command(t, home, "switchboard", "--listen", "net:127.0.0.1:"+port, "--key", home+"/server.key", "--authorized-peers", home+"/list")))
		if got.code != 2 || !strings.Contains(got.stderr, ": line ") {
			t.Errorf("a list with %s: ended with %d and said %q, want code 2 and the line", name, got.code, got.stderr)
		}
	}

	// The library refuses too, before it accepts anybody.
	ln, err := switchboard.Listen(t.Context(), "net:127.0.0.1:"+port)
	must(t, err)
	srv, err := switchboard.New(switchboard.Config{Key: shs.GenerateKey()})
	must(t, err)
	if err := srv.Serve(t.Context(), ln); !errors.Is(err, switchboard.ErrNoPolicy) {
		t.Errorf("Serve without a list: got %v, want %v", err, switchboard.ErrNoPolicy)
	}

	// An empty list admits nobody, and the server's own key only if it is listed.
	d := newDaemon(t, shs.GenerateKey().Public())
	must(t, os.WriteFile(d.dir+"/authorized_peers", []byte("# nobody\n"), 0o600))
	d.start()
	tries := times(10, 200)
	for i := range tries {
		key := shs.GenerateKey()
		if i == 0 {
			key = d.key
		}
		if _, err := client.Dial(within(t, 10*time.Second), client.Config{Address: d.tcp(), Key: key}); !errors.Is(err, shs.ErrRefused) {
			t.Fatalf("a key that is not listed: got %v, want %v", err, shs.ErrRefused)
		}
	}
	d.logged("login refused", tries)
	report(t, "F61", "no list, 4 ways to ask for TCP, 3 bad lists: each refused with code 2 before anything was opened; an empty list: %d logins refused and logged", tries)
}

// freePort is a TCP port that nobody listens on just now.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := switchboard.Listen(t.Context(), "net:127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	_, port, ok := strings.Cut(ln.Addr().String(), ":")
	if !ok {
		t.Fatal(fmt.Errorf("address %v has no port", ln.Addr()))
	}
	return port
}
