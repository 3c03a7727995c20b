//go:build fault

package fault_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/shs"
)

// F19: inside a channel that was agreed to be sealed, a caller that does not seal,
// or seals for another name, channel, key or mode: the callee answers nothing, and
// its application never gets the channel.
func TestF19SealedModes(t *testing.T) {
	_, p := startDaemon(t)
	c := p.client(t, "unix")
	const name = "org.example.sealed"
	ln, err := c.Listen(within(t, 10*time.Second), name)
	must(t, err)
	network, n := shs.DefaultNetworkKey(), 0
	for what, row := range map[string]struct {
		key func(id channel.ID) shs.NetworkKey // nil: no handshake
		me  bool                               // the key of the session
		in  bool
	}{
		"as agreed":       {func(id channel.ID) shs.NetworkKey { return network.Sealed(id, name) }, true, true},
		"another name":    {func(id channel.ID) shs.NetworkKey { return network.Sealed(id, name+"2") }, true, false},
		"another channel": {func(channel.ID) shs.NetworkKey { return network.Sealed(channel.ID{1}, name) }, true, false},
		"box":             {func(channel.ID) shs.NetworkKey { return network }, true, false},
		"plain":           {func(channel.ID) shs.NetworkKey { return network.Plain(0, 0) }, true, false},
		"another key":     {func(id channel.ID) shs.NetworkKey { return network.Sealed(id, name) }, false, false},
		"in the clear":    {nil, true, false},
	} {
		key := shs.GenerateKey()
		h := p.byHand(t, "unix", key)
		lane, res := h.connect(name, `,"sealed":true`)
		if !res.Sealed {
			t.Fatal("the callee does not seal")
		}
		must(t, lane.SetDeadline(time.Now().Add(15*time.Second)))
		ears := &tap{Conn: lane}
		if row.key == nil {
			_, err = io.WriteString(ears, "wrong wrong wrong wrong wrong wrong wrong wrong wrong wrong wrong wrong ")
			must(t, err)
			_, err = io.ReadAll(ears)
		} else {
			id, perr := channel.ParseID(res.Channel)
			must(t, perr)
			if !row.me {
				key = shs.GenerateKey()
			}
			err = shs.Client(ears, &shs.Config{Key: key, ServerKey: res.Peer.ID, NetworkKey: row.key(id)}).Handshake(t.Context())
		}
		most := 0
		if !row.me {
			most = 64 // message 2
		}
		if heard := len(ears.bytes()); (err == nil) != row.in || !row.in && heard > most {
			t.Errorf("%s: heard %d bytes, %v", what, heard, err)
		}
		if row.in {
			conn, err := ln.Accept()
			must(t, errors.Join(err, conn.Close()))
		}
		lane.Abort()
		n++
	}
	none(t, p, ln, name)
	report(t, "F19", "%d ways to begin a sealed channel: all but the one agreed on hear nothing (another key: message 2), and no application got them", n)
}

// none checks that the next channel of a listener is a new one.
func none(t *testing.T, p place, ln net.Listener, name string) {
	t.Helper()
	last, err := p.client(t, "unix").Open(within(t, 10*time.Second), name, client.OpenOptions{})
	must(t, err)
	conn, err := ln.Accept()
	must(t, err)
	if got := conn.(*channel.Conn).Info().ID; got != last.Info().ID {
		t.Errorf("the application was given channel %v, which was not sealed as agreed", got)
	}
	must(t, errors.Join(conn.Close(), last.Close()))
}
