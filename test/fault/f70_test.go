//go:build fault

package fault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// echoAll gives back what comes on the channels of a listener.
func echoAll(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(conn, conn)
			conn.Close()
		}()
	}
}

// says writes a line to an echo and wants it back.
func says(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(conn, text)
	must(t, err)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("an echo gave %q, %v, want %q", got, err, text)
	}
}

// relayedEchoes starts an echo and opens n channels to it, from 8 clients, that
// stay at the server.
func relayedEchoes(t *testing.T, p place, n int) []*channel.Conn {
	t.Helper()
	plugin := p.client(t, "unix")
	ln, err := plugin.Listen(t.Context(), "org.example.echo")
	must(t, err)
	go echoAll(ln)
	var callers []*client.Client
	for range 8 {
		callers = append(callers, p.client(t, "unix"))
	}
	conns := make([]*channel.Conn, n)
	for i := range conns {
		conns[i], err = callers[i%len(callers)].Open(within(t, 20*time.Second), "org.example.echo", client.OpenOptions{Direct: client.DirectNever})
		must(t, err)
		t.Cleanup(func() { conns[i].Close() })
		says(t, conns[i], "before")
	}
	return conns
}

// goneAway reads a call going_away, which must come within 2 s, answers it, and
// says what it was.
func goneAway(t *testing.T, lane interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
}) string {
	t.Helper()
	must(t, lane.SetReadDeadline(time.Now().Add(2*time.Second)))
	got := receive(t, lane)
	send(t, lane, 0x02, -got.Req, "true")
	return fmt.Sprintf("%02x %d %s", got.Flags, got.Req, got.Body)
}

// ask makes a call on a lane of its own and returns the code of the refusal.
func ask(t *testing.T, m *mux.Session, flags byte, body string) string {
	t.Helper()
	lane, err := m.Open(t.Context())
	must(t, err)
	defer lane.Close()
	must(t, lane.SetDeadline(time.Now().Add(5*time.Second)))
	send(t, lane, flags, 1, body)
	got := receive(t, lane)
	if _, code, ok := strings.Cut(string(got.Body), `"name":"`); ok && got.Flags&muxrpc.FlagEnd != 0 {
		code, _, _ = strings.Cut(code, `"`)
		return code
	}
	return string(got.Body)
}

