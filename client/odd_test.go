package client_test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
)

const someChannel = "5f0c2a9be1d34780a6b1c2d3e4f50617"

// TestOddCalls sends what no server sends; the session lives.
func TestOddCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := bubbleDial(t, f.config())
		defer c.Close()
		ln, err := c.Listen(t.Context(), "test.odd")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		fc := <-f.conns
		for _, row := range []struct {
			name, method, kind string
			args               any
			want               string // part of the answer; "" is a reset
		}{
			{"manifest", "manifest", "async", nil, `"offer":"async"`},
			{"ping", "ping", "async", nil, `0`},
			{"close of nothing", "channel.close", "async", control.ChannelCloseArgs{Channel: someChannel, Reason: "x"}, `true`},
			{"close without id", "channel.close", "async", control.ChannelCloseArgs{}, `bad_request`},
			{"unknown method", "no.such", "async", nil, `no such method`},
			{"unknown source", "no.such", "source", nil, `no such method`},
			{"offer to nobody", "offer", "duplex", offer(someChannel, "test.nobody", ""), `not_found`},
			{"offer to a session", "offer", "duplex", offer(someChannel, ":1", ""), `not_found`},
			{"offer without id", "offer", "duplex", offer("", "test.odd", ""), `bad_request`},
			{"offer of the wrong kind", "offer", "source", offer(someChannel, "test.odd", ""), `no such method`},
			{"async offer without token", "offer", "async", offer(someChannel, "test.odd", ""), `bad_request`},
		} {
			lane := openWith(t, fc, row.method, row.kind, row.args)
			p, err := muxrpc.ReadPacket(lane, 1<<20)
			if err != nil || !strings.Contains(string(p.Body), row.want) {
				t.Errorf("%s: got %q, %v, want %q", row.name, p.Body, err, row.want)
			}
			lane.Close()
		}
		silent, err := fc.mux.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := silent.Write([]byte{1, 2}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(silent); !errors.Is(err, mux.ErrReset) {
			t.Errorf("a lane without a first packet: got %v", err)
		}
		huge, err := fc.mux.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := huge.Write([]byte{2, 255, 255, 255, 255, 0, 0, 0, 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(huge); !errors.Is(err, mux.ErrReset) {
			t.Errorf("a huge packet: got %v", err)
		}
		if _, err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestOddAnswers opens channels and gets nonsense.
func TestOddAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := bubbleDial(t, f.config())
		defer c.Close()
		fc := <-f.conns
		for _, p := range []muxrpc.Packet{
			{Flags: 0x0a, Req: 1, Body: []byte(`{}`)},
			{Flags: 0x02, Req: -1, Body: []byte(`{}`)},
			{Flags: 0x0a, Req: -1, Body: []byte(`{}`)},
			{Flags: 0x0a, Req: -1, Body: []byte(`not json`)},
			{Flags: 0x0a, Req: -1, Body: []byte(`{"channel":"xyz"}`)},
			{Flags: 0x0e, Req: -1, Body: []byte(`true`)},
		} {
			go func() {
				lane := <-fc.lanes
				muxrpc.ReadPacket(lane, 1<<20)
				muxrpc.WritePacket(lane, p)
			}()
			if conn, err := c.Open(t.Context(), "test.odd", client.OpenOptions{}); err == nil {
				t.Errorf("%s made a channel of %+v", p.Body, conn.Info())
			}
		}
		// No answer at all: the client's own patience ends.
		began := time.Now()
		_, err := c.Open(t.Context(), "test.odd", client.OpenOptions{})
		wantErr(t, err, client.Timeout)
		if d := time.Since(began); d != 15*time.Second {
			t.Errorf("no answer took %v", d)
		}
		<-fc.lanes
	})
}

// openWith opens a stream of the server and writes a request on it.
func openWith(t *testing.T, fc *fakeConn, method, kind string, args any) *mux.Stream {
	t.Helper()
	lane, err := fc.mux.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req := map[string]any{"name": strings.Split(method, "."), "args": []any{}, "type": kind}
	if args != nil {
		req["args"] = []any{args}
	}
	body, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	flags := byte(muxrpc.FlagJSON)
	if kind != "async" {
		flags |= muxrpc.FlagStream
	}
	if err := muxrpc.WritePacket(lane, muxrpc.Packet{Flags: flags, Req: 1, Body: body}); err != nil {
		t.Fatal(err)
	}
	return lane
}
