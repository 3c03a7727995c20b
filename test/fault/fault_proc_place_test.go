//go:build fault

package fault_test

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tree is all that is below a directory: what a refused start must not change.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		what := fmt.Sprintf("inode %d, mode %v, uid %d, links %d", st.Ino, fi.Mode(), st.Uid, st.Nlink)
		switch fi.Mode().Type() {
		case 0:
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(", text %q", text)
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " to " + to
		}
		all[path] = what
		return nil
	}))
	return all
}

// unchanged fails the test for what differs from before.
func unchanged(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	after := tree(t, dir)
	for path, was := range before {
		if now := after[path]; now != was {
			t.Errorf("%s was %s, is now %q", path, was, now)
		}
		delete(after, path)
	}
	for path := range after {
		t.Errorf("%s was made", path)
	}
}

// F53: a server does not start at a place where somebody else could put his own
// socket, or has put something: it says why, follows nothing and removes nothing.
func TestF53UnsafePlaces(t *testing.T) {
	write := func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("precious"), 0o600)) }
	cases := []struct {
		name string
		make func(t *testing.T, dir string) // makes the place
		path string                         // seen from dir
		want string                         // part of the reason
		root bool
	}{
		{"link to a file", func(t *testing.T, dir string) {
			write(t, dir+"/victim")
			must(t, os.Symlink(dir+"/victim", dir+"/s"))
		}, "s", "a symbolic link", false},
		{"link to a socket", func(t *testing.T, dir string) {
			ln, err := net.Listen("unix", dir+"/victim")
			must(t, err)
			t.Cleanup(func() {
				must(t, ln.(*net.UnixListener).SetDeadline(time.Now()))
				if conn, err := ln.Accept(); err == nil {
					t.Error("somebody connected to where the link leads")
					conn.Close()
				}
				ln.Close()
			})
			must(t, os.Symlink(dir+"/victim", dir+"/s"))
		}, "s", "a symbolic link", false},
		{"dangling link", func(t *testing.T, dir string) { must(t, os.Symlink(dir+"/nowhere", dir+"/s")) }, "s", "a symbolic link", false},
		{"file", func(t *testing.T, dir string) { write(t, dir+"/s") }, "s", "a regular file", false},
		{"directory", func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/s", 0o700)) }, "s", "a directory", false},
		{"fifo", func(t *testing.T, dir string) { must(t, syscall.Mkfifo(dir+"/s", 0o600)) }, "s", "a special file", false},
		{"live socket of another program", func(t *testing.T, dir string) {
			ln, err := net.Listen("unix", dir+"/s")
			must(t, err)
			t.Cleanup(func() { ln.Close() })
		}, "s", "another program listens", false},
		{"world-writable", func(t *testing.T, dir string) { must(t, os.Chmod(mkdir(t, dir+"/d"), 0o777)) }, "d/s", "others may write", false},
		{"group-writable", func(t *testing.T, dir string) { must(t, os.Chmod(mkdir(t, dir+"/d"), 0o770)) }, "d/s", "others may write", false},
		{"sticky", func(t *testing.T, dir string) { must(t, os.Chmod(mkdir(t, dir+"/d"), 0o777|fs.ModeSticky)) }, "d/s", "others may write", false},
		{"link to a world-writable directory", func(t *testing.T, dir string) {
			must(t, os.Chmod(mkdir(t, dir+"/d"), 0o777))
			must(t, os.Symlink(dir+"/d", dir+"/l"))
		}, "l/s", "others may write", false},
		{"directory of another user", func(t *testing.T, dir string) { must(t, os.Chown(mkdir(t, dir+"/d"), nobody, nobody)) }, "d/s", "another user", true},
		{"dangling directory", func(t *testing.T, dir string) { must(t, os.Symlink(dir+"/nowhere", dir+"/l")) }, "l/s", "making the directory", false},
		{"directory that is a file", func(t *testing.T, dir string) { write(t, dir+"/d") }, "d/s", "not a directory", false},
		{"two dots", func(t *testing.T, dir string) { mkdir(t, dir+"/d") }, "d/../s", `holds ".."`, false},
		{"lock is a link", func(t *testing.T, dir string) {
			write(t, dir+"/victim")
			must(t, os.Symlink(dir+"/victim", dir+"/s.lock"))
		}, "s", "lock file must be a regular file", false},
		{"lock is a dangling link", func(t *testing.T, dir string) { must(t, os.Symlink(dir+"/nowhere", dir+"/s.lock")) }, "s", "lock file must be a regular file", false},
		{"lock is a fifo", func(t *testing.T, dir string) { must(t, syscall.Mkfifo(dir+"/s.lock", 0o600)) }, "s", "lock file", false},
		{"lock is a directory", func(t *testing.T, dir string) { mkdir(t, dir+"/s.lock") }, "s", "lock file must be a regular file", false},
		{"path too long", func(*testing.T, string) {}, strings.Repeat("x", 120), "at most 107", false},
		{"abstract", func(*testing.T, string) {}, "@", "", false},
	}
	ran := 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.root {
				needRoot(t)
			}
			home, dir := room(t), room(t)
			newKey(t, home+"/server.key")
			c.make(t, dir)
			before := tree(t, dir)
			path := dir + "/" + c.path
			if c.path == "@" {
				path, c.want = "@switchboard-test", "abstract sockets"
			}
			config := home + "/switchboard.toml"
			must(t, os.WriteFile(config, fmt.Appendf(nil, "listen = [%q]\nkey = \"server.key\"\n", "unix:"+path), 0o600))
			for _, args := range [][]string{{"--listen", "unix:" + path, "--key", home + "/server.key"}, {"--config", config}} {
				got := run(t, command(t, home, "switchboard", args...))
				if got.code == 0 || !strings.Contains(got.stderr, c.want) || strings.Count(got.stderr, "\n") != 1 || !strings.HasPrefix(got.stderr, "switchboard: ") {
					t.Errorf("%q: ended with %d and said %q, want a refusal on one line with %q", args[0], got.code, got.stderr, c.want)
				}
				if got.stdout != "" {
					t.Errorf("a refused server said %q", got.stdout)
				}
			}
			unchanged(t, dir, before)
			ran++
		})
	}
	report(t, "F53", "%d unsafe places, by flag and by file: each refused with its reason on one line, nothing made, followed or removed", ran)
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	must(t, os.Mkdir(path, 0o700))
	return path
}
