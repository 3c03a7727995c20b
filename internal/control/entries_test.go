package control_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/shs"
)

// listText is a page of n names as the server writes it.
func listText(n int) []byte {
	b := []byte(`{"rev":1790000000000000,"names":[`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = control.AppendEntry(b, &control.Entry{Name: fmt.Sprintf("org.example.plugin%d", i), ID: shs.PublicKey{byte(i)}, Session: control.FormatSession(uint64(i)),
			Since: 1790000000000, Epoch: 1790000000000000, Transport: "unix", Waiters: i % 2})
	}
	return append(b, `],"more":true}`...)
}

// What ReadJSON takes is what package json reads, and it takes what our server writes.
func FuzzReadList(f *testing.F) {
	f.Add(listText(0))
	f.Add(listText(3))
	f.Add([]byte(`{"rev":1,"names":[{"name":"a","since":9223372036854775808}]}`))
	f.Add([]byte(`{"names":[],"names":[]}`))
	f.Add([]byte(` { "more" : false, "names" : [ {"info":[1,{"a":"b"}],"transport":"local"} ] } `))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want control.ListResult
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

func TestReadList(t *testing.T) {
	var page control.ListResult
	if !page.ReadJSON(listText(100)) || len(page.Names) != 100 || page.Names[99].Name != "org.example.plugin99" || !page.More {
		t.Errorf("got %d names", len(page.Names))
	}
	for _, text := range []string{`{"rev":1,"names":[{"name":"\u0061"}]}`, `{"Rev":1}`, `{"names":null}`, `{"names":[{"name":"a","name":"b"}]}`, `{"names":[]} ` + `x`} {
		if page.ReadJSON([]byte(text)) {
			t.Errorf("%s is taken", text)
		}
	}
}

func BenchmarkReadList(b *testing.B) {
	text := listText(1000)
	b.Run("quick", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var page control.ListResult
			if !page.ReadJSON(text) {
				b.Fatal("not taken")
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var page control.ListResult
			if err := json.Unmarshal(text, &page); err != nil {
				b.Fatal(err)
			}
		}
	})
}
