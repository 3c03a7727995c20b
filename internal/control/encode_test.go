package control_test

import (
	"encoding/json"
	"testing"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
	"pgregory.net/rapid"
)

// anyEntry draws an Entry; texts are of all kinds, info is compact JSON.
func anyEntry(t *rapid.T) *control.Entry {
	e := &control.Entry{
		Name:      rapid.OneOf(rapid.SampledFrom([]string{"a.b", "org.example.plugin-1_X"}), rapid.String()).Draw(t, "name"),
		ID:        anyKey(t),
		Session:   control.FormatSession(rapid.Uint64().Draw(t, "session")),
		Since:     rapid.Int64().Draw(t, "since"),
		Epoch:     rapid.Uint64().Draw(t, "epoch"),
		Transport: rapid.SampledFrom([]string{"unix", "net", "local", "<x>"}).Draw(t, "transport"),
		Waiters:   rapid.IntRange(0, 3).Draw(t, "waiters"),
	}
	if rapid.Bool().Draw(t, "has info") {
		e.Info = json.RawMessage(rapid.SampledFrom([]string{`null`, `{"a":[1,"x"]}`, `""`}).Draw(t, "info"))
	}
	return e
}

func anyKey(t *rapid.T) shs.PublicKey {
	return shs.PublicKey(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
}

// What is written by hand is what package json writes.
func TestAppend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := control.Event{
			Rev:  rapid.Uint64().Draw(t, "rev"),
			Type: rapid.SampledFrom([]string{"connected", "disconnected", "synced"}).Draw(t, "type"),
			Name: rapid.SampledFrom([]string{"", "a.b"}).Draw(t, "event's name"),
		}
		if rapid.Bool().Draw(t, "has entry") {
			ev.Entry = anyEntry(t)
		}
		if rapid.Bool().Draw(t, "has was") {
			ev.Was = &control.Was{ID: anyKey(t), Session: control.FormatSession(rapid.Uint64().Draw(t, "was")), Epoch: rapid.Uint64().Draw(t, "was epoch")}
		}
		want, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		if got := control.AppendEvent([]byte("before"), &ev); string(got) != "before"+string(want) {
			t.Fatalf("got\n%s, want\n%s", got, want)
		}
	})
}

func TestAppendResults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		same := func(got []byte, v any) {
			t.Helper()
			if want, err := json.Marshal(v); err != nil || string(got) != string(want) {
				t.Fatalf("got\n%s, want\n%s (%v)", got, want, err)
			}
		}
		some := rapid.SampledFrom([]string{"", "a.b", "1.0 \"x\" <é>"})
		who := control.WhoAmI{
			ID: anyKey(t), Session: some.Draw(t, "session"), Names: append([]string{}, rapid.SliceOfN(some, 0, 3).Draw(t, "names")...), Level: some.Draw(t, "level"),
			Server: control.ServerInfo{ID: anyKey(t), Version: some.Draw(t, "version"), Protocol: "1", Started: rapid.Int64().Draw(t, "started")},
		}
		same(control.AppendWhoAmI(nil, &who), who)
		claim := control.ClaimResult{Name: some.Draw(t, "name"), State: some.Draw(t, "state"), Epoch: rapid.Uint64().Draw(t, "epoch"), Rev: 7}
		same(control.AppendClaimResult(nil, &claim), claim)
		rev := control.RevResult{Name: claim.Name, Rev: claim.Epoch}
		same(control.AppendRevResult(nil, &rev), rev)
	})
}

func BenchmarkAppendEntry(b *testing.B) {
	e := &control.Entry{Name: "org.example.plugin77", Session: ":123456", Since: 1790000000000, Epoch: 1790000000000000, Transport: "unix"}
	b.Run("append", func(b *testing.B) {
		var buf []byte
		for b.Loop() {
			buf = control.AppendEntry(buf[:0], e)
		}
	})
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			if _, err := json.Marshal(e); err != nil {
				b.Fatal(err)
			}
		}
	})
}
