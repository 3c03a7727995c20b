package mux

import (
	"encoding/hex"
	"errors"
	"testing"
)

var goldenFrames = []struct {
	name string
	hex  string
	h    header
}{
	{"open", "000100010000000100000000", header{typeWindow, flagSYN, 1, 0}},
	{"accept", "000100020000000100000000", header{typeWindow, flagACK, 1, 0}},
	{"data", "000000000000000100004000", header{typeData, 0, 1, 16384}},
	{"data that opens and ends", "000000050000000300000005", header{typeData, flagSYN | flagFIN, 3, 5}},
	{"window update", "0001000000000002000a0000", header{typeWindow, 0, 2, 655360}},
	{"end", "000100040000000200000000", header{typeWindow, flagFIN, 2, 0}},
	{"reset", "00010008ffffffff00000000", header{typeWindow, flagRST, 1<<32 - 1, 0}},
	{"ping", "000200010000000000000007", header{typePing, flagSYN, 0, 7}},
	{"pong", "000200020000000000000007", header{typePing, flagACK, 0, 7}},
	{"go away", "000300000000000000000001", header{typeGoAway, 0, 0, goAwayProtocol}},
}

func TestHeaderGolden(t *testing.T) {
	for _, g := range goldenFrames {
		t.Run(g.name, func(t *testing.T) {
			if got := hex.EncodeToString(g.h.appendTo(nil)); got != g.hex {
				t.Errorf("encoded: got %s, want %s", got, g.hex)
			}
			if got, err := parseHeader(unhex(t, g.hex)); got != g.h || err != nil {
				t.Errorf("parsed: got %+v, %v, want %+v", got, err, g.h)
			}
		})
	}
}

func TestHeaderRefused(t *testing.T) {
	for name, h := range map[string]string{
		"version 1":          "010000000000000100000000",
		"type 4":             "000400000000000100000000",
		"data of stream 0":   "000000000000000000000001",
		"window of stream 0": "000100010000000000000001",
		"ping of a stream":   "000200010000000100000000",
		"go-away of stream":  "000300000000000100000000",
	} {
		if _, err := parseHeader(unhex(t, h)); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: got %v, want ErrProtocol", name, err)
		}
	}
}

func unhex(t *testing.T, s string) (b [headerSize]byte) {
	t.Helper()
	if n, err := hex.Decode(b[:], []byte(s)); n != headerSize || err != nil {
		t.Fatalf("%q is no header: %v", s, err)
	}
	return b
}

func FuzzHeader(f *testing.F) {
	for _, g := range goldenFrames {
		f.Add(g.h.appendTo(nil))
	}
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerSize {
			return
		}
		in := [headerSize]byte(b)
		h, err := parseHeader(in)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("got %v, want ErrProtocol", err)
			}
			return
		}
		if out := [headerSize]byte(h.appendTo(nil)); out != in {
			t.Errorf("parsed % x, encoded % x", in, out)
		}
	})
}
