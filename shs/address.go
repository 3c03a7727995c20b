package shs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrAddress is returned for a text that is not a list of addresses. Its text
// never repeats what it read: an address of SSB may hold a secret.
var ErrAddress = errors.New("shs: bad address")

// maxUnixPath is the longest path of a Unix socket in bytes: Linux's sun_path
// without its final zero. Darwin's is shorter by 4; there dialling says so.
const maxUnixPath = 107

// Address says where a server is and who it is (PROTOCOL.md §1).
type Address struct {
	Network string    // "unix" or "net"
	Addr    string    // the path, or host:port as net.Dial takes it
	Key     PublicKey // of the server
}

// String returns the multiserver form: unix:PATH~shs:KEY or
// net:HOST:PORT~shs:KEY, an IPv6 host without brackets, as multiserver has it.
func (a Address) String() string {
	where := a.Addr
	if host, port, err := net.SplitHostPort(a.Addr); a.Network == "net" && err == nil {
		where = host + ":" + port
	}
	return a.Network + ":" + escaper.Replace(where) + "~shs:" + base64.StdEncoding.EncodeToString(a.Key[:])
}

// escaper writes what would end an address. A colon needs none: neither a path
// nor a host is split at it.
var escaper = strings.NewReplacer("!", "!!", ";", "!;", "~", "!~")

// FormatAddresses joins addresses with semicolons.
func FormatAddresses(addrs []Address) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ";")
}

// ParseAddresses reads one address or several joined with semicolons, to be
// tried in order. Those of a protocol that is not ours are skipped; if none is
// left, or one of ours is wrong, the error is an ErrAddress.
func ParseAddresses(s string) ([]Address, error) {
	return parseAddresses(s, PublicKey.Check)
}

func parseAddresses(s string, check func(PublicKey) error) ([]Address, error) {
	var addrs []Address
	for i, text := range splitUnescaped(s, ';') {
		a, ok, err := parseAddress(text, check)
		if err != nil {
			return nil, fmt.Errorf("%w: address %d: %w", ErrAddress, i+1, err)
		}
		if ok {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w: none of unix:PATH~shs:KEY or net:HOST:PORT~shs:KEY", ErrAddress)
	}
	return addrs, nil
}

// parseAddress reads one address; ok is false if it is of a foreign protocol.
func parseAddress(s string, check func(PublicKey) error) (a Address, ok bool, err error) {
	layers := splitUnescaped(s, '~')
	network, where, _ := strings.Cut(layers[0], ":")
	switch {
	case !isProtocol(network):
		return a, false, errors.New("it does not begin with a protocol such as net")
	case network != "unix" && network != "net":
		return a, false, nil
	case len(layers) == 1:
		return a, false, errors.New("it has no ~shs:KEY")
	}
	shs, key, _ := strings.Cut(layers[1], ":")
	if !isProtocol(shs) {
		return a, false, errors.New("behind ~ is no protocol")
	}
	if shs != "shs" {
		return a, false, nil
	}
	if len(layers) > 2 {
		return a, false, errors.New("there is something behind ~shs:KEY")
	}
	a.Network = network
	if network == "unix" {
		a.Addr, err = parsePath(where)
	} else {
		a.Addr, err = parseHostPort(where)
	}
	if err != nil {
		return Address{}, false, err
	}
	if strings.Contains(key, ":") {
		return Address{}, false, errors.New("it holds a seed, which is not supported; it may be secret, take care of it")
	}
	k, ok := decodeKey(key)
	if !ok {
		return Address{}, false, errors.New("its key is not 44 characters of base64 (32 bytes)")
	}
	a.Key = k
	if err := check(a.Key); err != nil {
		return Address{}, false, err
	}
	return a, true, nil
}

// isProtocol says whether s is the name of a multiserver protocol.
func isProtocol(s string) bool {
	if len(s) < 2 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func parsePath(s string) (string, error) {
	path, err := unescape(s)
	switch {
	case err != nil:
		return "", err
	case path == "":
		return "", errors.New("it has no path")
	case path[0] == '@':
		return "", errors.New("abstract sockets are not supported; write ./@ for a file of that name")
	case strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", errors.New("its path has a control character")
	case len(path) > maxUnixPath:
		return "", fmt.Errorf("its path has %d bytes, a Unix socket can have %d: choose a shorter one", len(path), maxUnixPath)
	}
	return path, nil
}

// parseHostPort splits at the last colon, since multiserver writes IPv6 without
// brackets; it takes brackets, too.
func parseHostPort(s string) (string, error) {
	s, err := unescape(s)
	if err != nil {
		return "", err
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", errors.New("it has no port")
	}
	host, port := s[:i], s[i+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "", errors.New("its port is not a number from 1 to 65535")
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(inner, ":") {
			return "", errors.New("brackets are for an IPv6 address")
		}
		host = inner
	}
	if host == "" {
		host = "localhost" // as multiserver has it
	}
	if ip, err := netip.ParseAddr(host); err == nil && strings.Trim(ip.Zone(), hostChars) == "" {
		return net.JoinHostPort(host, port), nil
	}
	if len(host) > 253 || strings.Trim(host, hostChars) != "" {
		return "", errors.New("its host is neither a name nor an IP address")
	}
	return net.JoinHostPort(host, port), nil
}

// hostChars are those of names in the DNS as it is in use.
const hostChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

// splitUnescaped splits at each sep that no ! stands before.
func splitUnescaped(s string, sep byte) []string {
	var parts []string
	begin := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '!':
			i++
		case sep:
			parts = append(parts, s[begin:i])
			begin = i + 1
		}
	}
	return append(parts, s[begin:])
}

// unescape takes the ! away that stands before one of ! : ; ~
func unescape(s string) (string, error) {
	if !strings.Contains(s, "!") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '!' {
			if i++; i == len(s) || !strings.ContainsRune("!:;~", rune(s[i])) {
				return "", errors.New("a ! stands before none of ! : ; ~")
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), nil
}
