package switchboard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/switchboard"
)

// The tests of this package speak the wire by hand, packet by packet, so that
// they hold the server to PROTOCOL.md and not to our client. They run in a
// bubble: waiting costs nothing, and a goroutine left behind fails the test.

// bubble runs f with a server that serves in-process peers.
func bubble(t *testing.T, limits switchboard.Limits, f func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		h := &host{t: t, local: switchboard.NewLocal(), stop: stop}
		log := slog.New(slog.NewTextHandler(&h.log, nil))
		srv, err := switchboard.New(switchboard.Config{Key: seeded(0), Limits: limits, Version: "test", Log: log})
		if err != nil {
			t.Fatal(err)
		}
		h.srv = srv
		h.wg.Go(func() { h.err = srv.Serve(ctx, h.local) })
		f(t, h)
		stop()
		h.wg.Wait()
		if h.err != nil {
			t.Errorf("Serve returned %v", h.err)
		}
		if left := srv.Leftovers(); left != "" {
			t.Errorf("the stopped server still has %s", left)
		}
	})
}

type host struct {
	t     *testing.T
	srv   *switchboard.Server
	local *switchboard.Local
	log   bytes.Buffer // to be read while all of the bubble is blocked
	stop  context.CancelFunc
	wg    sync.WaitGroup
	err   error
}

func seeded(n byte) shs.PrivateKey { return shs.NewPrivateKey([32]byte{n, 1}) }

// dial logs in with the n-th key.
func (h *host) dial(n byte) *shs.Conn {
	h.t.Helper()
	raw, err := h.local.DialContext(h.t.Context(), "", "")
	if err != nil {
		h.t.Fatal(err)
	}
	conn := shs.Client(raw, &shs.Config{Key: seeded(n), ServerKey: h.srv.Key()})
	if err := conn.Handshake(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { raw.Close() })
	return conn
}

// lane logs in on a connection that is one lane.
func (h *host) lane(n byte) *peer { return &peer{t: h.t, lane: h.dial(n)} }

// mux logs in with a yamux session.
func (h *host) mux(n byte) *mux.Session {
	m := mux.Client(h.dial(n), mux.Config{})
	h.t.Cleanup(func() { m.Close() })
	return m
}

// peer is one lane in the hands of a test.
type peer struct {
	t    *testing.T
	lane channel.Lane
	deaf bool // want passes over calls of the server
}

// open opens a lane on a yamux session.
func (h *host) open(m *mux.Session) *peer {
	h.t.Helper()
	st, err := m.Open(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return &peer{t: h.t, lane: st}
}

// next accepts a lane that the server opened.
func (h *host) next(m *mux.Session) *peer {
	h.t.Helper()
	st, err := m.Accept(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return &peer{t: h.t, lane: st}
}

func (p *peer) send(flags byte, req int32, body string) {
	p.t.Helper()
	if err := muxrpc.WritePacket(p.lane, muxrpc.Packet{Flags: flags, Req: req, Body: []byte(body)}); err != nil {
		p.t.Fatalf("sending %s: %v", body, err)
	}
}

// want reads one packet and returns its body.
func (p *peer) want(flags byte, req int32) json.RawMessage {
	p.t.Helper()
	got, err := muxrpc.ReadPacket(p.lane, control.MaxPeerBody)
	if err == nil && p.deaf && got.Flags == 0x02 && got.Req > 0 {
		got, err = muxrpc.ReadPacket(p.lane, control.MaxPeerBody)
	}
	if err != nil {
		p.t.Fatalf("reading an answer: %v", err)
	}
	if got.Flags != flags || got.Req != req {
		p.t.Fatalf("got packet %02x %d %s, want %02x %d", got.Flags, got.Req, got.Body, flags, req)
	}
	return got.Body
}

// wantError reads an error answer of a lane's first packet, or a call. Its
// fields are compared as bytes: package json does not tell "name" from "Name".
func (p *peer) wantError(flags byte, req int32, code control.Code) string {
	p.t.Helper()
	var e struct {
		Name    string `json:"name"`
		Message string `json:"message"`
		Stack   string `json:"stack"`
		RetryMS int64  `json:"retry_ms,omitempty"`
	}
	body := p.want(flags, req)
	if json.Unmarshal(body, &e) != nil || e.Name != string(code) {
		p.t.Fatalf("got error %s, want %s", body, code)
	}
	if again, err := json.Marshal(e); err != nil || string(again) != string(body) || e.Stack != "" || e.RetryMS > 0 && code != control.RateLimited {
		p.t.Fatalf("got error %s, want it in the form %s", body, again)
	}
	return e.Message
}

// call makes an async call and returns the result.
func (p *peer) call(req int32, method, args string) json.RawMessage {
	p.t.Helper()
	p.send(0x02, req, request(method, "async", args))
	return p.want(0x02, -req)
}

func request(method, kind, args string) string {
	name, _ := json.Marshal(strings.Split(method, "."))
	return `{"name":` + string(name) + `,"args":[` + args + `],"type":"` + kind + `"}`
}

// wantEnd reads until the lane's clean end.
func (p *peer) wantEnd() {
	p.t.Helper()
	if b, err := io.ReadAll(p.lane); err != nil || len(b) > 0 {
		p.t.Fatalf("got %q and %v, want a clean end", b, err)
	}
}

// wantCutOrNothing reads until the lane ends in any way.
func (p *peer) wantCutOrNothing() string {
	b, _ := io.ReadAll(p.lane)
	return string(b)
}

// wantCut reads until the lane breaks, and returns what came before.
func (p *peer) wantCut() string {
	p.t.Helper()
	b, err := io.ReadAll(p.lane)
	if err == nil {
		p.t.Fatalf("read %q and a clean end, want a cut", b)
	}
	return string(b)
}

// say writes channel bytes; hear reads them.
func (p *peer) say(text string) {
	p.t.Helper()
	if _, err := p.lane.Write([]byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) hear(want string) {
	p.t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(p.lane, b); err != nil || string(b) != want {
		p.t.Fatalf("heard %q (%v), want %q", b, err, want)
	}
}

func (p *peer) endWrite() {
	p.t.Helper()
	if err := p.lane.CloseWrite(); err != nil {
		p.t.Fatal(err)
	}
}

// field picks a string field out of an answer.
func field(t *testing.T, raw json.RawMessage, name string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	s, _ := m[name].(string)
	return s
}

// arg returns the first argument of a request body.
func arg(t *testing.T, raw json.RawMessage) json.RawMessage {
	t.Helper()
	var r struct{ Args []json.RawMessage }
	if err := json.Unmarshal(raw, &r); err != nil || len(r.Args) != 1 {
		t.Fatalf("request %s: %v", raw, err)
	}
	return r.Args[0]
}

// login shakes hands and returns what came of it.
func login(h *host, raw net.Conn, n byte) error {
	defer raw.Close()
	return shs.Client(raw, &shs.Config{Key: seeded(n), ServerKey: h.srv.Key()}).Handshake(h.t.Context())
}

// readEvent reads the next event of a watch, or the error that ended it.
func readEvent(p *peer) (control.Event, error) {
	var ev control.Event
	got, err := muxrpc.ReadPacket(p.lane, control.MaxPeerBody)
	if err != nil {
		return ev, err
	}
	if got.Flags&muxrpc.FlagEnd != 0 {
		var e struct{ Name, Message string }
		if err := json.Unmarshal(got.Body, &e); err != nil {
			return ev, err
		}
		return ev, control.Code(e.Name).With(e.Message)
	}
	return ev, json.Unmarshal(got.Body, &ev)
}
