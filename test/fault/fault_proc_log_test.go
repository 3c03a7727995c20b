//go:build fault

package fault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// forged is a record that nobody but the server should be able to write.
const forged = "time=2026-01-01T00:00:00.000Z level=ERROR msg=\"forged record\""

// nasty is what a peer may say to harm a log or a terminal. As JSON each is
// shorter than the largest packet that a server takes.
var nasty = []string{
	"two\nlines",
	"cr\rover",
	"\n" + forged + "\n",
	"\x1b[31mred\x1b[0m\x1b]0;title\a\x1b[2J",
	"\u009b31m\u0085",
	"\u202eback\u2028\u2066\ufeff\U000e0041",
	"nul\x00bs\x08del\x7f",
	"bytes \xff\xfe\x9b",
	`quo"te\n\x1b`,
	strings.Repeat("x", 60<<10),
	strings.Repeat("\x1b[2J", 6<<10),
	strings.Repeat("\n", 30<<10),
	strings.Repeat("\u202e", 10<<10),
}

// printable fails the test if a command has printed anything but lines of
// printable text.
func printable(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s is no UTF-8", what)
	}
	for _, r := range text {
		if r != '\n' && !strconv.IsPrint(r) {
			t.Errorf("%s holds the raw character %q: %.200q", what, r, text)
			return
		}
	}
}

// F66: whatever peers say in names, methods, infos, metas, refusals and before
// they have logged in, the log is one escaped record of at most 2 KiB on a line.
func TestF66LogRecords(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			key := shs.GenerateKey()
			d := newDaemon(t, key.Public())
			d.args = []string{"--log-level", "debug", "--log-format", format}
			d.start()
			said := 0
			for i, s := range nasty {
				said += shout(t, d, key, i, s)
			}
			d.where().alive(t)
			d.stop()
			log := d.log()
			lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
			longest := 0
			for _, line := range lines {
				longest = max(longest, len(line)+1)
				if len(line)+1 > 2<<10 {
					t.Errorf("a record has %d bytes: %.200q", len(line)+1, line)
				}
				if format == "text" && !strings.HasPrefix(line, "time=") || strings.HasPrefix(line, forged) {
					t.Errorf("a line is no record of ours: %.200q", line)
				}
				if format == "json" && !json.Valid([]byte(line)) {
					t.Errorf("a line is no JSON: %.200q", line)
				}
			}
			printable(t, "the log", log)
			if len(lines) < said {
				t.Errorf("%d records about %d hostile sessions, want one each at least", len(lines), said)
			}
			report(t, "F66", "%s log at level debug: %d hostile texts of up to 60 KiB in each of 12 places and packets of 1 MiB: %d records, one a line, escaped, the longest %d bytes",
				format, len(nasty), len(lines), longest)
		})
	}
}

