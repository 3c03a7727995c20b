package client_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/muxrpc"
)

// relayed is a channel that a server written by hand has offered: its session and
// lane there, and the callee's end.
func relayed(t *testing.T) (fc *fakeConn, lane *mux.Stream, conn net.Conn) {
	t.Helper()
	f := newFake(t)
	c := bubbleDial(t, f.config())
	t.Cleanup(func() { c.Close() })
	ln, err := c.Listen(t.Context(), "test.relayed")
	if err != nil {
		t.Fatal(err)
	}
	fc = <-f.conns
	lane = openWith(t, fc, control.MethodOffer, "duplex", offer(someChannel, "test.relayed", ""))
	if _, err := muxrpc.ReadPacket(lane, 1<<20); err != nil {
		t.Fatal(err)
	}
	if conn, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return fc, lane, conn
}

// TestRelayedEndsWithSession: a channel says that its session is gone, and only
// after Close that somebody here has closed it.
func TestRelayedEndsWithSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fc, _, conn := relayed(t)
		fc.conn.Abort()
		_, rerr := conn.Read(make([]byte, 1))
		_, werr := conn.Write(make([]byte, 1))
		for _, err := range []error{rerr, werr} {
			wantErr(t, err, client.ErrNotConnected)
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		conn.Close()
		_, err := conn.Read(make([]byte, 1))
		wantErr(t, err, net.ErrClosed)
	})
}

// TestResetWithoutReason: what the reset of a lane says holds where the server's
// channel.close does not come, or too late.
func TestResetWithoutReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lane, conn := relayed(t)
		lane.Reset(mux.ReasonQuota)
		_, rerr := conn.Read(make([]byte, 1))
		_, werr := conn.Write(make([]byte, 1))
		for _, err := range []error{rerr, werr} {
			wantErr(t, err, client.Quota)
		}
		conn.Close()
	})
}
