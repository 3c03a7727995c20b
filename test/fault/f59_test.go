//go:build fault

package fault_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// configured is a server with a configuration file, whose peers file lists a key.
type configured struct {
	*daemon
	config, peers string // paths
	good          map[string]string
}

// newConfigured starts one; the keys are admitted over TCP, and trusted.
func newConfigured(t *testing.T, env []string, keys ...shs.PublicKey) *configured {
	t.Helper()
	d := newDaemon(t)
	d.env = env
	c := &configured{daemon: d, config: d.dir + "/switchboard.toml", peers: d.dir + "/peers"}
	var list strings.Builder
	for _, k := range keys {
		fmt.Fprintln(&list, k, "level=trusted # listed")
	}
	c.good = map[string]string{
		c.config: "# in order\nauthorized_peers = \"peers\"\n\n[defaults]\nlisted = \"basic\"\n\n[levels.basic]\nsee = [\"org.example.**\"]\n\n[limits]\nlanes = 100\n",
		c.peers:  list.String(),
	}
	c.write(c.config, c.good[c.config])
	c.write(c.peers, c.good[c.peers])
	d.args = []string{"--config", c.config, "--listen", "net:127.0.0.1:0"}
	d.start()
	return c
}

// write puts a file in the place of another.
func (c *configured) write(path, text string) {
	c.t.Helper()
	must(c.t, os.WriteFile(path+".new", []byte(text), 0o600))
	must(c.t, os.Rename(path+".new", path))
}

// hup sends SIGHUP, and waits until the log has a text that it did not have so
// often before.
func (c *configured) hup(text string) {
	c.t.Helper()
	before := strings.Count(c.log(), text)
	must(c.t, c.cmd.Process.Signal(syscall.SIGHUP))
	if !eventually(10*time.Second, func() bool { return strings.Count(c.log(), text) > before }) {
		c.t.Errorf("after SIGHUP the log does not say %q: %s", text, c.log())
	}
}

// admits reports whether a key may log in over TCP.
func (c *configured) admits(key shs.PrivateKey) bool {
	c.t.Helper()
	conn, err := client.Dial(within(c.t, 10*time.Second), client.Config{Address: c.tcp(), Key: key, NoReconnect: true})
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// F59: each bad configuration or list of peers, on SIGHUP: the old one stays in
// force, the log has file, line and reason, and a check of it fails; the sessions
// notice nothing.
func TestF59BadFiles(t *testing.T) {
	listed, other := shs.GenerateKey(), shs.GenerateKey()
	c := newConfigured(t, nil, listed.Public())
	session := c.where().client(t, "tcp", func(cfg *client.Config) { cfg.Key, cfg.NoReconnect = listed, true })
	added := fmt.Sprintln(other.Public(), "level=trusted")
	good := c.good[c.config]
	n := 0
	for _, f := range []struct{ name, path, text, want string }{
		{"a typo", c.config, strings.Replace(good, "listed", "lsited", 1), `switchboard.toml:5: unknown setting \"defaults.lsited\"`},
		{"an unknown key", c.config, "colour = \"red\"\n" + good, `switchboard.toml:1: unknown setting \"colour\"`},
		{"an unknown table", c.config, good + "[server]\n", `switchboard.toml:12: unknown setting \"server\"`},
		{"a setting twice", c.config, good + "lanes = 5\n", "switchboard.toml:12: "},
		{"a table twice", c.config, good + "[levels.basic]\n", "switchboard.toml:12: "},
		{"a bad level", c.config, strings.Replace(good, `"basic"`, `"base"`, 1), "switchboard.toml:5: "},
		{"a bad pattern", c.config, strings.Replace(good, "org.example.**", "org..**", 1), "switchboard.toml:8: "},
		{"a bad limit", c.config, strings.Replace(good, "100", "-1", 1), "switchboard.toml:11: want a whole number"},
		{"a limit as text", c.config, strings.Replace(good, "100", `"many"`, 1), "switchboard.toml:11: want a whole number"},
		{"an empty file", c.config, "", "switchboard.toml:1: the file is empty"},
		{"a half-written file", c.config, good[:len(good)*2/3], "switchboard.toml:8: "},
		{"a key that is cut", c.peers, added[:40], "peers: line 1: "},
		{"a key twice", c.peers, added + added, "peers: line 2: "},
		{"a rule twice", c.peers, added[:len(added)-1] + " level=basic\n", "peers: line 1: "},
		{"an unknown rule", c.peers, added + "# and\n" + other.Public().String() + " owns=a\n", "peers: line 3: "},
		{"a bad rule", c.peers, added[:len(added)-1] + " own=a..b\n", "peers: line 1: "},
		{"an empty rule", c.peers, added[:len(added)-1] + " own=\n", "peers: line 1: "},
		{"an empty list", c.peers, "", "peers: the file is empty"},
		{"no list", c.peers, "\x00none", "peers: no such file"},
		{"a folder in its place", c.peers, "\x00folder", "peers: "},
		{"a list that others may write", c.peers, "\x00mode", "peers: "}, // root reads what it may not: modes are looked at
		{"a configuration that is a folder", c.config, "\x00folder", "switchboard.toml: "},
		{"no configuration", c.config, "\x00none", "switchboard.toml: no such file"},
	} {
		spoil(t, f.path, f.text, added)
		c.hup("why=SIGHUP err=")
		log := c.log()
		said := log[strings.LastIndex(log, "level=ERROR"):]
		if !strings.Contains(said, f.want) || !strings.Contains(said, "all stays as it was") {
			t.Errorf("%s: the log says %q, want %q", f.name, said, f.want)
		}
		check := run(t, command(t, c.dir, "switchboard", "config", "check", c.config))
		if check.code != 2 || !strings.Contains(check.stderr, strings.ReplaceAll(f.want, `\"`, `"`)) || strings.Count(check.stderr, "\n") != 1 {
			t.Errorf("%s: the check ends with %d and says %q, want 2 and %q", f.name, check.code, check.stderr, f.want)
		}
		if !c.admits(listed) || c.admits(other) {
			t.Errorf("%s: the old list is not in force", f.name)
		}
		must(t, os.RemoveAll(f.path))
		c.write(f.path, c.good[f.path])
		c.hup("msg=reloaded why=SIGHUP keys=1")
		n++
	}
	if _, err := session.WhoAmI(within(t, 10*time.Second)); err != nil {
		t.Errorf("a session that none of this concerns: %v", err)
	}
	c.write(c.peers, c.good[c.peers]+added)
	c.hup("keys=2")
	if !c.admits(other) {
		t.Error("a key that is listed now is not admitted")
	}
	c.stop()
	report(t, "F59", "%d bad configurations and lists of peers on SIGHUP: the old one stayed, with file, line and reason in the log; config check ended with 2 each time; the session at the server noticed none", n)
}

// spoil puts something bad in the place of a file.
func spoil(t *testing.T, path, text, line string) {
	t.Helper()
	must(t, os.Remove(path))
	switch text {
	case "\x00none":
	case "\x00folder":
		must(t, os.Mkdir(path, 0o700))
	case "\x00mode":
		must(t, os.WriteFile(path, []byte(line), 0o600))
		must(t, os.Chmod(path, 0o666))
	default:
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
}
