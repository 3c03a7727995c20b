package switchboard

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
	"pgregory.net/rapid"
)

// at is the place of a TCP session from an address.
func at(remote string) place {
	return place{transport: transportNet, remote: netip.MustParseAddr(remote), local: netip.MustParseAddr("198.51.100.1")}
}

func onUnix(uid uint32) place { return place{transport: transportUnix, uid: uid} }

// reached is the place of a TCP session that reached the server at an address.
func reached(local string) place {
	return place{transport: transportNet, remote: netip.MustParseAddr("203.0.113.9"), local: netip.MustParseAddr(local)}
}

// Every class of address, as that of a callee over TCP, as that at which a
// caller reached the server, and as the advertised one.
func TestHost(t *testing.T) {
	far := at("203.0.113.9")
	for _, tc := range []struct{ addr, want string }{
		{"192.0.2.1", "192.0.2.1"},
		{"10.1.2.3", "10.1.2.3"},
		{"100.64.0.1", "100.64.0.1"},
		{"172.17.0.2", "172.17.0.2"},
		{"192.168.1.1", "192.168.1.1"},
		{"2001:db8::1", "2001:db8::1"},
		{"fd00::1", "fd00::1"},
		{"64:ff9b::c000:201", "64:ff9b::c000:201"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"127.0.0.1", ""},
		{"127.255.255.254", ""},
		{"::1", ""},
		{"::ffff:127.0.0.1", ""},
		{"0.0.0.0", ""},
		{"0.1.2.3", ""},
		{"::", ""},
		{"::ffff:0.0.0.0", ""},
		{"255.255.255.255", ""},
		{"169.254.1.1", ""},
		{"169.254.169.254", ""},
		{"::ffff:169.254.169.254", ""},
		{"fe80::1", ""},
		{"fe80::1%eth0", ""},
		{"2001:db8::1%eth0", ""},
		{"224.0.0.1", ""},
		{"239.1.2.3", ""},
		{"::ffff:224.0.0.1", ""},
		{"ff02::1", ""},
		{"ff05::2", ""},
		{"ff01::1", ""},
		{"::127.0.0.1", ""},
		{"::192.0.2.1", ""},
	} {
		for how, got := range map[string]netip.Addr{
			"callee's":             topology{}.host(far, at(tc.addr)),
			"reached by":           topology{}.host(reached(tc.addr), onUnix(0)),
			"reached, local":       topology{}.host(reached(tc.addr), place{transport: transportLocal}),
			"advertised":           topology{advertise: netip.MustParseAddr(tc.addr)}.host(far, onUnix(0)),
			"advertised to a Unix": topology{advertise: netip.MustParseAddr(tc.addr)}.host(onUnix(0), onUnix(0)),
		} {
			if text := strings.Replace(got.String(), "invalid IP", "", 1); text != tc.want {
				t.Errorf("%s %s: got %q, want %q", how, tc.addr, text, tc.want)
			}
		}
	}
}

