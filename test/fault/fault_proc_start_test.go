//go:build fault

package fault_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// F47: a second server at a live socket refuses and leaves it alone; of several
// that start where one was killed exactly one takes the stale socket over, and
// the losers do not take it from the winner.
func TestF47SocketTakenOver(t *testing.T) {
	rounds := times(5, 50)
	d := newDaemon(t)
	d.start()
	back := make(chan struct{}, 1000)
	c, err := client.Dial(within(t, 10*time.Second), client.Config{Address: d.unix(), Key: shs.GenerateKey(), OnState: func(s client.State) {
		if s.Kind == client.Connected {
			back <- struct{}{}
		}
	}})
	must(t, err)
	defer c.Close()
	<-back
	for range rounds {
		refuseSecond(t, d, c)
		d.kill()
		if fi, err := os.Lstat(d.sock); err != nil || fi.Mode().Type() != fs.ModeSocket {
			t.Fatalf("after kill -9: got %v, %v, want the socket file left behind", fi, err)
		}
		raceToStart(t, d, 3)
		<-back
		if _, err := c.WhoAmI(within(t, 10*time.Second)); err != nil {
			t.Fatalf("after the restart: %v", err)
		}
		if t.Failed() {
			return
		}
	}
	d.stop()
	for _, path := range []string{d.sock, d.sock + ".lock"} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after SIGTERM %s is still there (%v)", path, err)
		}
	}
	report(t, "F47", "%d kills: the stale socket was taken over each time by exactly one of 3 that raced; %d second servers refused, 0 touched the live socket or its session", rounds, rounds)
}

// refuseSecond starts another server at the socket of a live one.
func refuseSecond(t *testing.T, d *daemon, c *client.Client) {
	t.Helper()
	before, err := os.Lstat(d.sock)
	must(t, err)
	address, err := os.ReadFile(d.dir + "/address")
	must(t, err)
	me, err := c.WhoAmI(within(t, 10*time.Second))
	must(t, err)
	got := run(t, d.command())
	if got.code == 0 || !strings.Contains(got.stderr, "already in use") || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("the second server ended with %d and said %q, want a refusal on one line", got.code, got.stderr)
	}
	after, err := os.Lstat(d.sock)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the second server touched the socket of the first: %v", err)
	}
	if now, err := os.ReadFile(d.dir + "/address"); err != nil || string(now) != string(address) {
		t.Errorf("the second server changed the address file to %q, %v", now, err)
	}
	if again, err := c.WhoAmI(within(t, 10*time.Second)); err != nil || again.Session != me.Session {
		t.Errorf("the session was %s, then %s, %v: the second server disturbed it", me.Session, again.Session, err)
	}
}

// raceToStart starts n servers at once where one was killed; the one that wins
// becomes d's.
func raceToStart(t *testing.T, d *daemon, n int) {
	t.Helper()
	won := make(chan *exec.Cmd, n)
	var all sync.WaitGroup
	for range n {
		cmd := d.command()
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		var said strings.Builder
		cmd.Stderr = &said
		must(t, cmd.Start())
		all.Go(func() {
			if _, err := bufio.NewReader(stdout).ReadString('\n'); err == nil {
				won <- cmd
				return
			}
			if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), "already in use") {
				t.Errorf("a loser ended with %v and said %q", err, said.String())
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Fatalf("%d of %d servers got the socket, want 1", len(won), n)
	}
	d.cmd, d.drained = <-won, make(chan struct{})
	close(d.drained) // its two lines fit into the pipe
}
