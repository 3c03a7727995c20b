package control

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const testSecret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func TestSecret(t *testing.T) {
	for _, tc := range []struct {
		text string
		ok   bool
	}{
		{testSecret, true},
		{strings.ToUpper(testSecret), false},
		{testSecret[2:], false},
		{testSecret + "00", false},
		{"", false},
		{testSecret[:63] + "g", false},
		{testSecret[:62] + "é", false},
	} {
		var s Secret
		if err := s.UnmarshalText([]byte(tc.text)); (err == nil) != tc.ok {
			t.Errorf("%q: %v, want ok %v", tc.text, err, tc.ok)
		} else if out, _ := s.MarshalText(); tc.ok && string(out) != tc.text {
			t.Errorf("%q is written %q", tc.text, out)
		}
	}
}

// The forms of the wire, as they are written in PROTOCOL.md.
func TestDirectForms(t *testing.T) {
	uid, fd := uint32(1000), 0
	var secret Secret
	if err := secret.UnmarshalText([]byte(testSecret)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		v    any
		want string
	}{
		{&ChannelDirectResult{Links{Secret: secret, Links: []Link{{FD: &fd}, {Unix: "/d/s", UID: &uid}, {Net: "192.0.2.1:4000"}}, Survive: true}},
			`{"direct":{"secret":"` + testSecret + `","links":[{"fd":0},{"unix":"/d/s","uid":1000},{"net":"192.0.2.1:4000"}],"survive":true}}`},
		{&ChannelLinkArgs{"00ff", LinkAsk{Secret: secret, Kinds: []string{"unix"}, UID: &uid, Resume: 5}},
			`{"channel":"00ff","direct":{"secret":"` + testSecret + `","kinds":["unix"],"uid":1000,"resume":5}}`},
		{&ChannelLinkResult{LinkAnswer{Unix: "/d/s", Net: 4000, FD: true}}, `{"direct":{"unix":"/d/s","net":4000,"fd":true}}`},
		{&ChannelFDArgs{Channel: "00ff"}, `{"channel":"00ff","fd":0}`},
		{&ChannelDirectArgs{Channel: "00ff", Direct: []string{"fd", "net"}}, `{"channel":"00ff","direct":["fd","net"]}`},
		{&ChannelMovedArgs{Channel: "00ff", Link: "net"}, `{"channel":"00ff","link":"net"}`},
		{&ChannelClosedArgs{Channel: "00ff", Sent: 1}, `{"channel":"00ff","sent":1,"received":0}`},
		{&AdoptResult{Keep: []string{"00ff"}, Drop: []string{}}, `{"keep":["00ff"],"drop":[]}`},
		{&ChannelsList{Channels: []ChannelInfo{}, More: true}, `{"channels":[],"more":true}`},
	} {
		raw, err := json.Marshal(tc.v)
		if err != nil || string(raw) != tc.want {
			t.Errorf("%T is\n%s (%v), want\n%s", tc.v, raw, err, tc.want)
		}
		back := reflect.New(reflect.TypeOf(tc.v).Elem()).Interface()
		if err := DecodeAnswer(raw, back); err != nil || !reflect.DeepEqual(back, tc.v) {
			t.Errorf("%s comes back as %+v, %v", raw, back, err)
		}
	}
}

func TestDecodeNested(t *testing.T) {
	for _, tc := range []struct {
		name, arg string
		want      Args // nil for bad_request
	}{
		{"adopt", `{"channels":[{"channel":"00ff","role":"caller","name":"a","link":"net","future":1}]}`,
			&AdoptArgs{[]Adopt{{Channel: "00ff", Role: "caller", Name: "a", Link: "net"}}}},
		{"adopt in another case", `{"channels":[{"Channel":"00ff","ROLE":"caller"}]}`, &AdoptArgs{[]Adopt{{}}}},
		{"adopt of no objects", `{"channels":["00ff"]}`, nil},
		{"adopt of a null", `{"channels":[null]}`, nil},
		{"adopt with a bad key", `{"channels":[{"peer":"@x"}]}`, nil},
		{"direct", `{"channel":"00ff","direct":["fd","warp"]}`, &ChannelDirectArgs{Channel: "00ff", Direct: []string{"fd", "warp"}}},
		{"direct of no list", `{"channel":"00ff","direct":"fd"}`, nil},
		{"offer's answer", `{"direct":{"unix":"/a","NET":5,"net":4000},"sealed":true}`,
			&OfferResult{Direct: &LinkAnswer{Unix: "/a", Net: 4000}, Sealed: true}},
		{"offer's answer with a bad port", `{"direct":{"net":"4000"}}`, nil},
		{"offer's answer with a port and a half", `{"direct":{"net":4000.5}}`, nil},
		{"link's answer", `{"direct":{"fd":true}}`, &ChannelLinkResult{LinkAnswer{FD: true}}},
		{"link's answer is a list", `{"direct":[]}`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kind := reflect.TypeFor[AdoptArgs]()
			switch name, _, _ := strings.Cut(tc.name, " "); name {
			case "direct":
				kind = reflect.TypeFor[ChannelDirectArgs]()
			case "offer's":
				kind = reflect.TypeFor[OfferResult]()
			case "link's":
				kind = reflect.TypeFor[ChannelLinkResult]()
			}
			got := reflect.New(kind).Interface().(Args)
			err := Decode([]json.RawMessage{json.RawMessage(tc.arg)}, got)
			if (err == nil) != (tc.want != nil) {
				t.Fatalf("got %v", err)
			}
			if err == nil && !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// A callee's answer is any bytes.
func TestDecodeResults(t *testing.T) {
	for _, text := range []string{``, `{`, `{"direct":`, `true`, `[]`, `{}x`, `{"sealed":1}`} {
		if _, err := DecodeOfferResult([]byte(text)); err == nil {
			t.Errorf("offer: %q is taken", text)
		}
		if text == `{"sealed":1}` {
			continue
		}
		if _, err := DecodeLinkResult([]byte(text)); err == nil {
			t.Errorf("link: %q is taken", text)
		}
	}
	if res, err := DecodeOfferResult([]byte(` {"require":true,"x":[{}],"sealed":true} `)); err != nil || !res.Require || !res.Sealed || res.Direct != nil {
		t.Errorf("got %+v, %v", res, err)
	}
}
