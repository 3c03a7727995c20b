package shs

import (
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

func TestNettest(t *testing.T) {
	for _, mode := range []Mode{Box, Plain} {
		for _, tr := range transports {
			t.Run(mode.String()+"/"+tr.name, func(t *testing.T) {
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					a, b := tr.pipe(t)
					client, server := connect(t, mode, a, b)
					return client, server, func() { client.Abort(); server.Abort() }, nil
				})
			})
		}
	}
}

func TestHandshake(t *testing.T) {
	eachConn(t, func(t *testing.T, client, server *Conn) {
		if got := client.RemoteKey(); got != bob.Public() {
			t.Errorf("client sees %v, want %v", got, bob.Public())
		}
		if got := server.RemoteKey(); got != alice.Public() {
			t.Errorf("server sees %v, want %v", got, alice.Public())
		}
		if client.Mode() != server.Mode() {
			t.Errorf("modes %v and %v", client.Mode(), server.Mode())
		}
		go func() {
			client.Write([]byte("hello"))
			client.CloseWrite()
		}()
		got, err := io.ReadAll(server)
		if string(got) != "hello" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		go server.Abort()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after Abort: got %v, want %v", err, io.ErrUnexpectedEOF)
		}
	})
}
