//go:build fault

package fault_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// pluginEnv holds what a plugin process is to be: this program, which then runs
// no test.
const pluginEnv = "FAULT_PLUGIN"

// part is what a plugin process is told.
type part struct {
	Address    string
	Seed       [32]byte // of its key
	Name       string
	Mode       client.Mode
	SingleLane bool
	Direct     client.Direct
	ServerPort int
}

// order is what a plugin process is told later, a line each.
type order struct {
	KillLinks int    // at random
	Seed      uint64 // of that
	Count     bool   // tell what it holds
}

// word is what a plugin process says, a line each.
type word struct {
	Ready  bool   // its name is claimed
	Fault  string // what must never be
	Killed *int   // links
	Held   *held
}

// held is what a plugin process holds, and has done.
type held struct {
	Open, Whole, Bytes int64
	Goroutines, FDs    int
}

// bePlugin is a plugin process until its standard input ends.
func bePlugin(text string) error {
	var p part
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := dialUntil(ctx, client.Config{Address: p.Address, Key: shs.NewPrivateKey(p.Seed), Mode: p.Mode, SingleLane: p.SingleLane, Direct: p.Direct, Log: integrityLog()})
	if err != nil {
		return err
	}
	defer c.Close()
	var ln net.Listener
	if !eventually(20*time.Second, func() bool { // the server may not have seen yet that the one before is dead
		ln, err = c.Listen(ctx, p.Name)
		return !errors.Is(err, client.NameTaken)
	}) || err != nil {
		return err
	}
	w := &plugin{out: json.NewEncoder(os.Stdout)}
	w.say(word{Ready: true, Held: w.holds()})
	var wg sync.WaitGroup
	wg.Go(func() { w.serve(ln) })
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var o order
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			return err
		}
		if o.Count {
			w.say(word{Held: w.holds()})
			continue
		}
		n := killLinks(rand.New(rand.NewPCG(o.Seed, 0)), o.KillLinks, p.ServerPort)
		w.say(word{Killed: &n})
	}
	ln.Close()
	c.Close()
	wg.Wait()
	return nil
}

// dialUntil tries until the server is there.
func dialUntil(ctx context.Context, cfg client.Config) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, slow*30*time.Second)
	defer cancel()
	for {
		c, err := client.Dial(ctx, cfg)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		rest(20 * time.Millisecond)
	}
}

// rest waits.
func rest(d time.Duration) { <-time.NewTimer(d).C }

// plugin is the callee of all channels to one name.
type plugin struct {
	open, whole, bytes atomic.Int64

	mu  sync.Mutex
	out *json.Encoder // guarded by mu
}

func (w *plugin) say(s word) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.out.Encode(s); err != nil {
		os.Exit(3)
	}
}

func (w *plugin) serve(ln net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		w.open.Add(1)
		wg.Go(func() {
			defer w.open.Add(-1)
			w.play(conn.(*channel.Conn))
		})
	}
}

func (w *plugin) play(conn *channel.Conn) {
	var s script
	if err := json.Unmarshal(conn.Info().Meta, &s); err != nil {
		w.say(word{Fault: err.Error()})
	}
	res := play(conn, s[1], s[0])
	w.bytes.Add(res.got)
	if res.whole {
		w.whole.Add(1)
	}
	if res.faults != "" {
		w.say(word{Fault: fmt.Sprintf("callee of %v: %s", conn.Info().ID, res.faults)})
	}
}

func (w *plugin) holds() *held {
	fds, _ := os.ReadDir("/proc/self/fd")
	return &held{w.open.Load(), w.whole.Load(), w.bytes.Load(), runtime.NumGoroutine(), len(fds)}
}

// helper is a plugin process as the test sees it.
type helper struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    *json.Encoder
	close func() error // its input
	base  held
	links string    // where it makes its links' directories
	words chan word // answers to orders; closed with its output
	over  chan struct{}
}

// startPlugin starts a plugin process, and returns when its name is claimed.
func startPlugin(t testing.TB, p part, links string) (*helper, error) {
	text, err := json.Marshal(p)
	must(t, err)
	must(t, os.Mkdir(links, 0o700))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), pluginEnv+"="+string(text), "XDG_RUNTIME_DIR="+links, "TMPDIR="+links)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	pr := &helper{t: t, cmd: cmd, in: json.NewEncoder(stdin), close: stdin.Close, links: links, words: make(chan word, 1), over: make(chan struct{})}
	go func() {
		defer close(pr.over)
		defer close(pr.words)
		for dec := json.NewDecoder(stdout); ; {
			var w word
			if dec.Decode(&w) != nil {
				return
			}
			if w.Fault != "" {
				t.Errorf("%s: %s", p.Name, w.Fault)
			} else {
				pr.words <- w
			}
		}
	}()
	w, ok := <-pr.words
	if !ok || !w.Ready {
		pr.kill()
		return nil, fmt.Errorf("plugin %s did not come up", p.Name)
	}
	pr.base = *w.Held
	return pr, nil
}

// do gives an order; false if the process is dead.
func (pr *helper) do(o order) (w word, ok bool) {
	if pr.in.Encode(o) != nil {
		return w, false
	}
	w, ok = <-pr.words
	return w, ok
}

// kill ends it without a word.
func (pr *helper) kill() {
	pr.cmd.Process.Kill()
	<-pr.over
	pr.cmd.Wait()
}

// stop lets it end, which must leave nothing behind.
func (pr *helper) stop() {
	err := pr.close()
	late := time.AfterFunc(slow*20*time.Second, func() { pr.cmd.Process.Kill() })
	<-pr.over
	err = errors.Join(err, pr.cmd.Wait())
	late.Stop()
	if err != nil {
		pr.t.Errorf("a plugin ended with %v", err)
	}
	left, err := os.ReadDir(pr.links)
	if err != nil || len(left) > 0 {
		pr.t.Errorf("a plugin that ended has left %v, %v", left, err)
	}
}
