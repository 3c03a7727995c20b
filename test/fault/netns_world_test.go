//go:build fault

package fault_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// Where the two ends of the wire are.
const (
	hostA = "10.213.0.1"
	hostB = "10.213.0.2"
)

// world is two network namespaces, joined by a wire. A server runs in A; agents
// run in either, and reach it over its Unix socket or over the wire.
type world struct {
	t     *testing.T
	a, b  string // the namespaces
	d     *daemon
	seeds [4][32]byte   // of the keys of agents
	n     int           // agents so far
	pace  time.Duration // of their flows
	lanes bool          // their lanes are connections
}

// worlds numbers the namespaces of this process.
var worlds atomic.Int64

// newWorld makes a world, or skips the test where that cannot be. The server has
// the given limits, lines of its configuration.
func newWorld(t *testing.T, limits ...string) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	for _, name := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s here", name)
		}
	}
	base := fmt.Sprintf("sb%d-%d", os.Getpid(), worlds.Add(1))
	w := &world{t: t, a: base + "a", b: base + "b", pace: 10 * time.Millisecond}
	for _, ns := range []string{w.a, w.b} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("no network namespaces here: %s", out)
		}
		t.Cleanup(func() { command1(t, "ip", "netns", "del", ns) })
		command1(t, "ip", "-n", ns, "link", "set", "lo", "up")
	}
	command1(t, "ip", "-n", w.a, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", w.b)
	for ns, host := range map[string]string{w.a: hostA, w.b: hostB} {
		command1(t, "ip", "-n", ns, "addr", "add", host+"/24", "dev", "wire")
		command1(t, "ip", "-n", ns, "link", "set", "wire", "up")
	}
	var public []shs.PublicKey
	for i := range w.seeds {
		rand.Read(w.seeds[i][:])
		public = append(public, shs.NewPrivateKey(w.seeds[i]).Public())
	}
	w.d = newDaemon(t, public...)
	w.d.limits(limits...)
	w.d.host, w.d.netns, w.d.port = hostA, w.a, "7" // any: there is nobody else
	w.d.start()
	return w
}

// command1 runs a command that must succeed, and returns what it said.
func command1(t testing.TB, name string, args ...string) string {
	t.Helper()
	got := run(t, exec.Command(name, args...))
	if got.code != 0 {
		t.Fatalf("%s %q: %s", name, args, got.stderr)
	}
	return got.stdout
}