// F70: SIGTERM at 200 channels: everybody is told at once, nothing new begins,
// what is open goes on for its time and is then ended, one after the other and
// never as if it were over; the server ends with 0 and leaves no socket.
func TestF70LameDuck(t *testing.T) {
	drain := time.Duration(times(6, 30)) * time.Second
	d := newDaemon(t, shs.GenerateKey().Public())
	d.args = []string{"--drain", drain.String()}
	d.start()
	p := d.where()
	conns := relayedEchoes(t, p, 200)

	single := p.enter(t) // a control lane, idle
	must(t, muxrpc.WritePacket(single, muxrpc.Packet{Flags: 2, Req: 1, Body: []byte(`{"name":["ping"],"args":[]}`)}))
	receive(t, single)
	watch := mux.Client(p.enter(t), mux.Config{})
	defer watch.Abort(nil)
	events, err := watch.Open(t.Context())
	must(t, err)
	send(t, events, 0x0a, 1, `{"name":["names","watch"],"args":[],"type":"source"}`)
	receive(t, events) // the echo
	receive(t, events) // synced
	hand := mux.Client(p.enter(t), mux.Config{})
	defer hand.Abort(nil)
	open, err := hand.Open(t.Context())
	must(t, err)
	send(t, open, 0x0a, 1, `{"name":["connect"],"args":[{"to":"org.example.echo"}],"type":"duplex"}`)
	receive(t, open)

	began := time.Now()
	must(t, d.cmd.Process.Signal(syscall.SIGTERM))
	want := fmt.Sprintf(`{"name":["going_away"],"args":[{"drain_ms":%d}],"type":"async"}`, drain.Milliseconds())
	if got := goneAway(t, single); got != "02 1 "+want {
		t.Errorf("the control lane was told %s, want %s", got, want)
	}
	for _, m := range []*mux.Session{watch, hand} {
		call, err := m.Accept(within(t, 2*time.Second))
		must(t, err)
		if got := goneAway(t, call); got != "02 1 "+want {
			t.Errorf("a yamux session was told %s, want %s", got, want)
		}
	}
	told := time.Since(began)
	if got := receive(t, events); got.Flags != 0x0e || !bytes.Contains(got.Body, []byte(`"shutting_down"`)) {
		t.Errorf("the watch ended with %02x %s", got.Flags, got.Body)
	}
	if got := ended(t, single, 5*time.Second); string(got) != strings.Repeat("\x00", 9) {
		t.Errorf("an idle control lane got %q behind the call, want the goodbye", got)
	}
	if _, err := net.Dial("unix", p.unix); err == nil {
		t.Error("the Unix socket still takes connections")
	}
	if _, err := net.Dial("tcp", p.tcp); err == nil {
		t.Error("TCP still takes connections")
	}
	for name, got := range map[string]string{
		"connect":    ask(t, hand, 0x0a, `{"name":["connect"],"args":[{"to":"org.example.echo"}],"type":"duplex"}`),
		"names.get":  ask(t, hand, 0x02, `{"name":["names","get"],"args":[{"name":"org.example.echo"}]}`),
		"names.list": ask(t, hand, 0x02, `{"name":["names","list"],"args":[]}`),
		"a claim":    ask(t, hand, 0x02, `{"name":["names","claim"],"args":[{"name":"org.example.late"}]}`),
	} {
		if got != "shutting_down" {
			t.Errorf("%s: got %s, want shutting_down", name, got)
		}
	}
	for _, c := range conns {
		says(t, c, "after")
	}
	ends := cuts(t, conns[50:], began)
	for _, c := range conns[:50] { // these have said all they had to say
		must(t, c.CloseWrite())
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("a channel that ended by itself: %q, %v", rest, err)
		}
	}
	first, last := ends()
	<-d.drained
	err = d.cmd.Wait()
	took := time.Since(began)
	d.cmd = nil
	if err != nil {
		t.Errorf("the server ended with %v, want exit code 0", err)
	}
	spread := drain / time.Duration(times(8, 3))
	if first < drain/3 || last > drain+atMost(5*time.Second) || last-first < spread || took > drain+atMost(10*time.Second) {
		t.Errorf("of %v the first channel was ended after %v, the last after %v, and the server after %v", drain, first, last, took)
	}
	for _, path := range []string{p.unix, p.unix + ".lock"} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	report(t, "F70", "SIGTERM at 201 channels, drain %v: all told within %v, nothing new began, 50 channels ended by themselves, 150 with shutting_down after %v to %v; exit code 0 after %v, no socket left",
		drain, ms(told), ms(first), ms(last), ms(took))
}

// cuts waits for the server to end all channels. What it returns does so too, and
// says when the first and the last heard of it.
func cuts(t *testing.T, conns []*channel.Conn, began time.Time) (ends func() (first, last time.Duration)) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	first, last := time.Hour, time.Duration(0)
	for _, c := range conns {
		wg.Go(func() {
			_, err := c.Read(make([]byte, 1))
			at := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			if !errors.Is(err, client.ShuttingDown) {
				t.Errorf("a channel that the server ended: %v, want shutting_down", err)
			}
			first, last = min(first, at), max(last, at)
		})
	}
	return func() (time.Duration, time.Duration) {
		wg.Wait()
		return first, last
	}
}

// F70: a server without channels stops at once, whoever is there.
func TestF70Idle(t *testing.T) {
	d := newDaemon(t)
	d.start()
	for i := range 50 {
		c := d.where().client(t, "unix")
		_, err := c.Claim(within(t, 10*time.Second), fmt.Sprintf("org.example.idle%d", i), client.ClaimOptions{})
		must(t, err)
	}
	began := time.Now()
	d.stop()
	took := time.Since(began)
	if took > atMost(10*time.Second) {
		t.Errorf("an idle server took %v to stop", took)
	}
	report(t, "F70", "an idle server with 50 sessions: exit code 0 after %v", ms(took))
}

// F70: a second signal ends the server at once.
func TestF70Twice(t *testing.T) {
	for _, second := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		d := newDaemon(t)
		d.start()
		relayedEchoes(t, d.where(), 8)
		began := time.Now()
		must(t, d.cmd.Process.Signal(syscall.SIGTERM))
		d.logged("msg=stopping", 1)
		must(t, d.cmd.Process.Signal(second))
		<-d.drained
		err := d.cmd.Wait()
		took := time.Since(began)
		status, ok := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
		d.cmd = nil
		if !ok || !status.Signaled() || status.Signal() != second || took > atMost(8*time.Second) {
			t.Errorf("SIGTERM and %v: ended with %v after %v, want an end at once by the second", second, err, took)
		}
	}
}
