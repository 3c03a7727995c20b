package switchboard

import (
	"fmt"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
)

// TestUnnamed: so many under way to a session, and so many in all, until the callee
// has answered, the channel has moved, the session has ended, or 10 s.
func TestUnnamed(t *testing.T) {
	now := time.Unix(1, 0)
	a, b, c := &session{}, &session{}, &session{}
	ids := make([]channel.ID, 8)
	for i := range ids {
		ids[i] = channel.NewID()
	}
	var u unnamed
	l := Limits{PassedTotal: 20}.withDefaults()
	for i, step := range []struct {
		before func()
		to     [2]*session
		want   bool
	}{
		{nil, [2]*session{a, b}, true},
		{nil, [2]*session{a, a}, true}, // one calls itself
		{nil, [2]*session{a, b}, true},
		{nil, [2]*session{a, c}, false},
		{nil, [2]*session{c, a}, false},
		{func() { u.named(a, ids[3]) }, [2]*session{a, c}, false}, // nothing was passed for it
		{func() { u.named(a, ids[0]) }, [2]*session{a, c}, true},
		{nil, [2]*session{b, a}, false},
	} {
		if step.before != nil {
			step.before()
		}
		if over, got := u.take(step.to, ids[i], now, &l); got != step.want || !got && over != overPassed {
			t.Errorf("step %d: %v, over %v", i, got, over)
		}
	}
	u.over(ids[1])
	if u.countLocked(a) != 2 || u.countLocked(b) != 2 || u.countLocked(c) != 1 {
		t.Errorf("left: %d, %d, %d", u.countLocked(a), u.countLocked(b), u.countLocked(c))
	}
	u.end(b)
	if len(u.list) != 3 {
		t.Errorf("%d left behind a session", len(u.list))
	}
	if _, ok := u.take([2]*session{a, b}, ids[7], now.Add(unnamedFor), &l); !ok || len(u.list) != 2 {
		t.Errorf("%d left 10 s later", len(u.list))
	}
	for _, set := range []Limits{{}, {PassedTotal: 20}, {PassedTotal: 20, Passed: 1}} {
		l := set.withDefaults()
		u = unnamed{}
		over, ok := bound(0), true
		for ok {
			over, ok = u.take([2]*session{{}, {}}, ids[0], now, &l)
		}
		if len(u.list) != l.PassedTotal || over != overPassedTotal {
			t.Errorf("%d in all, over %v", len(u.list), over)
		}
		u = unnamed{}
		for ok = true; ok; {
			over, ok = u.take([2]*session{a, {}}, ids[0], now, &l)
		}
		if u.countLocked(a) != l.Passed || over != overPassed {
			t.Errorf("%d to one, over %v", u.countLocked(a), over)
		}
	}
}

// TestKindFD: only between two sessions that can be passed descriptors.
func TestKindFD(t *testing.T) {
	files := place{transport: transportUnix, uid: 1, files: true}
	asked := []string{control.KindNet, control.KindUnix, control.KindFD}
	for _, tc := range []struct {
		caller, callee place
		want           string
	}{
		{files, files, "[fd unix]"},
		{files, onUnix(1), "[unix]"},
		{onUnix(1), files, "[unix]"},
		{files, place{transport: transportUnix, uid: 2, files: true}, "[fd]"},
		{files, at("192.0.2.1"), "[net]"},
	} {
		if got := fmt.Sprint(topology{}.kinds(asked, allKinds(), tc.caller, tc.callee)); got != tc.want {
			t.Errorf("%+v to %+v: %s, want %s", tc.caller, tc.callee, got, tc.want)
		}
	}
}
