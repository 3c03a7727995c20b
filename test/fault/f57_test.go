//go:build fault && linux

package fault_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// keeper starts a server whose audit log is in dir, and logs in as its
// administrator.
func keeper(t *testing.T, dir string) (*daemon, *client.Client) {
	t.Helper()
	d := newDaemon(t)
	conf := filepath.Join(d.dir, "audit.toml")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, "[audit]\ndir = %q\n", dir), 0o600))
	d.args = []string{"--config", conf}
	d.start()
	admin, err := client.Dial(within(t, time.Minute), client.Config{Address: d.unix(), Key: d.key})
	must(t, err)
	t.Cleanup(func() { admin.Close() })
	return d, admin
}

// degraded asks until the server is, or is not.
func degraded(t *testing.T, admin *client.Client, want bool) {
	t.Helper()
	if !eventually(30*time.Second, func() bool {
		s, err := admin.Stats(within(t, 10*time.Second))
		must(t, err)
		return (s.Degraded != "") == want
	}) {
		t.Fatalf("the server does not come to say that degraded is %v", want)
	}
}

// F57: the disk of the audit log, 64 KiB, is full. Channels and claims go on;
// what administrators change is refused as unavailable; the server says that it is
// degraded. Once there is room all is well without a restart, and the chain holds,
// with a gap that is told.
func TestF57DiskFull(t *testing.T) {
	needRoot(t)
	disk := room(t)
	must(t, syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	dir := filepath.Join(disk, "audit")
	d, admin := keeper(t, dir)
	peer, err := client.Dial(within(t, time.Minute), client.Config{Address: d.unix(), Key: shs.GenerateKey()})
	must(t, err)
	defer peer.Close()
	ln, err := peer.Listen(within(t, 10*time.Second), "org.example.echo")
	must(t, err)
	defer ln.Close()
	go echoAll(ln)

	if err := os.WriteFile(filepath.Join(disk, "ballast"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	fill := func() { // what is written down
		for range 100 {
			_, err := peer.Lookup(within(t, 10*time.Second), "org.example.nobody")
			if !errors.Is(err, client.NotFound) {
				t.Fatal(err)
			}
			talk(t, peer)
		}
	}
	fill()
	degraded(t, admin, true)
	me, err := peer.WhoAmI(within(t, 10*time.Second))
	must(t, err)
	if err := admin.CloseSession(within(t, 10*time.Second), me.Session, "no"); !errors.Is(err, client.Unavailable) {
		t.Errorf("an administrator's change on a full disk: got %v, want unavailable", err)
	}
	if again, err := peer.WhoAmI(within(t, 10*time.Second)); err != nil || again.Session != me.Session {
		t.Errorf("the session was closed all the same: %v, %v", again.Session, err)
	}
	fill() // it goes on
	verify := func() outcome {
		return run(t, command(t, d.dir, "sbctl", "audit", "verify", dir, "--server", d.key.Public().String()))
	}
	full := verify()

	must(t, os.Remove(filepath.Join(disk, "ballast")))
	must(t, syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=4m"))
	began := time.Now()
	degraded(t, admin, false)
	took := time.Since(began)
	if err := admin.CloseSession(within(t, 10*time.Second), me.Session, "yes"); err != nil {
		t.Errorf("after there is room: %v", err)
	}
	s, err := admin.Stats(within(t, 10*time.Second))
	must(t, err)
	d.stop()
	got := verify()
	if full.code != 0 || got.code != 0 {
		t.Errorf("verify said %+v while the disk was full, %+v afterwards", full, got)
	}
	report(t, "F57", "64 KiB full: channels went on, the administrator's change was refused, well again %v after there was room, %d records lost and told of; %s",
		took.Round(time.Millisecond), s.Audit.Lost, strings.TrimSpace(got.stdout))
}

// talk opens a channel by name, and hears its own words.
func talk(t *testing.T, peer *client.Client) {
	t.Helper()
	conn, err := peer.DialContext(within(t, 10*time.Second), "", "org.example.echo")
	must(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("hello"))
	must(t, err)
	var b [5]byte
	if _, err := conn.Read(b[:]); err != nil {
		t.Fatal(err)
	}
}
