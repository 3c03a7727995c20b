package muxrpc

import (
	"reflect"
	"testing"
)

// FuzzQuickRequest: what the quick way takes the strict one takes too, with the same result.
func FuzzQuickRequest(f *testing.F) {
	for _, s := range []string{
		`{"name":["a","b","c"],"args":[{"x":[1,-2.5],"y":{"z":"1"}},null,true],"type":"async"}`,
		`{"name":"a","args":[],"type":"duplex"}`, ` { "name" : [ "" , "" ] , "args" : [ 1 , {} ] , "type" : "source" } `,
		`{"name":"a","args":[],"type":"async","args":[]}`, `{"name":"","name":"a","args":[],"type":"async"}`,
		`{"name":["a"],"args":[{"a":1,"a":2}],"type":"async"}`, `{"name":["a"],"args":[{"a":"\u0061"}],"type":"async"}`,
		`{"name":["a"],"args":[{"a":"é"}],"type":"async"}`, `{"name":["a"],"args":[1,],"type":"async"}`, `{"name":["a",1],"args":[],"type":"async"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := quickRequest(body)
		if !ok {
			return
		}
		if want, err := strictRequest(body); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, want %+v, %v", body, got, want, err)
		}
	})
}
