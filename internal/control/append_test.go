package control_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/internal/control"
	"pgregory.net/rapid"
)

// anyBody draws one of the bodies that write themselves.
func anyBody(t *rapid.T) control.Body {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "a.b", ":17", "<&>\u2028"}), rapid.String())
	some := func(name string) string { return text.Draw(t, name) }
	var meta json.RawMessage
	if rapid.Bool().Draw(t, "has meta") {
		meta = json.RawMessage(rapid.SampledFrom([]string{`null`, `{"a":[1,"x"]}`, ` { "a" : "b c" } `, `"<é"`, `1e9`}).Draw(t, "meta"))
	}
	switch rapid.IntRange(0, 8).Draw(t, "which") {
	case 0:
		a := &control.ConnectArgs{To: some("to"), Meta: meta, Require: rapid.Bool().Draw(t, "require"), Sealed: rapid.Bool().Draw(t, "sealed")}
		if rapid.Bool().Draw(t, "has more") {
			key, epoch, ms := anyKey(t), rapid.Uint64().Draw(t, "epoch"), rapid.Int64().Draw(t, "ms")
			a.Key, a.Epoch, a.TimeoutMS = &key, &epoch, &ms
			a.Direct, a.Resume = rapid.SliceOfN(text, 0, 3).Draw(t, "direct"), rapid.Int64().Draw(t, "resume")
		}
		return a
	case 1:
		r := &control.ConnectResult{Channel: some("channel"), Sealed: rapid.Bool().Draw(t, "sealed"),
			Peer: control.Callee{ID: anyKey(t), Name: some("name"), Session: some("session"), Epoch: rapid.Uint64().Draw(t, "epoch")}}
		if rapid.Bool().Draw(t, "has links") {
			uid, index := rapid.Uint32().Draw(t, "uid"), rapid.IntRange(0, 3).Draw(t, "index")
			r.Direct = &control.Links{Secret: anySecret(t), Links: []control.Link{{FD: &index}, {Unix: some("path"), UID: &uid}, {Net: some("address")}}}
		}
		return r
	case 2:
		o := &control.OfferArgs{Channel: some("channel"), Token: some("token"), Name: some("name"), Epoch: rapid.Uint64().Draw(t, "epoch"), Meta: meta,
			Peer: control.Caller{ID: anyKey(t), Session: some("session"), Level: some("level"), Tenant: some("tenant")}}
		if rapid.Bool().Draw(t, "has names") {
			o.Peer.Names = rapid.SliceOfN(text, 0, 3).Draw(t, "names")
		}
		o.Require, o.Sealed = rapid.Bool().Draw(t, "require"), rapid.Bool().Draw(t, "sealed")
		if rapid.Bool().Draw(t, "has direct") {
			ask := anyAsk(t)
			o.Direct = &ask
		}
		return o
	case 3:
		return &control.AcceptArgs{Channel: some("channel"), Token: some("token")}
	case 4:
		return &control.AcceptResult{Channel: some("channel")}
	case 6:
		return &control.ChannelLinkArgs{Channel: some("channel"), Direct: anyAsk(t)}
	case 7:
		return &control.GoingAwayArgs{DrainMS: rapid.Int64().Draw(t, "drain")}
	case 5:
		return &control.ChannelCloseArgs{Channel: some("channel"), Reason: some("reason")}
	}
	r := control.OfferResult{Require: rapid.Bool().Draw(t, "require"), Sealed: rapid.Bool().Draw(t, "sealed")}
	if rapid.Bool().Draw(t, "has answer") {
		r.Direct = &control.LinkAnswer{Unix: some("path"), Net: rapid.Int().Draw(t, "port"), FD: rapid.Bool().Draw(t, "fd"), Resume: rapid.Int64().Draw(t, "resume")}
	}
	return r
}

func anySecret(t *rapid.T) control.Secret {
	return control.Secret(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret"))
}

func anyAsk(t *rapid.T) control.LinkAsk {
	ask := control.LinkAsk{Secret: anySecret(t), Kinds: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "kinds"),
		Resume: rapid.Int64().Draw(t, "resume"), Survive: rapid.Bool().Draw(t, "survive")}
	if rapid.Bool().Draw(t, "has uid") {
		uid := rapid.Uint32().Draw(t, "uid")
		ask.UID = &uid
	}
	return ask
}

// Bodies and requests are what package json writes.
func TestAppendBodies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := anyBody(t)
		want, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if got := body.AppendJSON([]byte("before")); string(got) != "before"+string(want) {
			t.Fatalf("got\n%s, want\n%s", got, want)
		}
		method := rapid.SampledFrom([]string{"connect", "names.claim", "a.b.c", "", "<."}).Draw(t, "method")
		kind := rapid.SampledFrom([]string{"async", "duplex"}).Draw(t, "kind")
		var arg any = body
		if rapid.Bool().Draw(t, "another argument") {
			arg = map[string]int{"a": 1}
		}
		want, err = json.Marshal(struct {
			Name []string `json:"name"`
			Args []any    `json:"args"`
			Type string   `json:"type"`
		}{strings.Split(method, "."), []any{arg}, kind})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := control.AppendRequest([]byte("x"), method, kind, arg); err != nil || string(got) != "x"+string(want) {
			t.Fatalf("got\n%s (%v), want\n%s", got, err, want)
		}
	})
}
