package switchboard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// far is an in-process listener that the server cannot tell from TCP.
type far struct{ *switchboard.Local }

// listed makes a policy in which the n-th keys are trusted.
func listed(ns ...byte) *switchboard.Policy {
	var text strings.Builder
	for _, n := range ns {
		fmt.Fprintln(&text, seeded(n).Public(), "level=trusted")
	}
	return mustPolicy(switchboard.PolicyConfig{Peers: strings.NewReader(text.String())})
}

// rules makes a policy of lines in which @N is the n-th key.
func rules(lines ...string) *switchboard.Policy {
	return mustPolicy(switchboard.PolicyConfig{Peers: peers(lines...)})
}

// peers is the text of a list in which @N is the n-th key.
func peers(lines ...string) io.Reader {
	var text strings.Builder
	for _, line := range lines {
		key, rest, _ := strings.Cut(line, " ")
		n, err := strconv.Atoi(key[1:])
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(&text, seeded(byte(n)).Public(), rest)
	}
	return strings.NewReader(text.String())
}

// mustPolicy makes a policy that has no mistake.
func mustPolicy(cfg switchboard.PolicyConfig) *switchboard.Policy {
	p, err := switchboard.NewPolicy(cfg)
	if err != nil {
		panic(err)
	}
	return p
}

// farBubble runs f with a server that serves in-process peers and far ones,
// which key 1 may be.
func farBubble(t *testing.T, f func(t *testing.T, h *host, remote *switchboard.Local)) {
	farBubbleWith(t, switchboard.Config{}, f)
}

func farBubbleWith(t *testing.T, cfg switchboard.Config, f func(t *testing.T, h *host, remote *switchboard.Local)) {
	synctest.Test(t, func(t *testing.T) {
		cfg.Key, cfg.Policy = seeded(0), listed(1)
		srv, err := switchboard.New(cfg)
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		remote := switchboard.NewLocal()
		h := &host{t: t, srv: srv, local: switchboard.NewLocal(), stop: stop}
		h.wg.Go(func() { h.err = srv.Serve(ctx, h.local, far{remote}) })
		f(t, h, remote)
		stop()
		h.wg.Wait()
		if left := srv.Leftovers(); h.err != nil || left != "" {
			t.Errorf("Serve returned %v and left %q", h.err, left)
		}
	})
}

// dialFar logs in as a far peer with the n-th key.
func (h *host) dialFar(remote *switchboard.Local, n byte) (*peer, error) {
	raw, err := remote.DialContext(h.t.Context(), "", "")
	must(h.t, err)
	h.t.Cleanup(func() { raw.Close() })
	conn := shs.Client(raw, &shs.Config{Key: seeded(n), ServerKey: h.srv.Key()})
	return &peer{t: h.t, lane: channel.Lane(conn)}, conn.Handshake(h.t.Context())
}

// A new list admits and ends far sessions, with their names; others stay, and a
// session whose key stays listed notices nothing.
func TestSetPolicy(t *testing.T) {
	farBubble(t, func(t *testing.T, h *host, remote *switchboard.Local) {
		one, err := h.dialFar(remote, 1)
		must(t, err)
		one.call(1, "names.claim", `{"name":"one"}`)
		if _, err := h.dialFar(remote, 2); !errors.Is(err, shs.ErrRefused) {
			t.Fatalf("a key that is not listed: got %v, want ErrRefused", err)
		}
		near := h.lane(1)
		near.call(1, "names.claim", `{"name":"near"}`)

		must(t, h.srv.SetPolicy(listed(1, 2)))
		two, err := h.dialFar(remote, 2)
		must(t, err)
		two.call(1, "ping", "")
		one.call(2, "ping", "")

		must(t, h.srv.SetPolicy(listed(2)))
		one.wantCutOrNothing()
		if _, err := h.dialFar(remote, 1); !errors.Is(err, shs.ErrRefused) {
			t.Errorf("a key that is no longer listed: got %v, want ErrRefused", err)
		}
		two.call(2, "ping", "")
		synctest.Wait()
		if got := string(near.call(2, "names.list", `{"match":"**"}`)); strings.Contains(got, `"one"`) || !strings.Contains(got, `"near"`) {
			t.Errorf("got names %s, want near alone", got)
		}
		must(t, h.srv.SetPolicy(listed()))
		two.wantCutOrNothing()
		near.call(3, "ping", "")
	})
}

// A login that is under way when its key leaves the list does not slip through.
func TestSetPolicyDuringLogin(t *testing.T) {
	farBubble(t, func(t *testing.T, h *host, remote *switchboard.Local) {
		raw, err := remote.DialContext(t.Context(), "", "")
		must(t, err)
		defer raw.Close()
		late := &beforeLast{Conn: raw, do: func() {
			synctest.Wait() // the server has let us in and is writing message 4
			must(t, h.srv.SetPolicy(listed(2)))
		}}
		conn := shs.Client(late, &shs.Config{Key: seeded(1), ServerKey: h.srv.Key()})
		must(t, conn.Handshake(t.Context()))
		began := time.Now()
		(&peer{t: t, lane: conn}).wantCutOrNothing()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the session went on for %v, want its end at once", took)
		}
	})
}

// beforeLast is a client's connection that does something between messages 2
// and 4 of the handshake, which are 64 and 80 bytes.
type beforeLast struct {
	net.Conn
	do  func()
	got int
}

func (c *beforeLast) Read(p []byte) (int, error) {
	if c.got == 64 && c.do != nil {
		c.do()
		c.do = nil
	}
	n, err := c.Conn.Read(p)
	c.got += n
	return n, err
}

// 0.0.0.0 is IPv4 and nothing else, :: is IPv6 and nothing else.
func TestListenFamily(t *testing.T) {
	for _, tt := range []struct{ addr, yes, no string }{
		{"net:0.0.0.0:0", "127.0.0.1", "::1"},
		{"net:[::]:0", "::1", "127.0.0.1"},
		{"net:127.0.0.1:0", "127.0.0.1", "::1"},
		{"net:[::ffff:127.0.0.1]:0", "127.0.0.1", "::1"},
	} {
		if tt.yes == "::1" && !hasIPv6() {
			continue
		}
		t.Run(tt.addr, func(t *testing.T) {
			ln := listen(t, tt.addr)
			_, port, err := net.SplitHostPort(ln.Addr().String())
			must(t, err)
			conn, err := net.Dial("tcp", net.JoinHostPort(tt.yes, port))
			must(t, err)
			conn.Close()
			if conn, err := net.Dial("tcp", net.JoinHostPort(tt.no, port)); err == nil {
				conn.Close()
				t.Errorf("it listens on %s, too", tt.no)
			}
		})
	}
}

// hasIPv6 reports whether this machine has IPv6.
func hasIPv6() bool {
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err == nil {
		ln.Close()
	}
	return err == nil
}
