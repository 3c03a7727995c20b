package shs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseAddresses(t *testing.T) {
	key := bob.Public()
	b64 := base64.StdEncoding.EncodeToString(key[:])
	shs := "~shs:" + b64
	for _, tt := range []struct {
		in   string
		want []string // network and address
		out  string   // if it is not in
	}{
		{"unix:/run/switchboard/bus.sock" + shs, []string{"unix /run/switchboard/bus.sock"}, ""},
		{"unix:bus.sock" + shs, []string{"unix bus.sock"}, ""},
		{"unix:/a:b!~c!;d!!e" + shs, []string{"unix /a:b~c;d!e"}, ""},
		{"unix:/a!:b" + shs, []string{"unix /a:b"}, "unix:/a:b" + shs},
		{"net:example.org:7483" + shs, []string{"net example.org:7483"}, ""},
		{"net:127.0.0.1:7483" + shs, []string{"net 127.0.0.1:7483"}, ""},
		{"net:::1:7483" + shs, []string{"net [::1]:7483"}, ""},
		{"net:[::1]:7483" + shs, []string{"net [::1]:7483"}, "net:::1:7483" + shs},
		{"net:!:!:1:7483" + shs, []string{"net [::1]:7483"}, "net:::1:7483" + shs},
		{"net:fe80::1%eth0:7483" + shs, []string{"net [fe80::1%eth0]:7483"}, ""},
		{"net::7483" + shs, []string{"net localhost:7483"}, "net:localhost:7483" + shs},
		{"net:a:1" + shs + ";unix:/s" + shs, []string{"net a:1", "unix /s"}, ""},
		{"ws://a:1" + shs + ";net:a:1" + shs, []string{"net a:1"}, "net:a:1" + shs},
		{"net:a:1~noauth;net:a:2" + shs, []string{"net a:2"}, "net:a:2" + shs},
	} {
		got, err := ParseAddresses(tt.in)
		var flat []string
		for _, a := range got {
			flat = append(flat, a.Network+" "+a.Addr)
			if a.Key != key {
				t.Errorf("%s: key %v", tt.in, a.Key)
			}
		}
		if !slices.Equal(flat, tt.want) || err != nil {
			t.Errorf("%s: got %q, %v, want %q", tt.in, flat, err, tt.want)
		}
		if tt.out == "" {
			tt.out = tt.in
		}
		if out := FormatAddresses(got); out != tt.out {
			t.Errorf("%s: written as %s, want %s", tt.in, out, tt.out)
		}
	}
}

func TestParseAddressesBad(t *testing.T) {
	key := bob.Public()
	b64 := base64.StdEncoding.EncodeToString(key[:])
	shs := "~shs:" + b64
	const seed = "c2VjcmV0IHNlZWQgYmVsb25ncyB0byBub2JvZHk="
	for name, in := range map[string]string{
		"empty":              "",
		"no protocol":        "/run/s" + shs,
		"upper case":         "NET:a:1" + shs,
		"foreign only":       "ws://a:1" + shs + ";onion:b:2" + shs,
		"no key":             "net:a:1",
		"empty key":          "net:a:1~shs:",
		"short key":          "net:a:1~shs:" + b64[4:],
		"unpadded key":       "net:a:1~shs:" + b64[:43],
		"feed id":            "net:a:1~shs:" + key.String(),
		"seed":               "net:a:1" + shs + ":" + seed,
		"seed in the place":  "net:a:1~shs:" + seed + ":" + seed,
		"more layers":        "net:a:1" + shs + shs,
		"no transform":       "net:a:1~",
		"no port":            "net:a" + shs,
		"port 0":             "net:a:0" + shs,
		"port 65536":         "net:a:65536" + shs,
		"port +1":            "net:a:+1" + shs,
		"port 01":            "net:a:01" + shs,
		"port http":          "net:a:http" + shs,
		"host with space":    "net:a b:1" + shs,
		"host with slash":    "net:a/b:1" + shs,
		"host too long":      "net:" + strings.Repeat("a", 254) + ":1" + shs,
		"IPv6 that is none":  "net:1:2:3" + shs,
		"half a bracket":     "net:[::1:1" + shs,
		"bracketed name":     "net:[a]:1" + shs,
		"no path":            "unix:" + shs,
		"abstract":           "unix:@a" + shs,
		"NUL":                "unix:/a\x00" + shs,
		"path too long":      "unix:/" + strings.Repeat("a", 107) + shs,
		"escape at the end":  "unix:/a!" + shs,
		"escaped letter":     "unix:/!a" + shs,
		"trailing semicolon": "unix:/a" + shs + ";",
	} {
		got, err := ParseAddresses(in)
		if !errors.Is(err, ErrAddress) || got != nil {
			t.Errorf("%s: got %v, %v", name, got, err)
		} else if strings.Contains(fmt.Sprint(err), seed[:8]) {
			t.Errorf("%s: the error tells the seed: %v", name, err)
		}
	}
	if _, err := ParseAddresses("unix:/" + strings.Repeat("a", 106) + shs); err != nil {
		t.Errorf("the longest path: %v", err)
	}
}
