package ssb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ref "github.com/ssbc/go-muxrpc/v2"

	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

// TestSession runs our handshake, box stream and muxrpc against the
// reference's, with either as client of the handshake, over TCP and Unix
// sockets, and every kind of call in both directions on each connection.
func TestSession(t *testing.T) {
	for _, network := range host.Networks() {
		for _, role := range []string{"client", "server"} {
			t.Run(network+"/reference as "+role, func(t *testing.T) {
				ours, theirs := pair(t, network, role == "server")
				s := muxrpc.NewSession(ours, muxrpc.Config{Handler: muxrpc.HandlerFunc(serveOurs), MaxReceive: 4 << 20})
				defer s.Close()
				edp := session(t, theirs, serveTheirs)
				t.Run("we call", func(t *testing.T) { weCall(t, s) })
				t.Run("it calls", func(t *testing.T) { itCalls(t, edp) })
				t.Run("at once", func(t *testing.T) {
					t.Run("we call", func(t *testing.T) { t.Parallel(); weCall(t, s) })
					t.Run("it calls", func(t *testing.T) { t.Parallel(); itCalls(t, edp) })
				})
				if err := s.Err(); err != nil {
					t.Errorf("the session ended: %v", err)
				}
			})
		}
	}
}

// pair connects both implementations with each other.
func pair(t *testing.T, network string, refServes bool) (*shs.Conn, net.Conn) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })

	a, b := newIdentity(t), newIdentity(t)
	shaken := make(chan error, 1)
	var ours *shs.Conn
	var theirs net.Conn
	if refServes {
		ours = shs.Client(dialled, &shs.Config{Key: a.ours, ServerKey: b.ours.Public()})
		go func() { shaken <- ours.Handshake(t.Context()) }()
		theirs, err = shakeServer(accepted, b)
	} else {
		ours = shs.Server(accepted, &shs.Config{Key: a.ours})
		go func() { shaken <- ours.Handshake(t.Context()) }()
		theirs, err = shakeClient(dialled, b, a.ours.Public())
	}
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	if ours.RemoteKey() != b.ours.Public() {
		t.Errorf("got the key %v, want %v", ours.RemoteKey(), b.ours.Public())
	}
	if got := theirs.RemoteAddr().String(); !strings.Contains(got, a.ours.Public().String()) {
		t.Errorf("the reference knows us as %s, want %v in it", got, a.ours.Public())
	}
	return ours, theirs
}

// Both sides serve the same methods: echo and fail (async), count and burst
// (source), sum (sink, which ends with an error naming the sum), mirror
// (duplex).

var manifest = obj{"echo": "async", "fail": "async", "count": "source", "burst": "source", "sum": "sink", "mirror": "duplex"}

// bulk is an item that takes several boxes, but fits a packet.
var bulk = strings.Repeat("switchboard ", 4000)

// serveOurs is our side as callee.
func serveOurs(c *muxrpc.Call) {
	answer := func(err error) {
		if err != nil {
			c.Fail(err)
		}
	}
	switch c.Name() {
	case "manifest":
		answer(c.Reply(manifest))
	case "echo":
		answer(c.Reply(c.Args()[0]))
	case "count", "burst":
		c.Go(func() {
			st := c.Stream()
			item, n := "item", 5
			if c.Name() == "burst" {
				item, n = bulk, 50
			}
			for i := range n {
				if err := st.Send(fmt.Sprint(item, i)); err != nil {
					return
				}
			}
			answer(st.CloseSend(nil))
		})
	case "sum":
		c.Go(func() {
			sum, err := add(c)
			if err == io.EOF {
				err = &muxrpc.RemoteError{Name: "Sum", Message: fmt.Sprint(sum)}
			}
			c.Fail(err)
		})
	case "mirror":
		c.Go(func() {
			st := c.Stream()
			for {
				b, _, err := st.Recv(c.Context())
				if err != nil {
					st.CloseSend(nil)
					return
				}
				if err := st.Send(json.RawMessage(b)); err != nil {
					return
				}
			}
		})
	default:
		c.Fail(&muxrpc.RemoteError{Name: "Error", Message: "no method " + c.Name()})
	}
}

func add(c *muxrpc.Call) (sum int, err error) {
	for {
		b, _, err := c.Stream().Recv(c.Context())
		if err != nil {
			return sum, err
		}
		var n int
		if err := json.Unmarshal(b, &n); err != nil {
			return sum, err
		}
		sum += n
	}
}

// serveTheirs is the reference as callee.
var serveTheirs = refHandler{
	"manifest": func(ctx context.Context, req *ref.Request) error { return req.Return(ctx, manifest) },
	"echo": func(ctx context.Context, req *ref.Request) error {
		var args []json.RawMessage
		if err := json.Unmarshal(req.RawArgs, &args); err != nil {
			return err
		}
		return req.Return(ctx, args[0])
	},
	"fail": func(context.Context, *ref.Request) error {
		return ref.CallError{Name: "ignored", Message: "on purpose"}
	},
	"count": func(_ context.Context, req *ref.Request) error { return produce(req, "item", 5) },
	"burst": func(_ context.Context, req *ref.Request) error { return produce(req, bulk, 50) },
	"sum": func(ctx context.Context, req *ref.Request) error {
		src, err := req.ResponseSource()
		if err != nil {
			return err
		}
		sum := 0
		for src.Next(ctx) {
			b, err := src.Bytes()
			if err != nil {
				return err
			}
			var n int
			if err := json.Unmarshal(b, &n); err != nil {
				return err
			}
			sum += n
		}
		return fmt.Errorf("sum %d", sum)
	},
	"mirror": func(ctx context.Context, req *ref.Request) error {
		src, err := req.ResponseSource()
		if err != nil {
			return err
		}
		snk, err := req.ResponseSink()
		if err != nil {
			return err
		}
		snk.SetEncoding(ref.TypeJSON)
		for src.Next(ctx) {
			b, err := src.Bytes()
			if err != nil {
				return err
			}
			if _, err := snk.Write(b); err != nil {
				return err
			}
		}
		return req.Close()
	},
}

