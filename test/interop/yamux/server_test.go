package yamux

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

// These tests run plugins and clients on the libraries' yamux against a
// running switchboard. The packets on the lanes are written by hand.

const name = "org.example.echo"

func TestServer(t *testing.T) {
	for i, lib := range libraries() {
		network := host.Networks()[i%2]
		t.Run(lib.name+" over "+network, func(t *testing.T) {
			keys := [2]shs.PrivateKey{shs.GenerateKey(), shs.GenerateKey()}
			h := host.Start(t, keys[0].Public(), keys[1].Public())
			s := &scene{
				lib:       lib,
				plugin:    login(t, h, lib, network, keys[0]),
				caller:    login(t, h, lib, network, keys[1]),
				callerKey: keys[1].Public(),
				ours:      h.Client(t, "unix", shs.GenerateKey(), relayed),
			}
			control := lane(t, s.plugin)
			if res := control.call(t, 1, "names.claim", obj{"name": name}); !strings.Contains(string(res), `"state":"owner"`) {
				t.Fatalf("claim: got %s", res)
			}
			if res := control.call(t, 2, "whoami", nil); !strings.Contains(string(res), keys[0].Public().String()) {
				t.Errorf("whoami: got %s", res)
			}
			t.Run("channels", s.channels)
			t.Run("our client calls", s.weCall)
			t.Run("our client is called", s.weAreCalled)
			t.Run("refused", s.refused)
			t.Run("reset", s.resets)
			t.Run("ping", s.pings)
			t.Run("gone", s.gone)
		})
	}
}

// scene is a plugin and a caller on a library's yamux, and a client of ours.
type scene struct {
	lib            library
	plugin, caller foreign
	callerKey      shs.PublicKey
	ours           *client.Client
}

// channels exchanges 4 MiB each way on 20 channels at once.
func (s *scene) channels(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { serveEcho(t, s.plugin, s.callerKey, manyStreams) })
	many(t, 4<<20, func() (half, error) { return connect(s.caller, name) })
}

func (s *scene) weCall(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { serveEcho(t, s.plugin, shs.PublicKey{}, 1) })
	conn, err := s.ours.DialContext(host.Context(t), "", name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := exchange(conn.(half), 1<<20, 9); err != nil {
		t.Error(err)
	}
}

func (s *scene) weAreCalled(t *testing.T) {
	ln, err := s.ours.Listen(host.Context(t), "org.example.ours")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		conn, err := ln.Accept()
		if err == nil {
			defer conn.Close()
			err = echo(conn.(half))
		}
		if err != nil {
			t.Error(err)
		}
	})
	conn, err := connect(s.caller, "org.example.ours")
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange(conn, 1<<20, 8); err != nil {
		t.Error(err)
	}
}

func (s *scene) refused(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		st, err := offered(s.plugin, shs.PublicKey{})
		if err == nil {
			err = answer(st, muxrpc.FlagStream|muxrpc.FlagEnd|muxrpc.FlagJSON, obj{"name": "mine", "message": "not today"})
		}
		if err != nil {
			t.Error(err)
			return
		}
		st.CloseWrite()
	})
	_, err := connect(s.caller, name)
	if err == nil || !strings.Contains(err.Error(), `{"name":"refused","message":"not today","stack":""}`) {
		t.Errorf("got %v, want refused: not today", err)
	}
	_, err = connect(s.caller, "org.example.nobody")
	if err == nil || !strings.Contains(err.Error(), `{"name":"not_found"`) {
		t.Errorf("got %v, want not_found", err)
	}
}

func (s *scene) pings(t *testing.T) {
	for _, f := range []foreign{s.plugin, s.caller} {
		if _, err := f.Ping(); err != nil {
			t.Error(err)
		}
	}
}

// accepting accepts the next channel; the stream comes out of the result.
func (s *scene) accepting(t *testing.T, wg *sync.WaitGroup) <-chan stream {
	accepted := make(chan stream, 1)
	wg.Go(func() {
		st, err := offered(s.plugin, shs.PublicKey{})
		if err == nil {
			err = answer(st, muxrpc.FlagStream|muxrpc.FlagJSON, obj{})
		}
		if err != nil {
			t.Error(err)
		}
		accepted <- st
	})
	return accepted
}

// gone is the death of the plugin's session in the middle of a channel.
func (s *scene) gone(t *testing.T) {
	var wg sync.WaitGroup
	accepted := s.accepting(t, &wg)
	st, err := connect(s.caller, name)
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	<-accepted
	s.plugin.Close()
	if _, err := io.Copy(io.Discard, st); err == nil {
		t.Error("the death of the plugin is a clean end at the caller")
	}
	wait(t, "the name is free", func() bool {
		_, err := s.ours.Lookup(t.Context(), name)
		return errors.Is(err, client.NotFound)
	})
}

