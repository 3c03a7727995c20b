//go:build fault

package fault_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// linkTry is what stands behind the attempt of one who knows a secret.
type linkTry struct {
	t      *testing.T
	kind   channel.Kind
	links  control.Links
	id     channel.ID
	caller shs.PrivateKey
	callee shs.PublicKey
}

// rawTry connects a caller by hand to a callee of ours, and gets links for it.
func rawTry(t *testing.T, p place, h *byHand, ln net.Listener, kind channel.Kind, more string) (linkTry, net.Conn, *channel.Conn) {
	t.Helper()
	lane, res := h.connect(ln.Addr().String(), more)
	conn, err := ln.Accept()
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	id, err := channel.ParseID(res.Channel)
	must(t, err)
	return linkTry{t, kind, h.links(res.Channel, string(kind)), id, h.key, res.Peer.ID}, lane, conn.(*channel.Conn)
}

// shake dials the link, shakes hands as cfg says, and returns what was heard.
func (l linkTry) shake(cfg *shs.Config) (conn *shs.Conn, heard int, err error) {
	network, addr := "tcp", l.links.Links[0].Net
	if l.kind == channel.Unix {
		network, addr = "unix", l.links.Links[0].Unix
	}
	raw, err := net.DialTimeout(network, addr, slow*5*time.Second)
	if err != nil {
		return nil, 0, err
	}
	l.t.Cleanup(func() { raw.Close() })
	ears := &tap{Conn: raw}
	conn = shs.Client(ears, cfg)
	err = conn.Handshake(within(l.t, 10*time.Second))
	return conn, len(ears.bytes()), err
}

// purpose is the key of the attempt.
func (l linkTry) purpose() shs.NetworkKey {
	return shs.DefaultNetworkKey().Direct(l.links.Secret, l.id, l.caller.Public(), l.callee)
}

// right is the handshake that the callee waits for.
func (l linkTry) right() *shs.Config { return linkConfig(l.kind, l.purpose(), l.caller, l.callee) }

// wrongs are handshakes that are not: what is wrong, and how many bytes of the
// callee's may be heard.
func (l linkTry) wrongs(old [32]byte) map[string]linkWrong {
	net := shs.DefaultNetworkKey()
	third := shs.GenerateKey()
	other := l.id
	other[0]++
	under := func(purpose shs.NetworkKey) linkWrong {
		return linkWrong{linkConfig(l.kind, purpose, l.caller, l.callee), 0}
	}
	return map[string]linkWrong{
		"F39 the secret of an earlier attempt": under(net.Direct(old, l.id, l.caller.Public(), l.callee)),
		"F39 roles swapped":                    under(net.Direct(l.links.Secret, l.id, l.callee, l.caller.Public())),
		"F39 another channel":                  under(net.Direct(l.links.Secret, other, l.caller.Public(), l.callee)),
		"F39 a third peer under its own name":  {linkConfig(l.kind, net.Direct(l.links.Secret, l.id, third.Public(), l.callee), third, l.callee), 0},
		"F39 a third peer who knows all":       {linkConfig(l.kind, l.purpose(), third, l.callee), 64}, // message 2, no message 4
		"F19 box":                              {&shs.Config{Key: l.caller, ServerKey: l.callee}, 0},
		"F19 plain":                            {&shs.Config{Key: l.caller, ServerKey: l.callee, PlainKey: net.Plain(0, 0)}, 0},
		"F19 sealed":                           under(net.Sealed(l.id, "org.example.callee")),
		"F19 another network":                  under(shs.NetworkKey{7}.Direct(l.links.Secret, l.id, l.caller.Public(), l.callee)),
	}
}

type linkWrong struct {
	cfg  *shs.Config
	most int
}