// shout says s to the server in every place there is. It returns how many
// sessions that took.
func shout(t *testing.T, d *daemon, key shs.PrivateKey, i int, s string) int {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for _, network := range networks() { // before any login
		conn := d.where().dial(t, network)
		_, _ = conn.Write([]byte(s)) // the server may have hung up
		conn.Close()
	}
	refuser := fmt.Sprintf("org.example.refuser%d", i)
	refuse(t, d, refuser, s)

	cfg := client.Config{Address: d.unix(), Key: shs.GenerateKey(), NoReconnect: true}
	if i%2 == 0 {
		cfg.Address, cfg.Key = d.tcp(), key
	}
	c, err := client.Dial(ctx, cfg)
	must(t, err)
	defer c.Close()
	some := strings.ToValidUTF8(s[:min(len(s), 600)], "?") // six times that is below 4 KiB
	refused := func(what string, err error) {
		t.Helper()
		if answer := (*client.Error)(nil); !errors.As(err, &answer) {
			t.Errorf("%s with %.20q: got %v, want an error answer", what, s, err)
		}
	}
	refused("a method", c.Call(ctx, s, nil, nil))
	for _, method := range []string{"names.claim", "names.release", "names.get"} {
		refused(method, c.Call(ctx, method, map[string]string{"name": s}, nil))
	}
	refused("a pattern", c.Call(ctx, "names.list", map[string]string{"match": s}, nil))
	for _, err := range c.Watch(ctx, s) {
		refused("a watch", err)
	}
	_, err = c.Open(ctx, s, client.OpenOptions{})
	refused("a connect", err)
	_, err = c.Open(ctx, refuser, client.OpenOptions{Meta: map[string]string{some: some}})
	if !errors.Is(err, client.Refused) {
		t.Errorf("a refusal with %.20q: got %v", s, err)
	}
	if _, err := c.Claim(ctx, fmt.Sprintf("org.example.info%d", i), client.ClaimOptions{Info: map[string]string{some: some}}); err != nil {
		t.Errorf("an info with %.20q: %v", s, err)
	}
	// Packets that end the session: no JSON is an answer, 1 MiB is too much.
	raw := d.where().enter(t)
	send(t, raw, 0x02, 1, s)
	if got := receive(t, raw); got.Req != -1 || got.Flags&muxrpc.FlagEnd == 0 {
		t.Errorf("a request of %.20q: got %+v", s, got)
	}
	big := make([]byte, 9, 9+(1<<20))
	big[0], big[2], big[8] = 0x02, 0x10, 2 // 1 MiB, request 2
	big = append(big, bytes.Repeat([]byte(s), 1<<20/len(s)+1)[:1<<20]...)
	_, _ = raw.Write(big) // the server hangs up on the way
	ended(t, raw, 10*time.Second)
	return 3
}

// refuse owns a name and refuses every channel with message and code s.
func refuse(t *testing.T, d *daemon, name, s string) {
	t.Helper()
	m := mux.Client(d.where().enter(t), mux.Config{})
	t.Cleanup(func() { m.Close() })
	lane, err := m.Open(t.Context())
	must(t, err)
	send(t, lane, 0x02, 1, `{"name":["names","claim"],"type":"async","args":[{"name":"`+name+`"}]}`)
	if got := receive(t, lane); got.Flags&muxrpc.FlagEnd != 0 {
		t.Fatalf("claiming %s: %s", name, got.Body)
	}
	no, err := json.Marshal(map[string]string{"name": s, "message": s, "stack": s})
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			stream, err := m.Accept(context.Background())
			if err != nil {
				return
			}
			if _, err := muxrpc.ReadPacket(stream, 1<<20); err == nil {
				_ = muxrpc.WritePacket(stream, muxrpc.Packet{Flags: 0x0e, Req: -1, Body: no[:min(len(no), 64<<10)]})
			}
			stream.Close()
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { m.Close() })
}

// hostile is a plugin that answers every call with s.
type hostile string

func (s hostile) ServeCall(call *muxrpc.Call) {
	switch call.Name() {
	case "good":
		_ = call.Reply(map[string]string{string(s): string(s)})
	case "items":
		_ = call.Stream().Send(string(s))
		_ = call.Stream().CloseSend(nil)
	default:
		_ = call.Fail(&muxrpc.RemoteError{Name: string(s), Message: string(s)})
	}
}

