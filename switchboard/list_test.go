package switchboard_test

import (
	"strings"
	"testing"

	"github.com/cad2f06c/switchboard/switchboard"
)

// A brief list has the names alone, on the wire as PROTOCOL.md §5 has it.
func TestBriefList(t *testing.T) {
	bubble(t, switchboard.Limits{}, func(t *testing.T, h *host) {
		p := h.lane(1)
		if got := string(p.call(1, "names.list", `{"brief":true}`)); !strings.HasSuffix(got, `,"names":[]}`) {
			t.Errorf("got %s of nobody", got)
		}
		for i, name := range []string{"b.two", "a", "b.one"} {
			p.call(int32(2+i), "names.claim", `{"name":"`+name+`","info":{"x":1}}`)
		}
		for i, tt := range []struct{ args, want string }{
			{`{"brief":true}`, `"a","b.one","b.two"`},
			{`{"brief":true,"after":"a"}`, `"b.one","b.two"`},
			{`{"brief":true,"match":"b.*"}`, `"b.one","b.two"`},
			{`{"brief":true,"match":"c.*"}`, ``},
			{`{"brief":true,"after":"c"}`, ``},
		} {
			if got := string(p.call(int32(10+i), "names.list", tt.args)); !strings.HasPrefix(got, `{"rev":`) || !strings.HasSuffix(got, `,"names":[`+tt.want+`]}`) {
				t.Errorf("%s: got %s", tt.args, got)
			}
		}
		p.lane.Close()
	})
}