func produce(req *ref.Request, item string, n int) error {
	snk, err := req.ResponseSink()
	if err != nil {
		return err
	}
	snk.SetEncoding(ref.TypeJSON)
	for i := range n {
		b, err := json.Marshal(fmt.Sprint(item, i))
		if err != nil {
			return err
		}
		if _, err := snk.Write(b); err != nil {
			return err
		}
	}
	return snk.Close()
}

func wantItems(item string, n int) (all []string) {
	for i := range n {
		b, _ := json.Marshal(fmt.Sprint(item, i)) // a string
		all = append(all, string(b))
	}
	return all
}

// weCall makes every kind of call to the reference.
func weCall(t *testing.T, s *muxrpc.Session) {
	ctx := host.Context(t)
	for _, arg := range []any{"hi", 7.0, obj{"a": []any{1.0, nil}}, bulk} {
		var got any
		if err := s.Call(ctx, "echo", arg, &got); err != nil || fmt.Sprint(got) != fmt.Sprint(arg) {
			t.Errorf("echo of %.40v: got %.40v, %v", arg, got, err)
		}
	}
	var remote *muxrpc.RemoteError
	if err := s.Call(ctx, "fail", nil, nil); !errors.As(err, &remote) || !strings.Contains(remote.Message, "on purpose") {
		t.Errorf("fail: got %v", err)
	}
	if err := s.Call(ctx, "nothing", nil, nil); !errors.As(err, &remote) || !strings.Contains(remote.Message, "no such command") {
		t.Errorf("an unknown method: got %v", err)
	}

	for _, row := range []struct {
		method, item string
		n            int
	}{{"count", "item", 5}, {"burst", bulk, 50}} {
		st := open(t, s, "source", row.method)
		got, err := drain(ctx, st)
		if err != io.EOF || !slices.Equal(got, wantItems(row.item, row.n)) {
			t.Errorf("%s: got %d items, %v", row.method, len(got), err)
		}
	}

	st := open(t, s, "sink", "sum")
	for i := range 10 {
		if err := st.Send(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.CloseSend(nil); err != nil {
		t.Fatal(err)
	}
	// It ends both directions at our END, before its handler can say more.
	if _, err := drain(ctx, st); err != io.EOF && !errors.As(err, &remote) {
		t.Errorf("sum: got %v", err)
	}

	st = open(t, s, "duplex", "mirror")
	for i := range 10 {
		if err := st.Send(fmt.Sprint("item", i)); err != nil {
			t.Fatal(err)
		}
		// Each reply is taken before our END, at which it drops what is not sent.
		b, _, err := st.Recv(ctx)
		if err != nil || string(b) != wantItems("item", 10)[i] {
			t.Fatalf("mirror: got %s, %v", b, err)
		}
	}
	if err := st.CloseSend(nil); err != nil {
		t.Fatal(err)
	}
	if got, err := drain(ctx, st); err != io.EOF || len(got) > 0 {
		t.Errorf("the end of mirror: got %q, %v", got, err)
	}
}

func open(t *testing.T, s *muxrpc.Session, kind, method string) *muxrpc.Stream {
	t.Helper()
	st, err := s.Open(t.Context(), kind, method, nil)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func drain(ctx context.Context, st *muxrpc.Stream) (all []string, err error) {
	for {
		b, _, err := st.Recv(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, string(b))
	}
}

// itCalls makes every kind of call from the reference.
func itCalls(t *testing.T, edp ref.Endpoint) {
	ctx := host.Context(t)
	for _, arg := range []any{"hi", 7.0, obj{"a": []any{1.0, nil}}, bulk} {
		var got any
		if err := edp.Async(ctx, &got, ref.TypeJSON, ref.Method{"echo"}, arg); err != nil || fmt.Sprint(got) != fmt.Sprint(arg) {
			t.Errorf("echo of %.40v: got %.40v, %v", arg, got, err)
		}
	}
	wantCode(t, edp.Async(ctx, new(any), ref.TypeJSON, ref.Method{"fail"}), "Error")

	for _, row := range []struct {
		method, item string
		n            int
	}{{"count", "item", 5}, {"burst", bulk, 50}} {
		src, err := edp.Source(ctx, ref.TypeJSON, ref.Method{row.method})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := items(ctx, src); err != nil || !slices.Equal(got, wantItems(row.item, row.n)) {
			t.Errorf("%s: got %d items, %v", row.method, len(got), err)
		}
	}

	snk, err := edp.Sink(ctx, ref.TypeJSON, ref.Method{"sum"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := fmt.Fprint(snk, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := snk.Close(); err != nil {
		t.Errorf("ending sum: %v", err)
	}

	src, snk, err := edp.Duplex(ctx, ref.TypeJSON, ref.Method{"mirror"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		want := fmt.Sprint("item", i)
		if _, err := fmt.Fprintf(snk, "%q", want); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := item(ctx, src, &got); err != nil || got != want {
			t.Fatalf("mirror: got %q, %v", got, err)
		}
	}
	if err := snk.Close(); err != nil {
		t.Errorf("ending mirror: %v", err)
	}
	if got, err := items(ctx, src); err != nil || len(got) > 0 {
		t.Errorf("the end of mirror: got %q, %v", got, err)
	}
}
