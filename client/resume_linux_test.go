package client_test

import (
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// tcpPlace is a server on a TCP port of the loopback that stays the same, and
// the two clients that it knows.
type tcpPlace struct {
	cfg  switchboard.Config
	a, b shs.PrivateKey
	port int
}

// dial connects the two, with windows of their own.
func (p *tcpPlace) dial(t testing.TB, address string, wa, wb int, sa, sb states) (a, b *client.Client) {
	t.Helper()
	a = dial(t, client.Config{Address: address, Key: p.a, Resume: wa, OnState: sa.add})
	b = dial(t, client.Config{Address: address, Key: p.b, Resume: wb, OnState: sb.add})
	return a, b
}

func (p *tcpPlace) serve(t testing.TB) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p.port})
	if err != nil {
		t.Fatal(err)
	}
	p.port = ln.Addr().(*net.TCPAddr).Port
	srv, err := switchboard.New(p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return shs.Address{Network: "net", Addr: ln.Addr().String(), Key: p.cfg.Key.Public()}.String(), stop
}

func newTCPPlace(t testing.TB) *tcpPlace {
	p := &tcpPlace{a: shs.GenerateKey(), b: shs.GenerateKey()}
	p.cfg = switchboard.Config{
		Key: shs.GenerateKey(), DrainTimeout: 200 * time.Millisecond,
		Policy: trusting(t, p.a.Public(), p.b.Public()),
	}
	return p
}

// cutLinks kills all TCP connections of this process that are not with the
// server, and returns how many there were.
func (p *tcpPlace) cutLinks() (n int) {
	port := func(sa syscall.Sockaddr) int {
		if in, ok := sa.(*syscall.SockaddrInet4); ok {
			return in.Port
		}
		return 0
	}
	for fd := 3; fd < 1000; fd++ {
		local, err1 := syscall.Getsockname(fd)
		peer, err2 := syscall.Getpeername(fd)
		if err1 != nil || err2 != nil || port(local) == 0 || port(local) == p.port || port(peer) == p.port {
			continue
		}
		if syscall.Shutdown(fd, syscall.SHUT_RDWR) == nil {
			n++
		}
	}
	return n
}

// stream sends data of its own from a to b for as long as go on says so, and
// compares the hashes.
func stream(t *testing.T, wg *sync.WaitGroup, a, b *channel.Conn, over <-chan struct{}) (total *int64) {
	total = new(int64)
	sums := make(chan [32]byte, 2)
	wg.Go(func() {
		h, buf := sha256.New(), make([]byte, 64<<10)
		rng := rand.NewChaCha8([32]byte{1})
		for open := true; open; {
			rng.Read(buf)
			n := 1 + rand.IntN(len(buf))
			h.Write(buf[:n])
			if _, err := a.Write(buf[:n]); err != nil {
				t.Errorf("Write: %v", err)
				return
			}
			select {
			case <-over:
				open = false
			default:
			}
		}
		if err := a.CloseWrite(); err != nil {
			t.Error(err)
		}
		sums <- [32]byte(h.Sum(nil))
	})
	wg.Go(func() {
		h := sha256.New()
		n, err := io.Copy(h, b)
		if err != nil {
			t.Errorf("after %d bytes: %v", n, err)
			return
		}
		*total = n
		if [32]byte(h.Sum(nil)) != <-sums {
			t.Errorf("%d bytes are not those that were sent", n)
		}
	})
	return total
}

// TestResumeLinks: the link dies again and again under full load both ways; the
// channel goes on over the server, unless a link is required, and on the next link.
func TestResumeLinks(t *testing.T) {
	for what, direct := range map[string]client.Direct{"auto": client.DirectAuto, "require": client.DirectRequire} {
		t.Run(what, func(t *testing.T) { resumeLinks(t, direct) })
	}
}

func resumeLinks(t *testing.T, direct client.Direct) {
	p := newTCPPlace(t)
	address, _ := p.serve(t)
	a, b := p.dial(t, address, 256<<10, 512<<10, newStates(), newStates())
	call, accepted := open(t, a, listen(t, b, "org.example.far"), client.OpenOptions{Direct: direct})
	moved := func() bool { return call.Link() == channel.Net && accepted.Link() == channel.Net }
	if direct == client.DirectRequire && !moved() {
		t.Fatalf("the ends are on %q and %q", call.Link(), accepted.Link())
	}
	var wg sync.WaitGroup
	over := make(chan struct{})
	there, back := stream(t, &wg, call, accepted, over), stream(t, &wg, accepted, call, over)
	for range 3 {
		eventually(t, moved)
		if n := p.cutLinks(); n == 0 {
			t.Error("there is no link")
		}
		eventually(t, func() bool { return call.Link() == "" && accepted.Link() == "" })
	}
	eventually(t, moved)
	info, ok := listed(t, a, call.Info().ID)
	if !ok || info.State != control.StateDirect || info.Link != "net" {
		t.Errorf("listed %+v, %v", info, ok)
	}
	if seen := info.In + info.Out; (seen == 0) != (direct == client.DirectRequire) {
		t.Errorf("the server has seen %d bytes", seen)
	}
	close(over)
	wg.Wait()
	t.Logf("%d bytes there, %d back", *there, *back)
	call.Close()
	accepted.Close()
	eventually(t, func() bool { _, ok := listed(t, a, call.Info().ID); return !ok })
}

