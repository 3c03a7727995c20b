package ssb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	ref "github.com/ssbc/go-muxrpc/v2"
	"github.com/ssbc/go-muxrpc/v2/codec"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

// These tests run the reference as a client of a switchboard.

type obj = map[string]any

func TestCalls(t *testing.T) {
	for _, network := range host.Networks() {
		t.Run(network, func(t *testing.T) {
			id := newIdentity(t)
			h := host.Start(t, id.ours.Public())
			edp := session(t, dialServer(t, h, network, id), nil)
			ctx := host.Context(t)
			call := func(res any, method ref.Method, args ...any) error {
				return edp.Async(ctx, res, ref.TypeJSON, method, args...)
			}

			var me client.WhoAmI
			if err := call(&me, ref.Method{"whoami"}); err != nil {
				t.Fatal(err)
			}
			if me.ID != id.ours.Public() || me.Server.ID != h.Key || me.Server.Version != "interop" {
				t.Errorf("whoami: got %+v", me)
			}
			var now int64
			if err := call(&now, ref.Method{"ping"}); err != nil || now < me.Server.Started {
				t.Errorf("ping: got %d, %v", now, err)
			}

			var claim client.Claim
			args := obj{"name": "org.example.ref", "info": obj{"lang": "go"}}
			if err := call(&claim, ref.Method{"names", "claim"}, args); err != nil || claim.State != "owner" {
				t.Fatalf("claim: got %+v, %v", claim, err)
			}
			var e client.Entry
			if err := call(&e, ref.Method{"names", "get"}, obj{"name": "org.example.ref"}); err != nil {
				t.Fatal(err)
			}
			if e.ID != id.ours.Public() || e.Session != me.Session || e.Epoch != claim.Epoch || string(e.Info) != `{"lang":"go"}` {
				t.Errorf("get: got %+v", e)
			}
			var rev struct{ Rev uint64 }
			if err := call(&rev, ref.Method{"names", "update"}, obj{"name": "org.example.ref", "info": 7}); err != nil || rev.Rev <= claim.Rev {
				t.Errorf("update: got %+v, %v", rev, err)
			}
			var list struct{ Names []client.Entry }
			if err := call(&list, ref.Method{"names", "list"}); err != nil || len(list.Names) != 1 {
				t.Errorf("list: got %+v, %v", list, err)
			}
			if err := call(&rev, ref.Method{"names", "release"}, obj{"name": "org.example.ref"}); err != nil {
				t.Error(err)
			}

			failures(t, call)
			if err := call(&me, ref.Method{"whoami"}); err != nil {
				t.Errorf("whoami after the errors: %v", err)
			}
		})
	}
}

// failures makes calls that are answered with an error.
func failures(t *testing.T, call func(res any, method ref.Method, args ...any) error) {
	for _, row := range []struct {
		method ref.Method
		arg    any
		code   string
	}{
		{ref.Method{"names", "get"}, obj{"name": "org.example.ref"}, "not_found"},
		{ref.Method{"names", "get"}, obj{"name": "not a name"}, "name_invalid"},
		{ref.Method{"names", "get"}, "not an object", "bad_request"},
		{ref.Method{"names", "claim"}, obj{"name": "switchboard.x"}, "not_allowed"},
		{ref.Method{"names", "release"}, obj{"name": "org.example.other"}, "not_owner"},
		{ref.Method{"names", "list"}, obj{"match": "**.x"}, "bad_request"},
		{ref.Method{"names", "watch"}, obj{}, "bad_request"}, // not as async
	} {
		t.Run(fmt.Sprint(row.method, row.arg), func(t *testing.T) {
			wantCode(t, call(new(any), row.method, row.arg), row.code)
		})
	}
}

