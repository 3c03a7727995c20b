//go:build fault

package fault_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// byHand is a peer that says of direct links what it likes.
type byHand struct {
	t    *testing.T
	p    place
	key  shs.PrivateKey
	m    *mux.Session
	lane net.Conn // for calls
	n    int32
}

// byHand logs in.
func (p place) byHand(t *testing.T, network string, key shs.PrivateKey) *byHand {
	t.Helper()
	conn := p.dial(t, network)
	must(t, conn.SetDeadline(time.Time{}))
	h := &byHand{t: t, p: p, key: key, m: mux.Client(p.login(t, conn, key), mux.Config{})}
	t.Cleanup(func() { h.m.Close() })
	lane, err := h.m.Open(within(t, time.Minute))
	must(t, err)
	h.lane = lane
	return h
}

// ask calls the server, and reads the answer into v; an error's body otherwise.
func (h *byHand) ask(name, args string, v any) (failed string) {
	h.t.Helper()
	h.n++
	send(h.t, h.lane, 0x02, h.n, `{"name":`+name+`,"args":[`+args+`],"type":"async"}`)
	got := receive(h.t, h.lane)
	if got.Flags&0x04 != 0 {
		return string(got.Body)
	}
	must(h.t, json.Unmarshal(got.Body, v))
	return ""
}

// connect opens a channel; more are further arguments.
func (h *byHand) connect(to, more string) (*mux.Stream, control.ConnectResult) {
	h.t.Helper()
	lane, err := h.m.Open(within(h.t, time.Minute))
	must(h.t, err)
	send(h.t, lane, 0x0a, 1, `{"name":["connect"],"args":[{"to":"`+to+`"`+more+`}],"type":"duplex"}`)
	got := receive(h.t, lane)
	if got.Flags&0x04 != 0 {
		h.t.Fatalf("connect: %s", got.Body)
	}
	var res control.ConnectResult
	must(h.t, json.Unmarshal(got.Body, &res))
	return lane, res
}

// links asks for an attempt at a link of one kind.
func (h *byHand) links(id, kind string) control.Links {
	h.t.Helper()
	var res control.ChannelDirectResult
	if failed := h.ask(`["channel","direct"]`, fmt.Sprintf(`{"channel":%q,"direct":[%q]}`, id, kind), &res); failed != "" {
		h.t.Fatalf("channel.direct: %s", failed)
	}
	return res.Direct
}

// called is an offer that a peer by hand has accepted.
type called struct {
	lane *mux.Stream
	args control.OfferArgs
}

// serve answers offers and calls of channel.link with what say returns, until the
// session ends.
func (h *byHand) serve(name string, say func(ask *control.LinkAsk, offer *control.OfferArgs) string) <-chan called {
	h.t.Helper()
	var claimed json.RawMessage
	if failed := h.ask(`["names","claim"]`, fmt.Sprintf(`{"name":%q}`, name), &claimed); failed != "" {
		h.t.Fatalf("claim: %s", failed)
	}
	got := make(chan called, 100)
	var wg sync.WaitGroup
	h.t.Cleanup(func() { h.m.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			lane, err := h.m.Accept(h.t.Context())
			if err != nil {
				return
			}
			var req struct {
				Name []string
				Args []json.RawMessage
			}
			p, err := muxrpc.ReadPacket(lane, 1<<20)
			if err != nil || json.Unmarshal(p.Body, &req) != nil || len(req.Name) == 0 {
				lane.Abort()
				continue
			}
			switch req.Name[len(req.Name)-1] {
			case "offer":
				c := called{lane: lane}
				if err := control.Decode(req.Args, &c.args); err != nil {
					h.t.Error(err)
				}
				h.answer(lane, 0x0a, say(c.args.Direct, &c.args))
				got <- c
			case "link":
				var a control.ChannelLinkArgs
				if err := control.Decode(req.Args, &a); err != nil {
					h.t.Error(err)
				}
				h.answer(lane, 0x02, say(&a.Direct, nil))
				lane.Close()
			default:
				h.answer(lane, 0x02, "true")
				lane.Close()
			}
		}
	})
	return got
}

// answer answers a call of the server. The test may have closed the session since.
func (h *byHand) answer(lane *mux.Stream, flags byte, body string) {
	err := muxrpc.WritePacket(lane, muxrpc.Packet{Flags: flags, Req: -1, Body: []byte(body)})
	select {
	case <-h.m.Done():
	default:
		if err != nil {
			h.t.Error(err)
		}
	}
}

// target is somebody who is not to be called.
type target struct {
	net.Listener
	calls atomic.Int64
}

func newTarget(t *testing.T, network, addr string) *target {
	t.Helper()
	ln, err := net.Listen(network, addr)
	must(t, err)
	x := &target{Listener: ln}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			x.calls.Add(1)
			conn.Close()
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return x
}

// echoes sends a text through a channel, one way and then the other.
func echoes(t *testing.T, what string, a, b net.Conn) {
	t.Helper()
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		must(t, way[1].SetReadDeadline(time.Now().Add(slow*10*time.Second)))
		buf := make([]byte, 5)
		if _, err := io.WriteString(way[0], "right"); err != nil {
			t.Errorf("%s: write: %v", what, err)
		} else if _, err := io.ReadFull(way[1], buf); err != nil || string(buf) != "right" {
			t.Errorf("%s: got %q, %v", what, buf, err)
		}
	}
}

// dials opens a channel with our client, and waits for an attempt of the last
// kind there is.
func dials(t *testing.T, c *client.Client, name string) (*channel.Conn, client.Attempt) {
	t.Helper()
	tried := make(chan client.Attempt, 100)
	conn, err := c.Open(within(t, 20*time.Second), name, client.OpenOptions{OnDirect: func(at client.Attempt) { tried <- at }})
	must(t, err)
	t.Cleanup(func() { conn.Abort() })
	select {
	case at := <-tried:
		return conn, at
	case <-time.After(slow * 10 * time.Second):
		t.Fatal("no attempt was made")
		return nil, client.Attempt{}
	}
}

// linkConfig is that of the caller's handshake over a link, with whom it means
// and under what it says.
func linkConfig(kind channel.Kind, purpose shs.NetworkKey, key shs.PrivateKey, callee shs.PublicKey) *shs.Config {
	cfg := &shs.Config{Key: key, ServerKey: callee, NetworkKey: purpose}
	if kind == channel.Unix {
		cfg.NetworkKey, cfg.PlainKey = shs.NetworkKey{1}, purpose.Plain(uint32(os.Geteuid()), uint32(os.Geteuid()))
	}
	return cfg
}

// privately is a fresh directory that only we may enter.
func privately(t *testing.T) string {
	t.Helper()
	dir := room(t)
	must(t, os.Chmod(dir, 0o700))
	return dir
}
