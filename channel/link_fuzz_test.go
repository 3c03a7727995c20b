package channel

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzLinkAddr: what passes as a path or an address of the other end's is safe
// to use, and has one spelling.
func FuzzLinkAddr(f *testing.F) {
	for _, s := range []string{
		"", "/", "/a", "/a/", "/a//b", "/a/../b", "/.", "a", "@a", "\x00a", "/a\x00", "/a\xff", "/é", "/" + strings.Repeat("a", 106),
		"/" + strings.Repeat("a", 107), "127.0.0.1:7483", "[::1]:7483", "192.0.2.1:1023", "192.0.2.1:1024", "192.0.2.1:65535",
		"[2001:db8::1]:7483", "[2001:DB8::1]:7483", "[fe80::1%lo]:7483", "[::ffff:192.0.2.1]:7483", "0.0.0.0:7483", "255.255.255.255:7483",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if err := checkPath(s); err == nil {
			if !filepath.IsAbs(s) || filepath.Clean(s) != s || len(s) > 107 || !utf8.ValidString(s) ||
				strings.ContainsFunc(s, func(r rune) bool { return r < 0x80 && unicode.IsControl(r) }) {
				t.Errorf("the path %q passed", s)
			}
		} else if !errors.Is(err, errPath) {
			t.Errorf("%q: %v", s, err)
		}
		ap, err := parseHostPort(s)
		if err != nil {
			if !errors.Is(err, errAddr) || ap != (netip.AddrPort{}) {
				t.Errorf("%q: %v, %v", s, ap, err)
			}
			return
		}
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			t.Fatalf("%q passed: %v", s, err)
		}
		ip, n := net.ParseIP(host), 0
		if n, err = strconv.Atoi(port); err != nil || n < 1024 || n > 65535 || strconv.Itoa(n) != port {
			t.Errorf("port of %q passed", s)
		}
		if ip == nil || ip.String() != host || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() {
			t.Errorf("IP of %q passed", s)
		}
	})
}
