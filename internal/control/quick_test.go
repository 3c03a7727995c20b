package control

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/cad2f06c/switchboard/muxrpc"
	"github.com/cad2f06c/switchboard/shs"
)

const testKey = `"@AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=.ed25519"`

// quickArgs are the arguments that quick knows.
func quickArgs() []Args {
	return []Args{&ConnectArgs{}, &OfferArgs{}, &AcceptArgs{}, &ChannelCloseArgs{}}
}

// FuzzQuick: what the quick way takes the general one takes too, with the same
// result.
func FuzzQuick(f *testing.F) {
	for _, s := range []string{
		`{"to":"a.b","key":` + testKey + `,"epoch":7,"meta":{"a":[1, "x"]},"require":true,"sealed":false,"timeout_ms":100}`,
		`{"to":"a","direct":["fd","unix"],"resume":65536}`, `{"to":"a","direct":null}`, `{"to":"a","resume":-1}`, `{"to":"a","direct":[]}`,
		`{"channel":"00","require":true,"sealed":true,"direct":{"secret":"00"}}`, `{"channel":"00","sealed":true,"require":true}`,
		`{"to":"a","to":"b"}`, `{"to":"a","future":1}`, `{"to":null}`, `{"to":"a","timeout_ms":9999999999999999999}`, `{"to":"a","epoch":-1}`,
		`{"channel":"00","token":"x","name":"a","epoch":3,"peer":{"id":` + testKey + `,"session":":1","names":["a","b"],"level":"l","tenant":"t"},"meta":null}`,
		`{"channel":"00","peer":{"ID":` + testKey + `}}`, `{"channel":"00","peer":{"names":null}}`, `{"channel":"00","peer":{"id":"@"}}`,
		`{"channel":"00","peer":{"id":` + testKey + `,"name":"a","session":":2","epoch":9}}`,
		`{"channel":"00","token":"x"}`, ` { "channel" : "00" , "reason" : "peer_gone" } `, `{}`, `[]`, `"channel"`, `{"channel":"\u0030"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for i, got := range quickArgs() {
			if !quick([]byte(s), got) {
				if !reflect.DeepEqual(got, quickArgs()[i]) {
					t.Fatalf("%s into %T: not taken, and left %+v", s, got, got)
				}
				continue
			}
			// As on a lane: the packet is checked before.
			req, err := muxrpc.ParseRequest(muxrpc.Packet{Flags: muxrpc.FlagJSON, Req: 1, Body: []byte(`{"name":"a","args":[` + s + `]}`)})
			if err != nil || len(req.Args) != 1 {
				t.Fatalf("%s into %T: taken, and no request: %v", s, got, err)
			}
			want := quickArgs()[i]
			if err := decodeFields(req.Args[0], want); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: got %+v, want %+v, %v", s, got, want, err)
			}
		}
		for _, got := range []any{&ConnectResult{}, &AcceptResult{}} {
			if !quick([]byte(s), got) {
				continue
			}
			want := reflect.New(reflect.TypeOf(got).Elem()).Interface()
			if err := json.Unmarshal([]byte(s), want); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: got %+v, want %+v, %v", s, got, want, err)
			}
		}
	})
}

// What is written in the life of a channel is read the quick way.
func TestQuickTakesOurOwn(t *testing.T) {
	key := shs.PublicKey{1, 2, 3}
	epoch, ms := uint64(1790000000000001), int64(2500)
	for _, tc := range []struct {
		wrote Body
		read  any
	}{
		{&ConnectArgs{To: "org.example.echo"}, &ConnectArgs{}},
		{&ConnectArgs{To: ":17", Key: &key, Epoch: &epoch, Meta: json.RawMessage(`{"a":1}`), TimeoutMS: &ms}, &ConnectArgs{}},
		{&ConnectArgs{To: "a", Direct: []string{"unix", "net"}, Resume: 1 << 20, Require: true, Sealed: true}, &ConnectArgs{}},
		{&ConnectResult{Channel: "00ff", Sealed: true}, &ConnectResult{}},
		{&OfferArgs{Channel: "00ff", Peer: Caller{Names: []string{}}, Require: true, Sealed: true}, &OfferArgs{}},
		{&ConnectResult{Channel: "00ff", Peer: Callee{ID: key, Name: "a", Session: ":1", Epoch: epoch}}, &ConnectResult{}},
		{&OfferArgs{Channel: "00ff", Name: "a", Epoch: epoch, Peer: Caller{ID: key, Session: ":2", Names: []string{"b"}}}, &OfferArgs{}},
		{&AcceptArgs{Channel: "00ff", Token: "aa"}, &AcceptArgs{}},
		{&AcceptResult{Channel: "00ff"}, &AcceptResult{}},
		{&ChannelCloseArgs{Channel: "00ff", Reason: "quota"}, &ChannelCloseArgs{}},
	} {
		raw := tc.wrote.AppendJSON(nil)
		if !quick(raw, tc.read) || !reflect.DeepEqual(tc.read, any(tc.wrote)) {
			t.Errorf("%s read as %+v", raw, tc.read)
		}
	}
}

func BenchmarkDecodeOffer(b *testing.B) {
	o := OfferArgs{Channel: "5f0c2a9be1d34780a6b1c2d3e4f50617", Name: "org.example.echo", Epoch: 1790000000000001,
		Peer: Caller{Session: ":18", Names: []string{"org.example.caller"}, Level: "trusted"}}
	raw := o.AppendJSON(nil)
	for name, f := range map[string]func(json.RawMessage, Args) error{
		"quick":   func(raw json.RawMessage, v Args) error { quick(raw, v); return nil },
		"general": decodeFields,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var got OfferArgs
				if err := f(raw, &got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
