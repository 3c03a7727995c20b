package control_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// greeting is a WhoAmI with all fields set.
func greeting(names ...string) control.WhoAmI {
	return control.WhoAmI{ID: shs.PublicKey{1}, Session: ":17", Names: append([]string{}, names...), Level: "trusted",
		Server: control.ServerInfo{ID: shs.PublicKey{2}, Version: "1.2.3", Protocol: control.Version, Started: 1790000000000}}
}

// What ReadJSON takes is what package json reads.
func FuzzReadWhoAmI(f *testing.F) {
	for _, names := range [][]string{nil, {"org.example.a"}, {"a", "b"}} {
		who := greeting(names...)
		f.Add(control.AppendWhoAmI(nil, &who))
	}
	for _, text := range []string{`{}`, `{"id":"@"}`, `{"names":null}`, `{"names":[],"names":[]}`, `{"server":{"started":9223372036854775808}}`,
		`{"server":{"started":-1}}`, `{"server":{"lease_ms":5000,"spread_ms":8000}}`, `{"server":{"version":"a","version":"b"}}`, ` { "level" : "a" , "server" : { } } `, `{"Level":"a"}`, `{"level":"\u0061"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want control.WhoAmI
		if !got.ReadJSON(text) {
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s is not taken, but in part: %+v", text, got)
			}
			return
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%s is taken, json says %v", text, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %+v, json %+v", text, got, want)
		}
	})
}

// TestReadWhoAmI: what our server writes is taken; the unusual is left to the
// general way.
func TestReadWhoAmI(t *testing.T) {
	for _, names := range [][]string{nil, {"org.example.a", "org.example.b"}} {
		want := greeting(names...)
		if names != nil {
			want.Tenant, want.Server.LeaseMS, want.Server.SpreadMS = "acme", 5000, 8000
		}
		var got control.WhoAmI
		if text := control.AppendWhoAmI(nil, &want); !got.ReadJSON(text) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
	for _, text := range []string{`{"future":1}`, `{"Level":"a"}`, `{"names":null}`, `{"level":"a","level":"b"}`, `{"server":{"future":1}}`, `{"level":"\u0061"}`, `{} x`} {
		if new(control.WhoAmI).ReadJSON([]byte(text)) {
			t.Errorf("%s is taken", text)
		}
	}
}

// BenchmarkReadWhoAmI is the greeting of a login, in one pass and by package json.
func BenchmarkReadWhoAmI(b *testing.B) {
	who := greeting()
	text := control.AppendWhoAmI(nil, &who)
	b.Run("quick", func(b *testing.B) {
		for b.Loop() {
			if !who.ReadJSON(text) {
				b.Fatal("not taken")
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			if err := json.Unmarshal(text, &who); err != nil {
				b.Fatal(err)
			}
		}
	})
}
