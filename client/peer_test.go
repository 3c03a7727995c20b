package client_test

import (
	"encoding/json"
	"net"
	"testing"

	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

// rawPeer logs in as a client that is written by hand, to do what Client
// never does. It is on box and yamux.
func rawPeer(t testing.TB, address string) (*mux.Session, *muxrpc.Session) {
	t.Helper()
	as, err := shs.ParseAddresses(address)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.Dial(as[0].Network, as[0].Addr)
	if err != nil {
		t.Fatal(err)
	}
	conn := shs.Client(raw, &shs.Config{Key: shs.GenerateKey(), ServerKey: as[0].Key})
	if err := conn.Handshake(short(t)); err != nil {
		t.Fatal(err)
	}
	m := mux.Client(conn, mux.Config{})
	stream, err := m.Open(short(t))
	if err != nil {
		t.Fatal(err)
	}
	ctl := muxrpc.NewSession(stream, muxrpc.Config{})
	t.Cleanup(func() {
		m.Close()
		ctl.Close()
	})
	return m, ctl
}

// claimAndHang owns a name and never answers an offer. It tells of each.
func claimAndHang(t testing.TB, address, name string) (asked <-chan struct{}) {
	t.Helper()
	m, ctl := rawPeer(t, address)
	if err := ctl.Call(short(t), "names.claim", map[string]string{"name": name}, new(json.RawMessage)); err != nil {
		t.Fatal(err)
	}
	ch := make(chan struct{}, 100)
	ctx := t.Context()
	go func() {
		for {
			stream, err := m.Accept(ctx)
			if err != nil {
				return
			}
			if _, err := muxrpc.ReadPacket(stream, 1<<20); err == nil {
				ch <- struct{}{}
			}
		}
	}()
	return ch
}
