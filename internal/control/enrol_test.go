package control

import (
	"reflect"
	"strings"
	"testing"
)

func TestEnrolFields(t *testing.T) {
	for _, a := range []Args{&PeerArgs{}, &PeersListArgs{}, &ExplainArgs{}, &InviteArgs{}, &RedeemArgs{}, &RotateArgs{}} {
		v := reflect.ValueOf(a).Elem()
		for i := range v.NumField() {
			tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if a.field(tag) != v.Field(i).Addr().Interface() {
				t.Errorf("%s of %T is not found", tag, a)
			}
		}
		if a.field("Key") != nil {
			t.Errorf("%T has a field of no name", a)
		}
	}
}
