package channel

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// maxLinkPath is the longest path of a Unix socket in bytes: Linux's sun_path
// without its final zero. Darwin's is shorter by 4; there the kernel says so.
const maxLinkPath = 107

// minLinkPort is the lowest port of a link: those below are of the system's
// services.
const minLinkPort = 1024

var (
	errPath = errors.New("not the path of a link")
	errAddr = errors.New("not the address of a link")
)

// checkPath looks at the form of a socket's path. It comes from the other end:
// what it names is looked at by checkSocket.
func checkPath(p string) error {
	switch {
	case len(p) > maxLinkPath:
		return fmt.Errorf("%w: %d bytes, more than %d", errPath, len(p), maxLinkPath)
	case p == "" || p[0] != '/':
		return fmt.Errorf("%w: not absolute", errPath)
	case path.Clean(p) != p:
		return fmt.Errorf("%w: not clean", errPath)
	case !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%w: not text", errPath)
	}
	return nil
}

// checkSocket refuses a path that does not name a socket in a directory which
// only uid can have put it into. A link in place of either is refused; who
// exchanges them between here and connect meets the check of the peer's uid, and
// then the handshake.
func checkSocket(p string, uid uint32) error {
	if err := checkDir(filepath.Dir(p), uid); err != nil {
		return err
	}
	info, err := os.Lstat(p)
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%w: %s is no socket", errPath, p)
	}
	return nil
}

// checkDir refuses whatever is not a directory that belongs to uid, and to
// nobody else.
func checkDir(dir string, uid uint32) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is no directory", errPath, dir)
	}
	if perm := info.Mode().Perm(); perm != 0o700 {
		return fmt.Errorf("%w: %s has mode %04o, not 0700", errPath, dir, perm)
	}
	owner, err := ownerOf(info)
	if err != nil {
		return err
	}
	if owner != uid {
		return fmt.Errorf("%w: %s belongs to uid %d, not %d", errPath, dir, owner, uid)
	}
	return nil
}

// parseHostPort reads "IP:PORT", of which there is one spelling. That a loopback
// address means this machine to both ends is for the server to know.
func parseHostPort(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: want IP:PORT", errAddr)
	}
	ip := ap.Addr()
	switch {
	case ap.String() != s:
		return netip.AddrPort{}, fmt.Errorf("%w: another spelling of %v", errAddr, ap)
	case ap.Port() < minLinkPort:
		return netip.AddrPort{}, fmt.Errorf("%w: port %d is below %d", errAddr, ap.Port(), minLinkPort)
	case ip.Zone() != "", ip.Is4In6(), ip.IsUnspecified(), ip.IsMulticast(), ip.IsLinkLocalUnicast(),
		ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.AddrPort{}, fmt.Errorf("%w: %v is not the address of one machine", errAddr, ip)
	}
	return ap, nil
}
