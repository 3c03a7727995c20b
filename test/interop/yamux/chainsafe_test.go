package yamux

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

// TestChainsafe leads channels between processes on npm's
// @chainsafe/libp2p-yamux and all others, and between two of them.
func TestChainsafe(t *testing.T) {
	installNode(t)
	h := host.Start(t)
	all := parties(t, h)
	const plugin = "org.example.relay.chainsafe"
	callee := node(t, h, "../../../examples/js/yamux-plugin.js", plugin)
	callee.until(t, "listening as "+plugin)
	t.Run("chainsafe calls chainsafe", func(t *testing.T) {
		c := node(t, h, "../js/yamux-call.js", plugin, fmt.Sprint(5<<20))
		c.until(t, fmt.Sprintf("%d bytes, equal", 5<<20))
		c.until(t, "done")
		node(t, h, "../js/yamux-call.js", plugin, "reset").until(t, "done")
		callee.until(t, "channel cut")
	})
	for who, p := range all {
		t.Run(who+" calls chainsafe", func(t *testing.T) {
			st, err := p.call(plugin)
			if err != nil {
				t.Fatal(err)
			}
			if err := exchange(st, 5<<20, 2); err != nil {
				t.Error(err)
			}
			if !p.resets {
				return
			}
			if st, err = p.call(plugin); err != nil {
				t.Fatal(err)
			}
			say(t, st, "x")
			if _, err := io.ReadFull(st, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if err := st.Abort(); err != nil {
				t.Fatal(err)
			}
			callee.until(t, "channel cut")
		})
		t.Run("chainsafe calls "+who, func(t *testing.T) { chainsafeCalls(t, h, p, relayName(who)) })
	}
}

func chainsafeCalls(t *testing.T, h *host.Host, p party, name string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	take := func(f func(stream) error) {
		wg.Go(func() {
			st, err := p.take()
			if err == nil {
				err = f(st)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	take(func(st stream) error { return echo(st) })
	c := node(t, h, "../js/yamux-call.js", name, fmt.Sprint(5<<20))
	c.until(t, fmt.Sprintf("%d bytes, equal", 5<<20))
	c.until(t, "done")
	wg.Wait()

	take(func(st stream) error {
		if err := echo(st); err == nil {
			return errors.New("the abort of the other end is a clean end")
		}
		return nil
	})
	node(t, h, "../js/yamux-call.js", name, "reset").until(t, "done")
	wg.Wait()
	if !p.resets {
		return
	}
	take(func(st stream) error {
		if _, err := io.CopyN(struct{ io.Writer }{st}, st, int64(len("something"))); err != nil {
			return err
		}
		return st.Abort()
	})
	c = node(t, h, "../js/yamux-call.js", name, "cut")
	c.until(t, "cut: ")
	c.until(t, "done")
}

// installNode installs what the examples in JavaScript import, once for a list
// of packages.
func installNode(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing; please install it", tool)
		}
	}
	const dir = "../../../examples/js"
	want, err := os.ReadFile(dir + "/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	mark := dir + "/node_modules/.installed"
	if have, err := os.ReadFile(mark); err == nil && bytes.Equal(have, want) {
		return
	}
	cmd := exec.Command("npm", "ci")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.WriteFile(mark, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

// program is a running program of node.
type program struct {
	cmd   *exec.Cmd
	lines chan string
	said  []string
}

// node starts one, which logs in with a fresh key; the test's end kills it.
func node(t *testing.T, h *host.Host, file string, args ...string) *program {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.Command("node", append([]string{path}, args...)...), lines: make(chan string, 1000)}
	addr := shs.Address{Network: "unix", Addr: h.Path(), Key: h.Key}
	p.cmd.Env = append(os.Environ(), "SWITCHBOARD_ADDRESS="+addr.String(), "SWITCHBOARD_KEY=")
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	})
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		for range p.lines { // let it end
		}
		wg.Wait()
		p.cmd.Wait()
	})
	return p
}

// until reads lines up to one that begins with text.
func (p *program) until(t *testing.T, text string) {
	t.Helper()
	ctx := host.Context(t)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("%v ended without %q; it said %q", p.cmd.Args, text, p.said)
			}
			if p.said = append(p.said, line); strings.HasPrefix(line, text) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("%v does not say %q, but %q", p.cmd.Args, text, p.said)
		}
	}
}