func TestWatch(t *testing.T) {
	for _, network := range host.Networks() {
		t.Run(network, func(t *testing.T) {
			id, other := newIdentity(t), shs.GenerateKey()
			h := host.Start(t, id.ours.Public(), other.Public())
			ctx := host.Context(t)
			c := h.Client(t, network, other)
			if _, err := c.Claim(ctx, "org.example.first", client.ClaimOptions{}); err != nil {
				t.Fatal(err)
			}
			edp := session(t, dialServer(t, h, network, id), nil)
			src, err := edp.Source(ctx, ref.TypeJSON, ref.Method{"names", "watch"}, obj{"match": "org.**"})
			if err != nil {
				t.Fatal(err)
			}
			var last uint64
			next := func(kind, name string) {
				t.Helper()
				var ev client.Event
				if err := item(ctx, src, &ev); err != nil {
					t.Fatal(err)
				}
				if ev.Type != kind || ev.Name != name || ev.Rev < last {
					t.Errorf("got %+v after rev %d, want %s %s", ev, last, kind, name)
				}
				last = ev.Rev
			}
			next(client.EventConnected, "org.example.first")
			next(client.EventSynced, "")
			if _, err := c.Claim(ctx, "org.example.second", client.ClaimOptions{}); err != nil {
				t.Fatal(err)
			}
			next(client.EventConnected, "org.example.second")
			if err := c.Update(ctx, "org.example.second", 1); err != nil {
				t.Fatal(err)
			}
			next(client.EventUpdated, "org.example.second")
			if _, err := c.Claim(ctx, "com.example.hidden", client.ClaimOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			next(client.EventDisconnected, "org.example.first")
			next(client.EventDisconnected, "org.example.second")

			bad, err := edp.Source(ctx, ref.TypeJSON, ref.Method{"names", "watch"}, obj{"match": "**.x"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = items(ctx, bad)
			wantCode(t, err, "bad_request")
		})
	}
}

// TestUnknownMethod goes below go-muxrpc's session, which refuses by itself
// what the manifest does not list.
func TestUnknownMethod(t *testing.T) {
	id := newIdentity(t)
	h := host.Start(t, id.ours.Public())
	conn := dialServer(t, h, "tcp", id)
	w, r := codec.NewWriter(conn), codec.NewReader(conn)
	rows := []struct {
		flag codec.Flag
		body string
		want string
	}{
		{codec.FlagJSON, `{"name":["no","such"],"args":[],"type":"async"}`, "bad_request"},
		{codec.FlagJSON | codec.FlagStream, `{"name":["no","such"],"args":[],"type":"source"}`, "bad_request"},
		{codec.FlagJSON | codec.FlagStream, `{"name":["no","such"],"args":[],"type":"mystery"}`, "bad_request"},
		{codec.FlagJSON, `{"name":["whoami"],"args":null}`, "bad_request"},
		{codec.FlagJSON, `no JSON`, "bad_request"},
	}
	for i, row := range rows {
		if err := w.WritePacket(codec.Packet{Flag: row.flag, Req: int32(i + 1), Body: []byte(row.body)}); err != nil {
			t.Fatal(err)
		}
		p, err := r.ReadPacket()
		if err != nil {
			t.Fatal(err)
		}
		var call ref.CallError
		if err := json.Unmarshal(p.Body, &call); err != nil {
			t.Fatalf("%s: %v", p.Body, err)
		}
		if want := row.flag | codec.FlagEndErr; p.Req != -int32(i+1) || p.Flag != want || call.Name != row.want {
			t.Errorf("%s: got %v %d %s, want %v %d %s", row.body, p.Flag, p.Req, p.Body, want, -(i + 1), row.want)
		}
	}
	// A caller need not answer an END: what has failed does not count as in flight.
	for i := range int32(100) {
		body := []byte(`{"name":["names","watch"],"args":[{"match":"?"}],"type":"source"}`)
		if err := w.WritePacket(codec.Packet{Flag: codec.FlagJSON | codec.FlagStream, Req: 100 + i, Body: body}); err != nil {
			t.Fatal(err)
		}
		if p, err := r.ReadPacket(); err != nil || !strings.Contains(string(p.Body), "bad_request") {
			t.Fatalf("watch %d: got %v, %v", i, p, err)
		}
	}
	if err := w.WritePacket(codec.Packet{Flag: codec.FlagJSON, Req: 200, Body: []byte(`{"name":["ping"],"args":[]}`)}); err != nil {
		t.Fatal(err)
	}
	if p, err := r.ReadPacket(); err != nil || p.Req != -200 || p.Flag != codec.FlagJSON {
		t.Errorf("ping after all that: got %v, %v", p, err)
	}
}

// TestPlugin is a whole plugin on the reference: it claims a name, is offered
// a channel, comes for it on a connection of its own, and echoes.
func TestPlugin(t *testing.T) {
	for _, network := range host.Networks() {
		t.Run(network, func(t *testing.T) {
			id, other := newIdentity(t), shs.GenerateKey()
			h := host.Start(t, id.ours.Public(), other.Public())
			ctx := host.Context(t)
			echoed := make(chan error, 1)
			edp := session(t, dialServer(t, h, network, id), refHandler{
				"offer": func(ctx context.Context, req *ref.Request) error {
					var args []struct {
						Channel, Token, Name string
						Peer                 struct{ ID shs.PublicKey }
					}
					if err := json.Unmarshal(req.RawArgs, &args); err != nil {
						return err
					}
					if args[0].Peer.ID != other.Public() {
						return errors.New("I do not know you")
					}
					go func() { echoed <- echo(t, h, network, id, args[0].Channel, args[0].Token) }()
					return req.Return(ctx, obj{})
				},
			})
			var claim client.Claim
			if err := edp.Async(ctx, &claim, ref.TypeJSON, ref.Method{"names", "claim"}, obj{"name": "org.example.ref"}); err != nil {
				t.Fatal(err)
			}

			c := h.Client(t, network, other)
			conn, err := c.Open(ctx, "org.example.ref", client.OpenOptions{Key: id.ours.Public(), Epoch: claim.Epoch})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			want := make([]byte, 1<<20)
			for i := range want {
				want[i] = byte(i >> 8)
			}
			sent := make(chan error, 1)
			go func() {
				_, err := conn.Write(want)
				sent <- errors.Join(err, conn.CloseWrite())
			}()
			got, err := io.ReadAll(conn)
			if err != nil || string(got) != string(want) {
				t.Errorf("the echo is %d bytes (%v), want %d equal ones", len(got), err, len(want))
			}
			if err := errors.Join(<-sent, <-echoed); err != nil {
				t.Error(err)
			}

			stranger := h.Client(t, "unix", shs.GenerateKey())
			_, err = stranger.Open(ctx, "org.example.ref", client.OpenOptions{})
			if !errors.Is(err, client.Refused) {
				t.Errorf("a stranger got %v, want %v", err, client.Refused)
			}
		})
	}
}

// echo binds a connection to an offered channel and sends back what comes.
func echo(t *testing.T, h *host.Host, network string, id identity, channel, token string) error {
	conn, err := shakeClient(h.DialRaw(t, network), id, h.Key)
	if err != nil {
		return err
	}
	body := fmt.Sprintf(`{"name":["accept"],"args":[{"channel":%q,"token":%q}],"type":"duplex"}`, channel, token)
	if err := codec.NewWriter(conn).WritePacket(codec.Packet{Flag: codec.FlagJSON | codec.FlagStream, Req: 1, Body: []byte(body)}); err != nil {
		return err
	}
	p, err := codec.NewReader(conn).ReadPacket()
	if err != nil {
		return err
	}
	if p.Flag.Get(codec.FlagEndErr) {
		return fmt.Errorf("accept: %s", p.Body)
	}
	if _, err := io.Copy(conn, conn); err != nil {
		return err
	}
	return conn.Close() // its goodbye ends our direction
}
