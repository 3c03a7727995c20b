//go:build fault

package fault_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// F20: a squatter stands at the path of a link. Another user's is not told a byte,
// even in our own directory; the same user's may pass everything on, and reads
// what is not sealed.
func TestF20LinkSquatter(t *testing.T) {
	_, p := startDaemon(t)
	users := []int{os.Geteuid()}
	if os.Geteuid() == 0 {
		users = append(users, nobody)
	}
	for _, uid := range users {
		for _, sealed := range []bool{false, true} {
			linkSquatter(t, p, uid, sealed)
		}
	}
	report(t, "F20", "a squatter on the path of a link: another user's was sent nothing; the same user's read what was not sealed, and not what was")
}

func linkSquatter(t *testing.T, p place, uid int, sealed bool) {
	t.Helper()
	callee := p.byHand(t, "unix", shs.GenerateKey())
	var s *squatter
	var ln *channel.LinkListener
	name := "org.example.squatted." + map[bool]string{false: "open", true: "sealed"}[sealed] + map[bool]string{false: "", true: "2"}[uid == nobody]
	offers := callee.serve(name, func(ask *control.LinkAsk, offer *control.OfferArgs) string {
		id, err := channel.ParseID(offer.Channel)
		must(t, err)
		a := channel.Attempt{Key: callee.key, Channel: id, Secret: ask.Secret, Peer: offer.Peer.ID, UID: uint32(os.Geteuid())}
		ln, err = a.Listen([]channel.Kind{channel.Unix}, channel.ListenOptions{Dir: room(t)})
		must(t, err)
		real := ln.Unix()
		if uid == nobody { // who cannot get there
			real = newTarget(t, "unix", room(t)+"/s").Addr().String()
			must(t, os.Chmod(real, 0o666))
		}
		s = squat(t, real, uid)
		path := privately(t) + "/s"
		must(t, os.Rename(s.path, path)) // somebody has put it there
		seal := map[bool]string{true: `"sealed":true,`}[sealed]
		return `{` + seal + `"require":true,"direct":{"unix":"` + path + `"}}`
	})
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		c := <-offers
		id, _ := channel.ParseID(c.args.Channel)
		path := channel.NewPath(c.lane, false, func(f func()) { wg.Go(f) })
		defer path.Close()
		link, err := ln.Accept(within(t, 8*time.Second), path.Register)
		if err != nil || path.Move(t.Context(), link) != nil {
			return
		}
		lane := channel.Lane(path)
		if sealed {
			if lane, err = channel.Seal(t.Context(), path, channel.SealConfig{Key: callee.key, Channel: id, To: name, Peer: c.args.Peer.ID}); err != nil {
				t.Error(err)
				return
			}
		}
		_, _ = io.Copy(lane, lane)
		_ = lane.CloseWrite() // the caller is gone, or not
	})
	caller := p.client(t, "unix")
	conn, err := caller.Open(within(t, 20*time.Second), name, client.OpenOptions{Direct: client.DirectRequire, Sealed: sealed})
	if uid == nobody {
		if !errors.Is(err, client.LinkLost) || len(s.saw()) > 0 {
			t.Errorf("through another user: %v, who saw %d bytes; want link_lost and none", err, len(s.saw()))
		}
		ln.Close()
		return
	}
	must(t, err)
	_, err = io.WriteString(conn, canary)
	must(t, errors.Join(err, conn.CloseWrite()))
	if got, err := io.ReadAll(conn); err != nil || string(got) != canary {
		t.Errorf("through the same user: got %q, %v", got, err)
	}
	conn.Close()
	if bytes.Contains(s.saw(), []byte(canary)) == sealed {
		t.Errorf("sealed %v: whether the squatter could read the canary is %v", sealed, !sealed)
	}
}

// withoutLeak runs f, and checks that it leaves no descriptor, no goroutine and no
// file of a link. f gets a server, and makes clients of its own.
func withoutLeak(t *testing.T, dir string, f func(p place)) {
	t.Helper()
	_, p := startDaemon(t)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("TMPDIR", dir)
	warm := p.client(t, "unix")
	must(t, warm.Close())
	base := measure(t)
	f(p)
	settle(t, base, 16<<20)
	empty(t, dir)
}

// empty fails the test if anything is left in a directory.
func empty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Bad input: a caller that makes the link and then does nothing, and a
// callee that does so, which leaves a required link without its mark.
func TestF69LinkStalls(t *testing.T) {
	dir := privately(t)
	withoutLeak(t, dir, func(p place) {
		c := p.client(t, "unix")
		ln, err := c.Listen(within(t, 10*time.Second), "org.example.callee")
		must(t, err)
		h := p.byHand(t, "unix", shs.GenerateKey())
		l, lane, conn := rawTry(t, p, h, ln, channel.Unix, "")
		link, _, err := l.shake(l.right())
		must(t, err)
		echoes(t, "with an idle link", lane, conn)
		must(t, link.SetReadDeadline(time.Now().Add(slow*12*time.Second)))
		if _, err := link.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the callee has waited for a mark for too long: %v", err)
		}
		echoes(t, "without it", lane, conn)
		link.Abort()
		must(t, errors.Join(conn.Close(), lane.Close()))
		stalledCallee(t, p, dir)
		must(t, errors.Join(ln.Close(), c.Close(), h.m.Close()))
	})
	report(t, "bad input", "links whose other end stalls behind the handshake: the caller's was given up after 10 s and nobody noticed; the callee's, required, was link_lost; nothing leaked")
}