// TestResumeAgain: an attempt at another link that comes to nothing is followed
// by a further one; the channel goes on over the server meanwhile.
func TestResumeAgain(t *testing.T) {
	p := newTCPPlace(t)
	var asked atomic.Int32
	p.cfg.Direct = func(switchboard.DirectQuery) switchboard.DirectGrant {
		if asked.Add(1) == 2 {
			return switchboard.DirectGrant{}
		}
		return switchboard.DirectGrant{Kinds: []channel.Kind{channel.Net}}
	}
	address, _ := p.serve(t)
	a, b := p.dial(t, address, 256<<10, 256<<10, newStates(), newStates())
	call, accepted := open(t, a, listen(t, b, "org.example.far"), client.OpenOptions{})
	moved := func() bool { return call.Link() == channel.Net && accepted.Link() == channel.Net }
	eventually(t, moved)
	bounce(t, call, accepted, "over the link")
	if p.cutLinks() == 0 {
		t.Fatal("there is no link")
	}
	eventually(t, func() bool { return asked.Load() == 2 }) // after 1 s
	bounce(t, call, accepted, "over the server")
	if call.Link() != "" || accepted.Link() != "" {
		t.Errorf("the ends are on %q and %q, though no link was allowed", call.Link(), accepted.Link())
	}
	eventually(t, moved) // 5 s later
	bounce(t, call, accepted, "over the next link")
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times for a link, want 3", n)
	}
}

// TestResumeRestart: the server is restarted, and with it the parked lanes are
// gone; the link lives, and when it dies the new server helps to another.
func TestResumeRestart(t *testing.T) {
	p := newTCPPlace(t)
	address, stop := p.serve(t)
	sa, sb := newStates(), newStates()
	a, b := p.dial(t, address, 1, 1<<30, sa, sb)
	call, accepted := open(t, a, listen(t, b, "org.example.far"), client.OpenOptions{Direct: client.DirectRequire})
	var wg sync.WaitGroup
	over := make(chan struct{})
	stream(t, &wg, call, accepted, over)
	stream(t, &wg, accepted, call, over)
	stop()
	p.serve(t)
	for _, s := range []states{sa, sb} {
		s.await(t, client.Disconnected)
		s.await(t, client.Connected)
	}
	if p.cutLinks() == 0 {
		t.Error("there is no link")
	}
	eventually(t, func() bool { return call.Link() == "" && accepted.Link() == "" })
	eventually(t, func() bool { return call.Link() == channel.Net && accepted.Link() == channel.Net })
	close(over)
	wg.Wait()
}

// TestResumeUnoffered: if one end does not offer it, the channel ends with its
// link.
func TestResumeUnoffered(t *testing.T) {
	for _, windows := range [][2]int{{0, 1 << 20}, {1 << 20, 0}} {
		p := newTCPPlace(t)
		address, _ := p.serve(t)
		a, b := p.dial(t, address, windows[0], windows[1], newStates(), newStates())
		call, accepted := open(t, a, listen(t, b, "org.example.far"), client.OpenOptions{Direct: client.DirectRequire})
		bounce(t, call, accepted, "hello")
		p.cutLinks()
		for _, c := range []net.Conn{call, accepted} {
			_, err := c.Read(make([]byte, 1))
			wantErr(t, err, client.LinkLost)
		}
	}
}

// TestResumeEnds: an abort, and an order of the administrator, reach the other
// end whatever path there is.
func TestResumeEnds(t *testing.T) {
	for _, cut := range []bool{false, true} {
		p := newTCPPlace(t)
		address, _ := p.serve(t)
		a, b := p.dial(t, address, 1<<20, 1<<20, newStates(), newStates())
		call, accepted := open(t, a, listen(t, b, "org.example.far"), client.OpenOptions{Direct: client.DirectRequire})
		bounce(t, call, accepted, "hello")
		if cut {
			p.cutLinks()
		}
		call.Abort()
		accepted.SetReadDeadline(time.Now().Add(time.Minute))
		_, err := accepted.Read(make([]byte, 1))
		wantErr(t, err, client.LinkLost)
	}
}

// TestCloseDeliversNet is TestCloseDelivers over TCP, resumable or not.
func TestCloseDeliversNet(t *testing.T) {
	p := newTCPPlace(t)
	address, _ := p.serve(t)
	for _, window := range []int{0, 64 << 10} {
		t.Run(strconv.Itoa(window), func(t *testing.T) {
			delivers(t, client.Config{Address: address, Key: p.a, Resume: window}, client.Config{Address: address, Key: p.b, Resume: window})
		})
	}
}
