package switchboard

import (
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
)

// What a direct link may be is decided here, by what the server has observed of
// the two sessions and by its settings alone: a callee says where it listens on
// its host, and never which host that is (PROTOCOL.md §8). All of it is pure.

// place is where a session comes from.
type place struct {
	transport string
	uid       uint32     // of the peer, on a Unix socket
	files     bool       // the server can pass it descriptors: a Unix socket in plain mode
	remote    netip.Addr // of the peer, over TCP
	local     netip.Addr // at which it reached the server, over TCP
}

// placeOf is the place of an accepted connection.
func placeOf(o origin, conn net.Conn) place {
	p := place{transport: o.transport, uid: o.uid}
	if o.transport == transportNet {
		p.remote, p.local = hostOf(conn.RemoteAddr()), hostOf(conn.LocalAddr())
	}
	return p
}

// hostOf is the IP address of a TCP address, or no address.
func hostOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}

// overLoopback reports whether the session came over TCP from this machine.
func (p place) overLoopback() bool { return p.transport == transportNet && p.remote.IsLoopback() }

// topology is what direct links depend on besides the two places.
type topology struct {
	advertise netip.Addr // of callees on this machine; may be no address
	ports     []uint16   // TCP ports that the server listens on
}

// Bounds of what a callee may name.
const (
	minLinkPort = 1024
	maxLinkPath = 107 // what fits in the address of a Unix socket on Linux
)

// kinds are those of asked that are allowed and that the places permit, in order
// of preference.
func (t topology) kinds(asked []string, allowed []channel.Kind, caller, callee place) []string {
	var kinds []string
	for _, kind := range []string{control.KindFD, control.KindUnix, control.KindNet} {
		if slices.Contains(asked, kind) && slices.Contains(allowed, channel.Kind(kind)) && t.permits(kind, caller, callee) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func (t topology) permits(kind string, caller, callee place) bool {
	switch kind {
	case control.KindFD:
		return caller.files && callee.files
	case control.KindUnix:
		return caller.transport == transportUnix && callee.transport == transportUnix && caller.uid == callee.uid
	}
	return t.host(caller, callee).IsValid()
}

// host is where a caller reaches a callee over TCP: the address that the callee
// came from; for one on this machine that which is advertised, or else the one
// at which the caller reached the server. No address if there is none that may
// be dialled.
func (t topology) host(caller, callee place) netip.Addr {
	var host netip.Addr
	switch {
	case callee.transport == transportNet:
		host = callee.remote
	case t.advertise.IsValid():
		host = t.advertise
	case caller.transport == transportNet:
		host = caller.local
	}
	host = host.Unmap()
	if !dialableHost(host) || host.IsLoopback() && !(caller.overLoopback() && callee.overLoopback()) {
		return netip.Addr{}
	}
	return host
}

// dialableHost reports whether an address means one host, the same one to
// whoever dials it; loopback is for host to decide on.
func dialableHost(a netip.Addr) bool {
	switch {
	case !a.IsValid(), a.Is4In6(), a.Zone() != "":
		return false
	case a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast():
		return false
	case a.Is4(): // 0.0.0.0/8 is this host, as 0.0.0.0 is; broadcast is everybody
		b := a.As4()
		return b[0] != 0 && b != [4]byte{255, 255, 255, 255}
	}
	// ::a.b.c.d was a way to write an IPv4 address once.
	b := a.As16()
	return a.IsLoopback() || [12]byte(b[:12]) != [12]byte{}
}

// links are what the caller may dial of what a callee has answered, when it was
// asked for kinds. dropped are the kinds that it named and that are left out.
func (t topology) links(kinds []string, a control.LinkAnswer, caller, callee place) (links []control.Link, dropped []string) {
	if a.FD && !slices.Contains(kinds, control.KindFD) { // else the server makes it
		dropped = append(dropped, control.KindFD)
	}
	if a.Unix != "" {
		if slices.Contains(kinds, control.KindUnix) && socketOK(a.Unix) && t.permits(control.KindUnix, caller, callee) {
			uid := callee.uid
			links = append(links, control.Link{Unix: a.Unix, UID: &uid})
		} else {
			dropped = append(dropped, control.KindUnix)
		}
	}
	if a.Net != 0 {
		host := t.host(caller, callee)
		if slices.Contains(kinds, control.KindNet) && t.portOK(a.Net) && host.IsValid() {
			links = append(links, control.Link{Net: netip.AddrPortFrom(host, uint16(a.Net)).String()})
		} else {
			dropped = append(dropped, control.KindNet)
		}
	}
	return links, dropped
}

// portOK reports whether a callee may name a port: none that needs a right to
// be listened on, and none of the server, whoever's host it is.
func (t topology) portOK(port int) bool {
	return port >= minLinkPort && port <= 65535 && !slices.Contains(t.ports, uint16(port))
}

// socketOK reports whether a callee may name a path: absolute, in its one
// spelling, short enough, and none of an abstract socket.
func socketOK(p string) bool {
	return len(p) > 1 && len(p) <= maxLinkPath && p[0] == '/' && path.Clean(p) == p && !strings.ContainsRune(p, 0)
}

// kindOf is the kind of a link.
func kindOf(l control.Link) string {
	switch {
	case l.Unix != "":
		return control.KindUnix
	case l.Net != "":
		return control.KindNet
	}
	return control.KindFD
}