// stalledCallee is a callee that shakes hands, and says nothing more.
func stalledCallee(t *testing.T, p place, dir string) {
	t.Helper()
	callee := p.byHand(t, "unix", shs.GenerateKey())
	var ln *channel.LinkListener
	offers := callee.serve("org.example.staller", func(ask *control.LinkAsk, offer *control.OfferArgs) string {
		id, err := channel.ParseID(offer.Channel)
		must(t, err)
		a := channel.Attempt{Key: callee.key, Channel: id, Secret: ask.Secret, Peer: offer.Peer.ID, UID: uint32(os.Geteuid())}
		ln, err = a.Listen([]channel.Kind{channel.Unix}, channel.ListenOptions{Dir: dir})
		must(t, err)
		return `{"require":true,"direct":{"unix":"` + ln.Unix() + `"}}`
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		c := <-offers
		link, err := ln.Accept(within(t, 10*time.Second), func() bool { return true })
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, link) // to its end
		link.Abort()
		c.lane.Abort()
	})
	caller := p.client(t, "unix")
	began := time.Now()
	_, err := caller.Open(within(t, 20*time.Second), "org.example.staller", client.OpenOptions{Direct: client.DirectRequire})
	if took := time.Since(began); !errors.Is(err, client.LinkLost) || took > 5*time.Second+slow*time.Second {
		t.Errorf("a required link to a callee that stalls: %v after %v, want link_lost after 5 s", err, took)
	}
	must(t, errors.Join(caller.Close(), callee.m.Close()))
	wg.Wait()
}

// Bad input: both ends close at about the time of the move.
func TestF69BothClose(t *testing.T) {
	n := times(100, 5000)
	for _, kinds := range [][]channel.Kind{nil, {channel.Unix}} { // whichever is best, and the one with files
		withoutLeak(t, privately(t), func(p place) { bothClose(t, p, n, kinds) })
	}
	report(t, "bad input", "%d channels whose ends both closed about the time of the move: no descriptor, goroutine or file is left", 2*n)
}

func bothClose(t *testing.T, p place, n int, kinds []channel.Kind) {
	t.Helper()
	only := func(c *client.Config) { c.DirectKinds = kinds }
	a, b := p.client(t, "unix", only), p.client(t, "unix", only)
	ln, err := b.Listen(within(t, 10*time.Second), "org.example.callee")
	must(t, err)
	for range n {
		conn, err := a.Open(within(t, 10*time.Second), "org.example.callee", client.OpenOptions{})
		must(t, err)
		other, err := ln.Accept()
		must(t, err)
		var wg sync.WaitGroup
		for _, c := range []net.Conn{conn, other} {
			wait := 8*time.Millisecond + rand.N(8*time.Millisecond) // the first look is after 10 ms
			wg.Go(func() {
				_, _ = io.WriteString(c, "some bytes") // the other end may be gone
				<-time.After(wait)
				c.Close()
			})
		}
		wg.Wait()
	}
	must(t, errors.Join(ln.Close(), a.Close(), b.Close()))
}

// Bad input: the disk of the socket's directory is full, of files or of room for
// one of the two.
func TestF69DiskFull(t *testing.T) {
	needRoot(t)
	for _, inodes := range []string{"1", "2"} { // the root; and the directory
		dir := privately(t)
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0700,nr_inodes="+inodes, "tmpfs", dir).CombinedOutput(); err != nil {
			t.Skipf("no tmpfs here: %s", out)
		}
		t.Cleanup(func() { command1(t, "umount", "-l", dir) })
		t.Run("inodes "+inodes, func(t *testing.T) { diskFull(t, dir) })
	}
	report(t, "bad input", "no room for the directory, or the socket, of a link: relayed on, or unavailable where it was required; nothing is left")
}

func diskFull(t *testing.T, dir string) {
	_, p := startDaemon(t)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("TMPDIR", dir)
	must(t, p.client(t, "unix").Close())
	base := measure(t)
	only := func(c *client.Config) { c.DirectKinds = []channel.Kind{channel.Unix} } // others need no disk
	a, b := p.client(t, "unix", only), p.client(t, "unix", only)
	ln, err := b.Listen(within(t, 10*time.Second), "org.example.callee")
	must(t, err)
	if _, err := a.Open(within(t, 10*time.Second), "org.example.callee", client.OpenOptions{Direct: client.DirectRequire}); !errors.Is(err, client.Unavailable) {
		t.Errorf("required: got %v, want unavailable", err)
	}
	conn, at := dials(t, a, "org.example.callee")
	other, err := ln.Accept()
	must(t, err)
	if !errors.Is(at.Err, client.Unavailable) {
		t.Errorf("got %q, %v, want unavailable", at.Kind, at.Err)
	}
	echoes(t, "relayed", conn, other)
	must(t, errors.Join(conn.Close(), other.Close(), ln.Close(), a.Close(), b.Close()))
	settle(t, base, 16<<20)
	empty(t, dir)
}