// F39, F19: a link is opened by nobody but the caller, under this attempt's
// secret, in the mode of its kind; everybody else ends at message 1, or at message
// 3 who knows all but the key, and the channel stays relayed. Then the caller
// opens it, once: a second time there is nobody. F42 on the way: what the callee
// is told of the caller is the server's word.
func TestF39Secrets(t *testing.T) {
	n := 0
	for network, kind := range map[string]channel.Kind{"unix": channel.Unix, "tcp": channel.Net} {
		me, them := shs.GenerateKey(), shs.GenerateKey()
		_, p := startDaemon(t, me.Public(), them.Public())
		c := p.client(t, network, func(c *client.Config) { c.Key = them })
		ln, err := c.Listen(within(t, 10*time.Second), "org.example.callee")
		must(t, err)
		h := p.byHand(t, network, me)
		victim := shs.GenerateKey().Public()
		forged := fmt.Sprintf(`"peer":{"id":%q,"session":":1","names":["org.example.victim"],"level":"root","tenant":"x"}`, victim)
		first, lane, conn := rawTry(t, p, h, ln, kind, `,"meta":{`+forged+`,"direct":{"secret":"00"}},`+forged+`,"id":"x"`)
		second := first
		second.links = h.links(first.id.String(), string(kind))
		for what, wrong := range second.wrongs(first.links.Secret) {
			got, heard, err := second.shake(wrong.cfg)
			if err == nil || heard > wrong.most {
				t.Errorf("%s, %s: heard %d bytes, %v; want at most %d, and an error", kind, what, heard, err, wrong.most)
			}
			if got != nil {
				got.Abort()
			}
			n++
		}
		echoes(t, "relayed", lane, conn)
		link, _, err := second.shake(second.right())
		must(t, err)
		if _, _, err := second.shake(second.right()); err == nil {
			t.Errorf("%s: a secret was of use twice", kind)
		}
		if _, _, err := first.shake(first.right()); err == nil {
			t.Errorf("%s: the link of an earlier attempt was of use beside that of a later", kind)
		}
		crosses(t, lane, link, conn)
		info := conn.Info()
		if info.Key != me.Public() || info.Session == ":1" || len(info.Names) > 0 || info.Level == "root" || !strings.Contains(string(info.Meta), victim.String()) {
			t.Errorf("the callee was told %+v", info)
		}
	}
	report(t, "F39", "%d handshakes on links under other secrets, channels, roles, keys and modes: none was let in, those of other networks heard nothing; no secret served twice", n)
	report(t, "F42", "forged names, keys and levels in the connect of a direct channel: the callee was told the proven ones")
}

// crosses moves a channel by hand, whose ends have sent 5 bytes each, and uses it.
func crosses(t *testing.T, lane net.Conn, link *shs.Conn, callee *channel.Conn) {
	t.Helper()
	mark := binary.BigEndian.AppendUint64([]byte{1}, 5)
	_, err := link.Write(mark)
	must(t, err)
	got := make([]byte, len(mark))
	must(t, link.SetReadDeadline(time.Now().Add(slow*10*time.Second)))
	if _, err := io.ReadFull(link, got); err != nil || string(got) != string(mark) {
		t.Fatalf("the callee's mark is %x, %v, want %x", got, err, mark)
	}
	echoes(t, "direct", link, callee)
	must(t, lane.Close())
}

// F19: the caller itself, which knows the secret, in the other mode: box on a Unix
// socket, plain over TCP. It ends at message 1, and nobody notices.
func TestF19LinkInOtherMode(t *testing.T) {
	t.Parallel()
	for network, kind := range map[string]channel.Kind{"unix": channel.Unix, "tcp": channel.Net} {
		me, them := shs.GenerateKey(), shs.GenerateKey()
		_, p := startDaemon(t, me.Public(), them.Public())
		c := p.client(t, network, func(c *client.Config) { c.Key = them })
		ln, err := c.Listen(within(t, 10*time.Second), "org.example.callee")
		must(t, err)
		h := p.byHand(t, network, me)
		l, lane, conn := rawTry(t, p, h, ln, kind, "")
		other := channel.Net
		if kind == channel.Net {
			other = channel.Unix
		}
		cfg := linkConfig(other, l.purpose(), me, l.callee)
		if _, heard, err := l.shake(cfg); err == nil || heard > 0 {
			t.Errorf("%s: heard %d bytes, %v", kind, heard, err)
		}
		echoes(t, "relayed still", lane, conn)
		report(t, "F19", "a %s link in the other mode, by the caller itself: not a byte was answered", kind)
	}
}

// F39: a secret is of no use 15 s after it was made, nor behind a restart of the
// server, and the callee's socket and port are gone.
func TestF39LateAndRestarted(t *testing.T) {
	t.Parallel()
	var late []linkTry
	for network, kind := range map[string]channel.Kind{"unix": channel.Unix, "tcp": channel.Net} {
		me, them := shs.GenerateKey(), shs.GenerateKey()
		d, p := startDaemon(t, me.Public(), them.Public())
		c := p.client(t, network, func(c *client.Config) { c.Key = them })
		ln, err := c.Listen(within(t, 10*time.Second), "org.example.callee")
		must(t, err)
		h := p.byHand(t, network, me)
		l, lane, conn := rawTry(t, p, h, ln, kind, "")
		echoes(t, "relayed", lane, conn)
		late = append(late, l)
		before, _, lost := rawTry(t, p, h, ln, kind, "")
		d.kill()
		d.start()
		if _, err := lost.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a relayed channel whose server was killed ended with %v", err)
		}
		if _, heard, err := before.shake(before.right()); err == nil {
			t.Errorf("%s: a secret from before a restart of the server was of use, %d bytes", kind, heard)
		}
	}
	<-time.After(15*time.Second + slow*500*time.Millisecond)
	for _, l := range late {
		if _, _, err := l.shake(l.right()); err == nil {
			t.Errorf("%s: a secret was of use after 15 s", l.kind)
		}
	}
	report(t, "F39", "secrets used after 15 s, and behind a restart of the server: refused, on a Unix socket and over TCP")
}
