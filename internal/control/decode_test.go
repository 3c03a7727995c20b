package control

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func all() []Args {
	return []Args{&ClaimArgs{}, &NameArgs{}, &UpdateArgs{}, &ListArgs{}, &WatchArgs{}, &ConnectArgs{}, &OfferArgs{}, &AcceptArgs{},
		&ChannelCloseArgs{}, &NoArgs{}, &ChannelDirectArgs{}, &ChannelLinkArgs{}, &ChannelMovedArgs{}, &ChannelClosedArgs{},
		&AdoptArgs{}, &Adopt{}, &ChannelsListArgs{}, &OfferResult{}, &ChannelLinkResult{}, &LinkAnswer{}, &ChannelFDArgs{}, &GoingAwayArgs{},
		&AfterArgs{}, &SessionCloseArgs{}, &AuditTailArgs{}}
}

// Every field of an argument is found by the name that its tag gives it.
func TestFields(t *testing.T) {
	for _, a := range all() {
		v := reflect.ValueOf(a).Elem()
		for i := range v.NumField() {
			tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if got := a.field(tag); got != v.Field(i).Addr().Interface() {
				t.Errorf("%s of %T is at %p, want %p", tag, a, got, v.Field(i).Addr().Interface())
			}
		}
		if a.field("Name") != nil || a.field("") != nil {
			t.Errorf("%T has a field of no name", a)
		}
	}
}

// FuzzDecode compares with package json for objects whose names have no capitals, which json takes for others.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"name":"a","queue":true,"info":{"a":[1,"]"]}}`, `{"to":"a","key":null,"epoch":7,"timeout_ms":-1,"meta":"\u0041"}`,
		` { "since" : 1 , "match":"**"} `, `{"channel":"x","peer":{"id":"@","names":["a"]}}`,
		`{"channel":"x","direct":["fd","unix"],"resume":7}`, `{"channel":"x","link":"net","sent":-1,"received":9}`, `{"net":7,"unix":"/a","fd":true}`,
		`{"channels":[]}`, `{"all":true,"after":"x"}`, `{"direct":{},"require":true,"sealed":null}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !json.Valid([]byte(s)) || s != strings.ToLower(s) || strings.Contains(s, `\u`) || strings.ContainsAny(s, "\u017f\u212a") || strings.ToValidUTF8(s, "") != s {
			return
		}
		var once map[string]json.RawMessage
		if json.Unmarshal([]byte(s), &once) != nil || once == nil || strings.Count(s, ":") > len(once) {
			return // no object, or one with a repeated or nested field
		}
		for i, got := range all() {
			want := all()[i]
			errWant := json.Unmarshal([]byte(s), want)
			err := Decode([]json.RawMessage{json.RawMessage(s)}, got)
			if (err == nil) != (errWant == nil) {
				t.Fatalf("%s into %T: %v, json: %v", s, got, err, errWant)
			}
			if err == nil && !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: got %+v, json %+v", s, got, want)
			}
		}
	})
}