// resets aborts channels at our client's end and at the library's.
func (s *scene) resets(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	accepted := s.accepting(t, &wg)
	conn, err := s.ours.Open(host.Context(t), name, client.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	st := <-accepted
	conn.Abort()
	if n, err := io.Copy(io.Discard, st); err == nil {
		t.Errorf("the abort of our client is a clean end at the library after %d bytes", n)
	}
	if !s.lib.resets {
		return
	}
	accepted = s.accepting(t, &wg)
	other, err := connect(s.caller, name)
	if err != nil {
		t.Fatal(err)
	}
	(<-accepted).Abort()
	if n, err := io.Copy(io.Discard, other); err == nil {
		t.Errorf("the abort of the library is a clean end at the library after %d bytes", n)
	}
}

type obj = map[string]any

// login makes a yamux session of a library to the server.
func login(t *testing.T, h *host.Host, lib library, network string, key shs.PrivateKey) foreign {
	t.Helper()
	s, err := lib.client(h.Dial(t, network, key))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// controlLane is a lane on which calls are made one after the other.
type controlLane struct{ stream }

func lane(t *testing.T, f foreign) controlLane {
	t.Helper()
	s, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	return controlLane{s}
}

func (l controlLane) call(t *testing.T, n int32, method string, arg any) []byte {
	t.Helper()
	args := []any{}
	if arg != nil {
		args = append(args, arg)
	}
	err := send(l, muxrpc.FlagJSON, n, obj{"name": strings.Split(method, "."), "args": args, "type": "async"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := muxrpc.ReadPacket(l, 1<<20)
	if err != nil || p.Req != -n || p.Flags != muxrpc.FlagJSON {
		t.Fatalf("%s: got flags %02x, number %d, %s, %v", method, p.Flags, p.Req, p.Body, err)
	}
	return p.Body
}

func send(w io.Writer, flags byte, n int32, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return muxrpc.WritePacket(w, muxrpc.Packet{Flags: flags, Req: n, Body: body})
}

func answer(s stream, flags byte, v any) error { return send(s, flags, -1, v) }

// connect opens a channel as a caller.
func connect(f foreign, to string) (stream, error) {
	s, err := f.open()
	if err != nil {
		return nil, err
	}
	req := obj{"name": []string{"connect"}, "args": []any{obj{"to": to, "timeout_ms": 60000}}, "type": "duplex"}
	if err := send(s, muxrpc.FlagStream|muxrpc.FlagJSON, 1, req); err != nil {
		return nil, err
	}
	p, err := muxrpc.ReadPacket(s, 1<<20)
	if err != nil {
		return nil, err
	}
	if p.Flags != muxrpc.FlagStream|muxrpc.FlagJSON || p.Req != -1 {
		s.CloseWrite()
		return nil, fmt.Errorf("connect: got flags %02x, number %d, %s", p.Flags, p.Req, p.Body)
	}
	return s, nil
}

// offered takes the stream of an offer that the server opens, and checks who
// calls unless from is zero.
func offered(f foreign, from shs.PublicKey) (stream, error) { return offeredAs(f, name, from) }

func offeredAs(f foreign, name string, from shs.PublicKey) (stream, error) {
	s, err := f.accept()
	if err != nil {
		return nil, err
	}
	p, err := muxrpc.ReadPacket(s, 1<<20)
	if err != nil {
		return nil, err
	}
	req, err := muxrpc.ParseRequest(p)
	if err != nil {
		return nil, err
	}
	if req.Name == "channel.close" { // a call of its own, before a reset
		if err := send(s, muxrpc.FlagJSON, -p.Req, true); err != nil {
			return nil, err
		}
		s.CloseWrite()
		return offeredAs(f, name, from)
	}
	var offer struct {
		Name string
		Peer struct{ ID shs.PublicKey }
	}
	if err := json.Unmarshal(req.Args[0], &offer); err != nil {
		return nil, err
	}
	if req.Name != "offer" || req.Type != "duplex" || p.Req != 1 || offer.Name != name {
		return nil, fmt.Errorf("offer: got number %d, %s", p.Req, p.Body)
	}
	if !from.IsZero() && offer.Peer.ID != from {
		return nil, fmt.Errorf("offer from %v, want %v", offer.Peer.ID, from)
	}
	return s, nil
}

// serveEcho accepts n channels and echoes on each.
func serveEcho(t *testing.T, f foreign, from shs.PublicKey, n int) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range n {
		s, err := offered(f, from)
		if err != nil {
			t.Error(err)
			return
		}
		wg.Go(func() {
			if err := errors.Join(answer(s, muxrpc.FlagStream|muxrpc.FlagJSON, obj{}), echo(s)); err != nil {
				t.Error(err)
			}
		})
	}
}