func TestHostOfPlaces(t *testing.T) {
	near := place{transport: transportNet, remote: netip.MustParseAddr("127.0.0.1"), local: netip.MustParseAddr("127.0.0.1")}
	near6 := place{transport: transportNet, remote: netip.MustParseAddr("::1"), local: netip.MustParseAddr("::1")}
	far := at("203.0.113.9")
	advertise := topology{advertise: netip.MustParseAddr("192.0.2.77")}
	for _, tc := range []struct {
		name           string
		t              topology
		caller, callee place
		want           string
	}{
		{"both far", topology{}, far, at("192.0.2.5"), "192.0.2.5"},
		{"the callee's own, whatever is advertised", advertise, far, at("192.0.2.5"), "192.0.2.5"},
		{"both over loopback", topology{}, near, near, "127.0.0.1"},
		{"both over loopback, two families", topology{}, near, near6, "::1"},
		{"a loopback callee and a far caller", topology{}, far, near, "invalid IP"},
		{"a loopback callee and a far caller, advertised", advertise, far, near, "invalid IP"},
		{"a loopback callee and a caller on Unix", topology{}, onUnix(0), near, "invalid IP"},
		{"a far callee and a loopback caller", topology{}, near, far, "203.0.113.9"},
		{"a far callee and a caller on Unix", topology{}, onUnix(0), far, "203.0.113.9"},
		{"a callee on Unix and a far caller", topology{}, far, onUnix(0), "198.51.100.1"},
		{"the same, advertised", advertise, far, onUnix(0), "192.0.2.77"},
		{"a callee on Unix and a loopback caller", topology{}, near, onUnix(0), "invalid IP"},
		{"the same, advertised", advertise, near, onUnix(0), "192.0.2.77"},
		{"both on Unix", topology{}, onUnix(0), onUnix(0), "invalid IP"},
		{"both in this process", topology{}, place{transport: transportLocal}, place{transport: transportLocal}, "invalid IP"},
		{"no addresses observed", topology{}, place{transport: transportNet}, place{transport: transportNet}, "invalid IP"},
	} {
		if got := tc.t.host(tc.caller, tc.callee).String(); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestKinds(t *testing.T) {
	far, ask, all := at("203.0.113.9"), []string{"fd", "unix", "net"}, allKinds()
	for _, tc := range []struct {
		name           string
		asked          []string
		allowed        []channel.Kind
		caller, callee place
		want           string
	}{
		{"over TCP", ask, all, far, far, "[net]"},
		{"on Unix", ask, all, onUnix(7), onUnix(7), "[unix]"},
		{"of two users", ask, all, onUnix(7), onUnix(8), "[]"},
		{"in this process", ask, all, place{transport: transportLocal}, place{transport: transportLocal}, "[]"},
		{"mixed", ask, all, far, onUnix(7), "[net]"},
		{"not asked for", []string{"unix"}, all, far, far, "[]"},
		{"not allowed", ask, []channel.Kind{"unix"}, far, far, "[]"},
		{"nothing allowed", ask, nil, onUnix(7), onUnix(7), "[]"},
		{"unknown ones, and twice", []string{"warp", "net", "net", "NET", ""}, all, far, far, "[net]"},
	} {
		if got := fmt.Sprint(topology{}.kinds(tc.asked, tc.allowed, tc.caller, tc.callee)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
	both := topology{advertise: netip.MustParseAddr("192.0.2.1")}.kinds([]string{"net", "unix"}, all, onUnix(7), onUnix(7))
	if fmt.Sprint(both) != "[unix net]" {
		t.Errorf("got %v, want the preferred one first", both)
	}
}

// What a callee may say, and what of it reaches the caller.
func TestLinks(t *testing.T) {
	far, here := at("192.0.2.5"), onUnix(7)
	long := "/" + strings.Repeat("x", maxLinkPath-1)
	for _, tc := range []struct {
		name           string
		caller, callee place
		answer         control.LinkAnswer
		want           string // of the links, without uid
	}{
		{"a port", far, far, control.LinkAnswer{Net: 40000}, "192.0.2.5:40000"},
		{"over IPv6", at("2001:db8::2"), at("2001:db8::1"), control.LinkAnswer{Net: 40000}, "[2001:db8::1]:40000"},
		{"the least port", far, far, control.LinkAnswer{Net: 1024}, "192.0.2.5:1024"},
		{"the last port", far, far, control.LinkAnswer{Net: 65535}, "192.0.2.5:65535"},
		{"no port", far, far, control.LinkAnswer{}, ""},
		{"port 22", far, far, control.LinkAnswer{Net: 22}, ""},
		{"port 1023", far, far, control.LinkAnswer{Net: 1023}, ""},
		{"port -1", far, far, control.LinkAnswer{Net: -1}, ""},
		{"port 65536", far, far, control.LinkAnswer{Net: 65536}, ""},
		{"port 22 in 32 bits", far, far, control.LinkAnswer{Net: 1<<32 + 4000}, ""},
		{"the server's own port", far, far, control.LinkAnswer{Net: 7483}, ""},
		{"a link-local callee", far, at("169.254.169.254"), control.LinkAnswer{Net: 40000}, ""},
		{"a path over TCP", far, far, control.LinkAnswer{Unix: "/run/x/s"}, ""},
		{"a path", here, here, control.LinkAnswer{Unix: "/run/x/s"}, "/run/x/s"},
		{"the longest path", here, here, control.LinkAnswer{Unix: long}, long},
		{"a path of another user", here, onUnix(8), control.LinkAnswer{Unix: "/run/x/s"}, ""},
		{"a longer path", here, here, control.LinkAnswer{Unix: long + "x"}, ""},
		{"a relative path", here, here, control.LinkAnswer{Unix: "run/s"}, ""},
		{"an abstract socket", here, here, control.LinkAnswer{Unix: "@run/s"}, ""},
		{"an abstract socket, raw", here, here, control.LinkAnswer{Unix: "\x00/run/s"}, ""},
		{"a zero byte", here, here, control.LinkAnswer{Unix: "/run/s\x00x"}, ""},
		{"a way up", here, here, control.LinkAnswer{Unix: "/tmp/../etc/s"}, ""},
		{"two slashes", here, here, control.LinkAnswer{Unix: "//run/s"}, ""},
		{"a dot", here, here, control.LinkAnswer{Unix: "/run/./s"}, ""},
		{"a folder", here, here, control.LinkAnswer{Unix: "/run/"}, ""},
		{"the root", here, here, control.LinkAnswer{Unix: "/"}, ""},
		{"a port on Unix", here, here, control.LinkAnswer{Net: 40000}, ""},
		{"a descriptor", here, here, control.LinkAnswer{FD: true}, ""},
		{"all, of which one may be", far, far, control.LinkAnswer{FD: true, Unix: "/run/x/s", Net: 40000}, "192.0.2.5:40000"},
	} {
		top := topology{ports: []uint16{7483}}
		links, dropped := top.links([]string{"unix", "net"}, tc.answer, tc.caller, tc.callee)
		var got []string
		for _, l := range links {
			got = append(got, l.Unix+l.Net)
			if (l.Unix != "") != (l.UID != nil) || l.UID != nil && *l.UID != tc.callee.uid || l.FD != nil {
				t.Errorf("%s: link %+v", tc.name, l)
			}
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
		named := 0
		for _, is := range []bool{tc.answer.FD, tc.answer.Unix != "", tc.answer.Net != 0} {
			if is {
				named++
			}
		}
		if len(links)+len(dropped) != named {
			t.Errorf("%s: %d links and %v dropped of %d", tc.name, len(links), dropped, named)
		}
	}
	// Nobody was asked for what it names.
	if links, _ := (topology{}).links([]string{"unix"}, control.LinkAnswer{Net: 40000}, far, far); len(links) > 0 {
		t.Errorf("got %v, which was not asked for", links)
	}
}

// Whatever a callee says, the caller dials the callee's own host, at a port that
// needs no rights and is not the server's.
func TestLinksAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		callee := place{transport: transportNet, remote: netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "callee"))).Unmap()}
		if rapid.Bool().Draw(t, "IPv4") {
			callee.remote = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "callee's IPv4")))
		}
		answer := control.LinkAnswer{Net: rapid.OneOf(rapid.Int(), rapid.IntRange(1000, 1050)).Draw(t, "port"), Unix: rapid.String().Draw(t, "path")}
		links, _ := topology{ports: []uint16{1030}}.links([]string{"unix", "net"}, answer, at("203.0.113.9"), callee)
		for _, l := range links {
			ap, err := netip.ParseAddrPort(l.Net)
			if err != nil || ap.Addr() != callee.remote || ap.Port() < 1024 || int(ap.Port()) != answer.Net || ap.Port() == 1030 ||
				ap.Addr().IsLoopback() || ap.Addr().IsLinkLocalUnicast() || ap.Addr().IsMulticast() || ap.Addr().IsUnspecified() {
				t.Fatalf("%+v of %v gives %+v", answer, callee.remote, l)
			}
		}
	})
}

func TestKindOf(t *testing.T) {
	index := 0
	got := []string{kindOf(control.Link{FD: &index}), kindOf(control.Link{Unix: "/a"}), kindOf(control.Link{Net: "192.0.2.1:4000"})}
	if !slices.Equal(got, []string{"fd", "unix", "net"}) {
		t.Errorf("got %v", got)
	}
}