// inNetns makes a command run in a network namespace. It keeps its process id.
func inNetns(cmd *exec.Cmd, ns string) {
	if ns == "" {
		return
	}
	ip, err := exec.LookPath("ip")
	if err != nil {
		cmd.Err = err
		return
	}
	cmd.Args = append([]string{ip, "netns", "exec", ns, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = ip
}

// wire takes the wire down or up.
func (w *world) wire(state string) {
	w.t.Helper()
	command1(w.t, "ip", "-n", w.b, "link", "set", "wire", state)
}

// rules are those of B's firewall, for what belongs to direct links: the chain
// "in" is for what comes, "out" for what goes. What goes to the server passes,
// and both is counted.
func (w *world) rules(lines ...string) {
	w.t.Helper()
	w.firewall("accept", lines...)
}

// cutOff lets nothing of B reach the server, nor the other way; links are as ever.
// The verdict is that on what goes.
func (w *world) cutOff(verdict string) {
	w.t.Helper()
	w.firewall(verdict)
}

// firewall sets B's rules: the verdict on what goes to the server, and those for
// links. Where what goes is dropped, so is what comes; a reset comes as the server's.
func (w *world) firewall(server string, lines ...string) {
	w.t.Helper()
	back := "accept"
	if server == "drop" {
		back = server
	}
	text := "flush ruleset\nadd table ip sb\nadd counter ip sb server\nadd counter ip sb link\n" +
		"add chain ip sb in { type filter hook input priority 0; }\n" +
		"add chain ip sb out { type filter hook output priority 0; }\n" +
		"add rule ip sb in tcp sport " + w.d.port + " counter name server " + back + "\n" +
		"add rule ip sb out tcp dport " + w.d.port + " counter name server " + server + "\n" +
		"add rule ip sb in counter name link\nadd rule ip sb out counter name link\n"
	for _, line := range lines {
		text += "add rule ip sb " + line + "\n"
	}
	cmd := exec.Command("nft", "-f", "-")
	inNetns(cmd, w.b)
	cmd.Stdin = strings.NewReader(text)
	if got := run(w.t, cmd); got.code != 0 {
		w.t.Fatalf("nft: %s in\n%s", got.stderr, text)
	}
}

// Rules for whole directions, and one that answers with a reset.
const (
	dropIn  = "in meta l4proto tcp drop"
	dropOut = "out meta l4proto tcp drop"
	resetIn = "in tcp flags & rst == 0 reject with tcp reset"
)

// counted returns the bytes that B has sent and received since the rules were
// set: over links, or to and from the server.
func (w *world) counted(name string) int64 {
	w.t.Helper()
	out := command1(w.t, "ip", "netns", "exec", w.b, "nft", "list", "counter", "ip", "sb", name)
	_, text, _ := strings.Cut(out, "bytes ")
	text, _, _ = strings.Cut(text, "\n")
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	must(w.t, err)
	return n
}

// agent is a process in a namespace, with a client in it.
type agent struct {
	t   *testing.T
	rpc *rpc.Client
	cmd *exec.Cmd
}

// agent starts one and logs it in: over the Unix socket in A, over TCP in B.
func (w *world) agent(ns string) *agent {
	w.t.Helper()
	if w.n == len(w.seeds) {
		w.t.Fatal("the world has keys for fewer agents")
	}
	a := w.stranger(ns)
	address := w.d.unix()
	if ns == w.b {
		address = w.d.tcp()
	}
	a.call("Enter", EnterArgs{Address: address, Seed: w.seeds[w.n], Every: w.pace, Single: w.lanes}, &None{})
	w.n++
	return a
}

// stranger starts an agent that does not log in.
func (w *world) stranger(ns string) *agent {
	w.t.Helper()
	dir := room(w.t)
	self, err := os.Executable()
	must(w.t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), agentEnv+"=1", "TMPDIR="+dir, "XDG_RUNTIME_DIR="+dir)
	inNetns(cmd, ns)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	must(w.t, err)
	out, err := cmd.StdoutPipe()
	must(w.t, err)
	must(w.t, cmd.Start())
	a := &agent{t: w.t, cmd: cmd, rpc: rpc.NewClient(pipes{out, in})}
	w.t.Cleanup(func() {
		a.rpc.Close() // and with it stdin: the agent ends
		late := time.AfterFunc(slow*10*time.Second, func() { cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("the agent ended with %v: %s", err, said.String())
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			w.t.Errorf("the agent has left %v, %v", left, err)
		}
	})
	return a
}

type pipes struct {
	io.ReadCloser
	w io.WriteCloser
}

func (p pipes) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p pipes) Close() error                { return p.w.Close() }

func (a *agent) call(method string, args, reply any) {
	a.t.Helper()
	if err := a.rpc.Call("Agent."+method, args, reply); err != nil {
		a.t.Fatalf("agent: %s: %v", method, err)
	}
}

// state is that of one end of a channel.
func (a *agent) state(id string) (s EndState) {
	a.t.Helper()
	a.call("State", id, &s)
	return s
}

// two is a channel between two agents, who both write and read all the time.
type two struct {
	t              *testing.T
	id             string
	caller, callee *agent
}

// pair opens a channel of a name that callee listens on.
func pair(caller, callee *agent, name string, direct client.Direct) two {
	caller.t.Helper()
	var id string
	caller.call("Open", OpenArgs{To: name, Direct: uint8(direct)}, &id)
	c := two{caller.t, id, caller, callee}
	if !eventually(5*time.Second, func() bool { return callee.state(id).ID != "" }) {
		c.t.Fatalf("the callee has not got the channel; Open said %q", id)
	}
	return c
}

func (c two) states() [2]EndState {
	c.t.Helper()
	return [2]EndState{c.caller.state(c.id), c.callee.state(c.id)}
}

// moves waits until both ends are on a link.
func (c two) moves(within time.Duration) {
	c.t.Helper()
	if !eventually(within, func() bool { s := c.states(); return s[0].Link != "" && s[1].Link != "" }) {
		c.t.Fatalf("not moved in %v: %+v", within, c.states())
	}
}

// flows waits until both ends have received more bytes.
func (c two) flows(within time.Duration, more int64) {
	c.t.Helper()
	before := c.states()
	if !eventually(within, func() bool { return flowed(before, c.states(), more) }) {
		c.t.Fatalf("in %v not %d bytes each way: before %+v, now %+v", within, more, before, c.states())
	}
}

// flowed reports whether both ends have received so many bytes since.
func flowed(before, now [2]EndState, more int64) bool {
	return now[0].Received >= before[0].Received+more && now[1].Received >= before[1].Received+more
}

// finishes ends both directions, and checks that every byte came.
func (c two) finishes() {
	c.t.Helper()
	c.caller.call("Finish", c.id, &None{})
	c.callee.call("Finish", c.id, &None{})
	if !eventually(30*time.Second, func() bool { s := c.states(); return s[0].Over && s[1].Over }) {
		c.t.Errorf("the channel does not end: %+v", c.states())
	}
	s := c.states()
	for i := range s {
		if s[i].ReadErr != "eof" || s[i].WriteErr != "" || s[i].Received != s[1-i].Sent {
			c.t.Errorf("end %d: %+v, other: %+v: not every byte came, and the end behind it", i, s[i], s[1-i])
		}
	}
}

// breaks waits until both ends can read no more, and checks that it was a reset of the
// given codes, with an exact prefix on either side. It returns when the ends
// heard of it.
func (c two) breaks(within time.Duration, codes ...client.Code) [2]time.Time {
	c.t.Helper()
	if !eventually(within, func() bool { s := c.states(); return s[0].ReadErr != "" && s[1].ReadErr != "" }) {
		c.t.Errorf("not over in %v: %+v", within, c.states())
	}
	s := c.states()
	c.honest(s, codes...)
	return [2]time.Time{s[0].At, s[1].At}
}

// honest checks two ends of a broken channel.
func (c two) honest(s [2]EndState, codes ...client.Code) {
	c.t.Helper()
	for i := range s {
		known := false
		for _, code := range codes {
			known = known || s[i].ReadErr == string(code)
		}
		if !known || s[i].Received > s[1-i].Sent {
			c.t.Errorf("end %d: %+v, other %+v: want one of %q, and no more than was written", i, s[i], s[1-i], codes)
		}
	}
}