// F66, the terminal: sbctl and switchboard print what peers, files and arguments
// say as printable lines, and an error as one of them.
func TestF66CommandOutput(t *testing.T) {
	d := newDaemon(t)
	d.start()
	newKey(t, d.dir+"/user.key")
	sbctl := func(args ...string) (outcome, string) {
		return run(t, command(t, d.dir, "sbctl", append([]string{"--address", d.unix(), "--key", d.dir + "/user.key"}, args...)...)), fmt.Sprintf("sbctl %.40q", args)
	}
	var runs int
	check := func(got outcome, what string, code int) {
		t.Helper()
		runs++
		if code >= 0 && got.code != code {
			t.Errorf("%s: ended with %d and said %.200q, want %d", what, got.code, got.stderr, code)
		}
		printable(t, what+": stdout", got.stdout)
		printable(t, what+": stderr", got.stderr)
		if n := strings.Count(got.stderr, "\n"); n > 1 || got.code != 0 && n != 1 {
			t.Errorf("%s: an error of %d lines: %.300q", what, n, got.stderr)
		}
	}
	for i, s := range nasty {
		ctx := within(t, 20*time.Second)
		name := fmt.Sprintf("org.example.n%d", i)
		refuse(t, d, name+".refuser", s)
		c, err := client.Dial(ctx, client.Config{Address: d.unix(), Key: shs.GenerateKey()})
		must(t, err)
		some := strings.ToValidUTF8(s[:min(len(s), 600)], "?")
		ln, err := c.ListenWith(ctx, name, client.ClaimOptions{Info: map[string]string{some: some}})
		must(t, err)
		var served sync.WaitGroup
		served.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				served.Go(func() {
					rpc := muxrpc.NewSession(conn.(muxrpc.Conn), muxrpc.Config{Handler: hostile(s), MaxBody: 1 << 20})
					<-rpc.Done()
					rpc.Close()
				})
			}
		})
		for _, args := range [][]string{{"list"}, {"list", "--json"}, {"info", name}, {"info", name, "--json"},
			{"call", name, "good"}, {"call", "--source", name, "items"}} {
			got, what := sbctl(args...)
			check(got, what, 0)
		}
		got, what := sbctl("call", name, "bad")
		check(got, what, 10)
		for _, verb := range []string{"connect", "ping"} {
			got, what := sbctl(verb, name+".refuser")
			check(got, what, 9)
		}
		check(watchOnce(t, d), "sbctl watch --json", 0)
		if arg := strings.ReplaceAll(s, "\x00", ""); i%times(4, 1) == 2%times(4, 1) {
			for _, args := range [][]string{{"info", arg}, {"list", arg}, {"connect", arg}, {"wait", arg}, {"call", "switchboard", arg},
				{"call", name, "good", arg}, {"--mode", arg, "list"}, {"--key", arg, "list"}, {"--address", arg, "list"}, {"--" + arg}, {arg}, {"expose", arg, "tcp:127.0.0.1:1"}, {"expose", name, arg}} {
				got, what := sbctl(args...)
				check(got, what, -1)
			}
			home := room(t)
			for _, args := range [][]string{{"--listen", arg}, {"--listen", "unix:" + home + "/" + arg + "/s/"}, {"--key", home + "/x/" + arg + "/"}, {"--config", arg}, {"--log-level", arg}, {"--" + arg}, {arg}} {
				check(run(t, command(t, home, "switchboard", args...)), fmt.Sprintf("switchboard %.40q", args), -1)
			}
			for _, text := range []string{s, fmt.Sprintf("%q = 1", s), "listen = [\"unix:" + s + "\"]"} {
				must(t, os.WriteFile(home+"/conf", []byte(text), 0o600))
				check(run(t, command(t, home, "switchboard", "config", "check", home+"/conf")), "switchboard config check", -1)
			}
			must(t, os.WriteFile(home+"/peers", []byte("x"+s+"\n"), 0o600))
			check(run(t, command(t, home, "switchboard", "--listen", "net:127.0.0.1:0", "--authorized-peers", home+"/peers", "--key", home+"/k")), "a list", -1)
		}
		c.Close()
		served.Wait()
	}
	report(t, "F66", "%d runs of sbctl and switchboard on hostile infos, answers, refusals, arguments and files: only printable lines, errors on one", runs)
}

// watchOnce runs sbctl watch until it has printed what is there.
func watchOnce(t *testing.T, d *daemon) outcome {
	t.Helper()
	cmd := command(t, d.dir, "sbctl", "--address", d.unix(), "--key", d.dir+"/user.key", "watch", "--json")
	out, err := os.CreateTemp(d.dir, "watch")
	must(t, err)
	defer out.Close()
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	must(t, cmd.Start())
	var said string
	if !eventually(10*time.Second, func() bool {
		text, err := os.ReadFile(out.Name())
		must(t, err)
		said = string(text)
		return strings.Contains(said, `"synced"`)
	}) {
		t.Errorf("sbctl watch said %.200q", said)
	}
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	_ = cmd.Wait()
	return outcome{cmd.ProcessState.ExitCode(), said, stderr.String()}
}
