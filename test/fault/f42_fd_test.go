//go:build fault && linux

package fault_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/mux"
	"github.com/cad2f06c/switchboard/shs"
)

// fdTaker is a session's socket that takes descriptors, in the order in which they
// come.
type fdTaker struct {
	*net.UnixConn
	files chan *os.File
}

func (c *fdTaker) Read(p []byte) (int, error) {
	oob := make([]byte, syscall.CmsgSpace(4))
	n, space, _, _, err := c.ReadMsgUnix(p, oob)
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF // a read of messages has no other word for it
	}
	if err != nil || space == 0 {
		return n, err
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:space])
	if err != nil || len(messages) != 1 {
		return n, fmt.Errorf("%d control messages, %w", len(messages), err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return n, fmt.Errorf("%d descriptors, %w", len(fds), err)
	}
	c.files <- os.NewFile(uintptr(fds[0]), "passed")
	return n, nil
}

// takesFD logs in as one that says of direct links what it likes, in plain mode.
func (p place) takesFD(t *testing.T, key shs.PrivateKey) (*byHand, *fdTaker) {
	t.Helper()
	raw := p.dial(t, "unix").(*net.UnixConn)
	must(t, raw.SetDeadline(time.Time{}))
	taker := &fdTaker{raw, make(chan *os.File, 4)}
	uid := uint32(os.Geteuid())
	conn := shs.Client(taker, &shs.Config{Key: key, ServerKey: p.key, PlainKey: shs.DefaultNetworkKey().Plain(uid, uid)})
	must(t, conn.Handshake(within(t, 10*time.Second)))
	h := &byHand{t: t, p: p, key: key, m: mux.Client(conn, mux.Config{})}
	t.Cleanup(func() { h.m.Close() })
	lane, err := h.m.Open(within(t, 10*time.Second))
	must(t, err)
	h.lane = lane
	return h, taker
}

// F42 over a passed socket, on which nobody shakes hands: what the callee is told of
// the caller, and asks the link itself, is the server's word, before and after the
// channel has moved.
func TestF42PassedLink(t *testing.T) {
	_, p := startDaemon(t)
	victim := p.client(t, "unix")
	_, err := victim.Claim(within(t, 10*time.Second), "org.example.victim", client.ClaimOptions{})
	must(t, err)
	who, err := victim.WhoAmI(within(t, 10*time.Second))
	must(t, err)
	callee := p.client(t, "unix", func(c *client.Config) { c.Mode = client.ModePlain })
	ln, err := callee.Listen(within(t, 10*time.Second), "org.example.callee")
	must(t, err)

	key := shs.GenerateKey()
	h, taker := p.takesFD(t, key)
	var me control.WhoAmI
	if failed := h.ask(`["whoami"]`, `{}`, &me); failed != "" {
		t.Fatal(failed)
	}
	peer := fmt.Sprintf(`{"id":%q,"session":%q,"names":["org.example.victim"],"level":"verified","tenant":"other"}`, who.ID, who.Session)
	forged := fmt.Sprintf(`"peer":%s,"from":%q,"id":%q,"session":%q,"names":["org.example.victim"],"level":"verified","tenant":"other"`,
		peer, who.ID, who.ID, who.Session)
	lane, res := h.connect("org.example.callee", `,"meta":`+peer+`,`+forged)
	accepted, err := ln.Accept()
	must(t, err)
	conn := accepted.(*channel.Conn)
	t.Cleanup(func() { conn.Close() })
	told := conn.Info()
	if told.Key != key.Public() || told.Session != me.Session || len(told.Names) > 0 || told.Level != "trusted" || string(told.Meta) != peer {
		t.Errorf("the callee was told %+v, want the key %v and the session %s", told, key.Public(), me.Session)
	}
	echoes(t, "relayed", lane, conn)

	var got control.ChannelDirectResult
	if failed := h.ask(`["channel","direct"]`, fmt.Sprintf(`{"channel":%q,"direct":["fd"],%s}`, res.Channel, forged), &got); failed != "" {
		t.Fatal(failed)
	}
	if len(got.Direct.Links) != 1 || got.Direct.Links[0].FD == nil || *got.Direct.Links[0].FD != 0 {
		t.Fatalf("the links are %+v, want the first descriptor", got.Direct.Links)
	}
	file := <-taker.files
	raw, err := net.FileConn(file)
	must(t, err)
	must(t, file.Close())
	link := shs.Vouched(raw, res.Peer.ID)
	t.Cleanup(func() { link.Abort() })
	var registered [1]byte
	must(t, link.SetReadDeadline(time.Now().Add(slow*10*time.Second)))
	if _, err := io.ReadFull(link, registered[:]); err != nil || registered[0] != 2 {
		t.Fatalf("the callee began with %x, %v", registered, err)
	}
	crosses(t, lane, link, conn)
	if !eventually(10*time.Second, func() bool { return conn.Link() == channel.FD }) || fmt.Sprint(conn.Info()) != fmt.Sprint(told) || conn.RemoteKey() != key.Public() {
		t.Errorf("on the link %q the callee is told %+v, %v; before it was %+v", conn.Link(), conn.Info(), conn.RemoteKey(), told)
	}
	report(t, "F42", "forged names, keys and levels in the connect of a channel, and in the call for its passed socket: the callee was told the proven ones, before and after the move")
}
