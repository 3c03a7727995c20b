// Package ssb holds tests against the reference implementation of Secure
// Scuttlebutt's wire in Go: go-secretstream (handshake and box stream) and
// go-muxrpc, each as client and as server.
//
// go-muxrpc leaves goroutines behind by design (a full session waits for a
// Serve that nobody need call), so nobody counts goroutines here.
package ssb

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"testing"

	ref "github.com/ssbc/go-muxrpc/v2"
	"github.com/ssbc/go-secretstream"
	"github.com/ssbc/go-secretstream/secrethandshake"
	"go.mindeco.de/log"

	"github.com/cad2f06c/switchboard/shs"
	"github.com/cad2f06c/switchboard/test/interop/internal/host"
)

// identity is one key in the forms of both implementations.
type identity struct {
	ours   shs.PrivateKey
	theirs secrethandshake.EdKeyPair
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	var seed [32]byte
	rand.Read(seed[:])
	secret := ed25519.NewKeyFromSeed(seed[:])
	pair, err := secrethandshake.NewKeyPair(secret.Public().(ed25519.PublicKey), secret)
	if err != nil {
		t.Fatal(err)
	}
	return identity{ours: shs.NewPrivateKey(seed), theirs: *pair}
}

func networkKey() []byte {
	k := shs.DefaultNetworkKey()
	return k[:]
}

// shakeClient runs the reference's client handshake on raw.
func shakeClient(raw net.Conn, id identity, server shs.PublicKey) (net.Conn, error) {
	c, err := secretstream.NewClient(id.theirs, networkKey())
	if err != nil {
		return nil, err
	}
	return c.ConnWrapper(server[:])(raw)
}

// shakeServer runs the reference's server handshake on raw.
func shakeServer(raw net.Conn, id identity) (net.Conn, error) {
	s, err := secretstream.NewServer(id.theirs, networkKey())
	if err != nil {
		return nil, err
	}
	return s.ConnWrapper()(raw)
}

// dialServer connects the reference to a switchboard.
func dialServer(t *testing.T, h *host.Host, network string, id identity) net.Conn {
	t.Helper()
	conn, err := shakeClient(h.DialRaw(t, network), id, h.Key)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// session runs go-muxrpc on conn until the test ends.
func session(t *testing.T, conn net.Conn, h refHandler) ref.Endpoint {
	t.Helper()
	edp := ref.Handle(ref.NewPacker(conn), h, ref.WithLogger(log.NewNopLogger()), ref.WithContext(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { edp.(ref.Server).Serve() }) // whatever it returns: Terminate below is its end
	t.Cleanup(func() {
		edp.Terminate()
		wg.Wait()
	})
	return edp
}

// refHandler is a table of methods as go-muxrpc's Handler.
type refHandler map[string]func(context.Context, *ref.Request) error

func (h refHandler) Handled(m ref.Method) bool                   { return h[m.String()] != nil }
func (h refHandler) HandleConnect(context.Context, ref.Endpoint) {}
func (h refHandler) HandleCall(ctx context.Context, req *ref.Request) {
	if err := h[req.Method.String()](ctx, req); err != nil {
		req.CloseWithError(err)
	}
}

// wantCode checks that err is an error answer with the given code.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var call *ref.CallError
	if !errors.As(err, &call) {
		t.Errorf("got %v, want an answer with the code %s", err, code)
	} else if call.Name != code {
		t.Errorf("got code %q (%s), want %q", call.Name, call.Message, code)
	}
}

// items reads a source of the reference to its end.
func items(ctx context.Context, src *ref.ByteSource) (all []string, err error) {
	for src.Next(ctx) {
		b, err := src.Bytes()
		if err != nil {
			return all, err
		}
		all = append(all, string(b))
	}
	return all, src.Err()
}

// item reads the next item of a source of the reference into v.
func item(ctx context.Context, src *ref.ByteSource, v any) error {
	if !src.Next(ctx) {
		return errors.Join(errors.New("the source has ended"), src.Err())
	}
	b, err := src.Bytes()
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
