//go:build fault

package fault_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/shs"
)

// What the tests of whole processes share: the two commands, a server process,
// streams whose every byte is known, and measures of this process.

// nobody is the other user of the tests that root runs.
const nobody = 65534

// needRoot skips a test that has to be somebody else.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
}

// programs builds both commands once, in a place where every user may run them.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sbfault")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "../../cmd/switchboard", "../../cmd/sbctl").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the commands: %w\n%s", err, out)
	}
	return dir, nil
})

// program returns the path of a built command.
func program(t testing.TB, name string) string {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// room is a fresh directory of mode 0755 with a short path, so that sockets fit
// into it and other users may look.
func room(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newKey writes a fresh key file and returns the key.
func newKey(t testing.TB, path string) shs.PrivateKey {
	t.Helper()
	key, err := shs.CreateKey(path)
	must(t, err)
	return key
}

// slow is how many times slower than usual a machine may be.
const slow = 4

// atMost is what the short form allows where a row states d: it runs where other
// things do, too.
func atMost(d time.Duration) time.Duration { return time.Duration(times(slow, 1)) * d }

// within is a context for what usually takes no longer than d.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), slow*d)
	t.Cleanup(cancel)
	return ctx
}

// outcome is how a command ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs a command that must end by itself.
func run(t testing.TB, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	must(t, cmd.Start())
	late := time.AfterFunc(slow*20*time.Second, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		t.Fatalf("%q did not end; it said %q %q", cmd.Args, stdout.String(), stderr.String())
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// command is a command whose home is dir, so that it finds no settings and no
// key of the user who runs the tests.
func command(t testing.TB, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program(t, name), args...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "XDG_CONFIG_HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir}
	return cmd
}

// daemon is a switchboard process that may be killed and started again: at the
// same socket and port, with the same key.
type daemon struct {
	t       testing.TB
	dir     string
	key     shs.PrivateKey
	sock    string
	port    string   // of TCP; "" without, "0" until the first start
	host    string   // of TCP
	netns   string   // network namespace; "" is that of the test
	files   int      // descriptors that it may have; 0 is as many as the test
	wrap    []string // a program with arguments that execs what stands behind them
	program string   // of the server; "" is the one that is tested
	args    []string // more of them
	env     []string // more of it
	cmd     *exec.Cmd
	drained chan struct{} // closed when stdout has ended
}

// ofOneUser is how many sessions over Unix sockets a server takes of one user, which is
// that of all peers in these tests.
const ofOneUser = 4096

// newDaemon prepares a server with a Unix socket and, if any keys are given, TCP
// for these. Its log is in dir/log.
func newDaemon(t testing.TB, authorized ...shs.PublicKey) *daemon {
	t.Helper()
	dir := room(t)
	d := &daemon{t: t, dir: dir, key: newKey(t, dir+"/server.key"), sock: dir + "/bus.sock", host: "127.0.0.1"}
	if len(authorized) > 0 {
		d.port = "0"
		var list strings.Builder
		for _, k := range authorized {
			fmt.Fprintln(&list, k, "level=trusted")
		}
		must(t, os.WriteFile(dir+"/authorized_peers", []byte(list.String()), 0o600))
	}
	d.limits()
	t.Cleanup(d.kill)
	return d
}

// limits sets lines of the server's configuration, beside the one for its many
// sessions of one user.
func (d *daemon) limits(lines ...string) {
	d.t.Helper()
	text := fmt.Sprintf("[limits]\nsessions_per_uid = %d\n%s\n", ofOneUser, strings.Join(lines, "\n"))
	must(d.t, os.WriteFile(d.dir+"/crowd.toml", []byte(text), 0o600))
}

// unix and tcp are the addresses that clients dial.
func (d *daemon) unix() string {
	return shs.Address{Network: "unix", Addr: d.sock, Key: d.key.Public()}.String()
}

func (d *daemon) tcp() string {
	return shs.Address{Network: "net", Addr: d.host + ":" + d.port, Key: d.key.Public()}.String()
}

// command is a server as d describes it, not started.
func (d *daemon) command() *exec.Cmd {
	args := []string{"--listen", "unix:" + d.sock, "--key", d.dir + "/server.key", "--address-file", d.dir + "/address", "--config", d.dir + "/crowd.toml"}
	if d.port != "" {
		args = append(args, "--listen", "net:"+d.host+":"+d.port, "--authorized-peers", d.dir+"/authorized_peers")
	}
	cmd := command(d.t, d.dir, "switchboard", append(args, d.args...)...)
	if d.program != "" {
		cmd.Path, cmd.Args[0] = d.program, d.program
	}
	if d.files > 0 {
		limit(cmd, d.files)
	}
	inNetns(cmd, d.netns)
	if len(d.wrap) > 0 {
		cmd.Args = append(append(slices.Clone(d.wrap), cmd.Path), cmd.Args[1:]...)
		cmd.Path = d.wrap[0]
	}
	cmd.Env = append(cmd.Env, d.env...)
	return cmd
}

// start starts the server and returns when it says that it listens.
func (d *daemon) start() {
	d.t.Helper()
	cmd := d.command()
	log, err := os.OpenFile(d.dir+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(d.t, err)
	defer log.Close()
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	must(d.t, err)
	must(d.t, cmd.Start())
	d.cmd, d.drained = cmd, make(chan struct{})
	lines := bufio.NewReader(stdout)
	said, err := lines.ReadString('\n')
	if err != nil {
		cmd.Wait()
		d.t.Fatalf("the server did not start: %s", d.log())
	}
	if _, port, ok := strings.Cut(said, "net:"+d.host+":"); ok {
		d.port = strings.TrimSpace(port)
	}
	drained := d.drained
	go func() {
		defer close(drained)
		io.Copy(io.Discard, lines)
	}()
}

// kill ends the server without a word, and waits until the kernel has taken
// everything back.
func (d *daemon) kill() {
	if d.cmd == nil {
		return
	}
	d.cmd.Process.Kill()
	<-d.drained
	d.cmd.Wait()
	d.cmd = nil
}

// stop ends the server in good order.
func (d *daemon) stop() {
	d.t.Helper()
	must(d.t, d.cmd.Process.Signal(syscall.SIGTERM))
	<-d.drained
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("after SIGTERM the server ended with %v, want exit code 0", err)
	}
	d.cmd = nil
}

// log is all that the server has logged.
func (d *daemon) log() string {
	text, err := os.ReadFile(d.dir + "/log")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.t.Error(err)
	}
	return string(text)
}

// logged fails the test unless text is in the log n times; the last may be on
// its way.
func (d *daemon) logged(text string, n int) {
	d.t.Helper()
	if !eventually(5*time.Second, func() bool { return strings.Count(d.log(), text) >= n }) || strings.Count(d.log(), text) != n {
		d.t.Errorf("%q is logged %d times, want %d", text, strings.Count(d.log(), text), n)
	}
}

// flow is a stream without end whose every byte is known from its place.
type flow uint64

// fill writes what stands at off.
func (f flow) fill(p []byte, off int64) {
	var word uint64
	for i := range p {
		at := uint64(off) + uint64(i)
		if i == 0 || at%8 == 0 {
			word = (uint64(f)<<40 ^ at/8) * 0x9e3779b97f4a7c15
			word = (word ^ word>>30) * 0xbf58476d1ce4e5b9
			word ^= word >> 27
		}
		p[i] = byte(word >> (at % 8 * 8))
	}
}

// check says whether p is what stands at off.
func (f flow) check(p []byte, off int64) bool {
	want := make([]byte, len(p))
	f.fill(want, off)
	return bytes.Equal(p, want)
}

// errAltered is the end of a flow that did not carry what was written.
var errAltered = errors.New("the bytes are not those that were written")

// send writes f until w fails, and returns how many bytes were taken. With a
// gate it writes one piece, then waits until that is closed.
func (f flow) send(w io.Writer, gate <-chan struct{}) (n int64, err error) {
	buf := make([]byte, 16<<10)
	for {
		f.fill(buf, n)
		m, err := w.Write(buf)
		n += int64(m)
		if err != nil {
			return n, err
		}
		if gate != nil {
			<-gate
		}
	}
}

// receive reads and checks f until r ends; begun, if not nil, is called at the
// first byte.
func (f flow) receive(r io.Reader, begun func()) (n int64, err error) {
	buf := make([]byte, 32<<10)
	for {
		m, err := r.Read(buf)
		if m > 0 && !f.check(buf[:m], n) {
			return n, errAltered
		}
		if n == 0 && m > 0 && begun != nil {
			begun()
		}
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
}

// footprint is what this process holds.
type footprint struct {
	goroutines, fds int
	heap            uint64 // bytes in use after collection
}

func measure(t testing.TB) footprint {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	runtime.GC()
	runtime.GC() // the second empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine(), len(fds), m.HeapAlloc}
}

// settle waits until the process holds no more than base and a heap of most
// bytes more; it returns what it holds at the end.
func settle(t testing.TB, base footprint, most uint64) footprint {
	t.Helper()
	var now footprint
	if !eventually(10*time.Second, func() bool {
		now = measure(t)
		return now.goroutines <= base.goroutines && now.fds <= base.fds && now.heap <= base.heap+most
	}) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		t.Errorf("long after the last one the process holds %+v, at the start it was %+v\n%s", now, base, stacks)
	}
	return now
}

// eventually polls until ok says yes, which usually takes no longer than d, and
// returns the last answer.
func eventually(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(slow * d); ; time.Sleep(2 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// slowest returns the largest and the 99th percentile of some times.
func slowest(took []time.Duration) (largest, p99 time.Duration) {
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return took[len(took)-1].Round(time.Millisecond), took[(len(took)*99-1)/100].Round(time.Millisecond)
}

// times picks how often something is done.
func times[T int | float64](short, full T) T {
	if os.Getenv("FAULT") == "full" {
		return full
	}
	return short
}

// report keeps a figure: in the test's output and, if FAULT_RESULTS names a
// file, as a line of it.
func report(t testing.TB, id, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Logf("%s: %s", id, text)
	path := os.Getenv("FAULT_RESULTS")
	if path == "" || t.Failed() {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(t, err)
	_, err = fmt.Fprintf(f, "%s\t%s\n", id, text)
	must(t, errors.Join(err, f.Close()))
}
