package channel

import (
	"bytes"
	"fmt"
	"testing"
)

// outStates are all places of our direction, as the Path comes to them.
var outStates = []struct {
	name string
	m    move
}{
	{"lane", move{out: outLane, sent: 7}},
	{"lane, linked", move{out: outLane, linked: true, sent: 7}},
	{"ended", move{out: outEnded, sent: 7}},
	{"ended, linked", move{out: outEnded, linked: true, sent: 7}},
	{"ended, marked", move{out: outEnded, linked: true, committed: true, sent: 7}},
	{"link", move{out: outLink, linked: true, committed: true, sent: 7}},
	{"over", move{out: outOver, linked: true, committed: true, sent: 7}},
}

// TestMoveSending: every event of our direction in every state of it, at a
// caller.
func TestMoveSending(t *testing.T) {
	states := []outState{outLane, outLane, outEnded, outEnded, outEnded, outLink, outOver}
	for _, e := range []struct {
		name string
		do   func(*move) any
		want []any      // of do, in the order of outStates; nil: does not happen there
		then []outState // what comes after, likewise
	}{
		{"due", func(m *move) any { return m.due() }, []any{false, true, false, true, false, false, false}, states},
		{"commit", func(m *move) any { return m.commit() },
			[]any{nil, mark{true, 7}, nil, mark{false, 7}, nil, nil, nil},
			[]outState{outLane, outLink, outEnded, outEnded, outEnded, outLink, outOver}},
		{"wrote", func(m *move) any { m.wrote(3); return m.sent },
			[]any{uint64(10), uint64(10), nil, nil, nil, nil, nil}, states},
		{"end", func(m *move) any { m.end(); return true },
			[]any{true, true, true, true, true, true, true},
			[]outState{outEnded, outEnded, outEnded, outEnded, outEnded, outOver, outOver}},
		{"link", func(m *move) any { return m.link() }, []any{true, false, true, false, false, false, false}, states},
		{"unlink", func(m *move) any { return m.unlink() }, []any{nil, true, nil, true, false, false, false}, states},
	} {
		for i, s := range outStates {
			if e.want[i] == nil {
				continue
			}
			m := s.m
			m.caller = true
			if got := e.do(&m); got != e.want[i] {
				t.Errorf("%s at %s: %v, want %v", e.name, s.name, got, e.want[i])
			}
			if m.out != e.then[i] {
				t.Errorf("%s at %s: then %d, want %d", e.name, s.name, m.out, e.then[i])
			}
			if e.name == "commit" && (!m.committed || m.due()) {
				t.Errorf("commit at %s: not committed, or due again", s.name)
			}
		}
	}
}

// inStates are all places of the other end's direction, with 10 bytes read.
var inStates = []struct {
	name string
	m    move
}{
	{"lane", move{in: inLane, got: 10}},
	{"lane until 12", move{in: inLane, got: 10, marked: true, mark: mark{true, 12}}},
	{"lane ends at 12", move{in: inLane, got: 10, marked: true, mark: mark{false, 12}}},
	{"lane ends here", move{in: inLane, got: 10, marked: true, mark: mark{false, 10}}},
	{"ended", move{in: inEnded, got: 10}},
	{"ended, marked", move{in: inEnded, got: 10, marked: true, mark: mark{false, 10}}},
	{"link", move{in: inLink, got: 10, marked: true, mark: mark{true, 10}}},
}

// arrival is what an event of the other end's direction does.
type arrival struct {
	ok bool
	in inState
}

// TestMoveReceiving: every event of the other end's direction in every state
// of it. A hole has no state after it.
func TestMoveReceiving(t *testing.T) {
	hole := &arrival{}
	lane, ended, link := &arrival{true, inLane}, &arrival{true, inEnded}, &arrival{true, inLink}
	for _, e := range []struct {
		name string
		do   func(*move) bool
		want [7]*arrival // in the order of inStates; nil: does not happen there
	}{
		{"read 1", func(m *move) bool { return m.read(1) }, [7]*arrival{lane, lane, lane, hole, nil, nil, hole}},
		{"read 2", func(m *move) bool { return m.read(2) }, [7]*arrival{lane, link, lane, hole, nil, nil, hole}},
		{"read 3", func(m *move) bool { return m.read(3) }, [7]*arrival{lane, hole, hole, hole, nil, nil, hole}},
		{"end", (*move).laneEnd, [7]*arrival{ended, hole, hole, ended, nil, nil, nil}},
		{"mark 01‖9", func(m *move) bool { return m.peerMark(mark{true, 9}) }, [7]*arrival{0: hole, 4: hole}},
		{"mark 01‖10", func(m *move) bool { return m.peerMark(mark{true, 10}) }, [7]*arrival{0: link, 4: hole}},
		{"mark 01‖11", func(m *move) bool { return m.peerMark(mark{true, 11}) }, [7]*arrival{0: lane, 4: hole}},
		{"mark 00‖9", func(m *move) bool { return m.peerMark(mark{false, 9}) }, [7]*arrival{0: hole, 4: hole}},
		{"mark 00‖10", func(m *move) bool { return m.peerMark(mark{false, 10}) }, [7]*arrival{0: lane, 4: ended}},
		{"mark 00‖11", func(m *move) bool { return m.peerMark(mark{false, 11}) }, [7]*arrival{0: lane, 4: hole}},
		{"mark of all bits", func(m *move) bool { return m.peerMark(mark{true, 1<<64 - 1}) }, [7]*arrival{0: lane, 4: hole}},
	} {
		for i, s := range inStates {
			if e.want[i] == nil {
				continue
			}
			m := s.m
			ok := e.do(&m)
			if ok != e.want[i].ok || ok && m.in != e.want[i].in {
				t.Errorf("%s at %s: %v, then %d; want %v", e.name, s.name, ok, m.in, *e.want[i])
			}
		}
	}
}

// TestMoveBoth: what depends on both directions, in every pair of states.
func TestMoveBoth(t *testing.T) {
	for i, o := range outStates {
		for _, n := range inStates {
			for _, caller := range []bool{true, false} {
				m := n.m
				m.caller, m.out, m.linked, m.committed, m.sent = caller, o.m.out, o.m.linked, o.m.committed, o.m.sent
				if m.marked && !m.linked || !caller && m.committed && !m.drained() || caller && m.marked && !m.committed {
					continue // a mark comes over a link, and the callee's behind the caller's
				}
				name := fmt.Sprintf("out %s, in %s, caller %v", o.name, n.name, caller)
				drained := m.marked && m.in != inLane
				finished := m.out == outEnded && m.in == inEnded
				for _, q := range []struct {
					name      string
					got, want bool
				}{
					{"drained", m.drained(), drained},
					{"done", m.done(), drained && o.m.committed},
					{"finished", m.finished(), finished},
					{"due", m.due(), (i == 1 || i == 3) && (caller || drained)},
				} {
					if q.got != q.want {
						t.Errorf("%s: %s is %v", name, q.name, q.got)
					}
				}
				if l := m; l.link() != (!m.linked && !finished) {
					t.Errorf("%s: link says otherwise", name)
				}
				// Once a mark is read or written, a dead link is harmless only
				// where both directions have ended on the lane.
				if l := m; m.linked && l.unlink() != (!m.committed && !m.marked || finished) {
					t.Errorf("%s: unlink says otherwise", name)
				}
			}
		}
	}
}

func TestMark(t *testing.T) {
	for _, c := range []struct {
		b  []byte
		m  mark
		ok bool
	}{
		{[]byte{1, 0, 0, 0, 0, 0, 0, 1, 2}, mark{true, 258}, true},
		{[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0}, mark{}, true},
		{[]byte{1, 255, 255, 255, 255, 255, 255, 255, 255}, mark{true, 1<<64 - 1}, true},
		{[]byte{2, 0, 0, 0, 0, 0, 0, 0, 0}, mark{}, false},
		{[]byte{255, 0, 0, 0, 0, 0, 0, 0, 0}, mark{}, false},
		{[]byte{1, 0, 0, 0, 0, 0, 0, 0}, mark{}, false},
		{make([]byte, 10), mark{}, false},
		{nil, mark{}, false},
	} {
		m, ok := parseMark(c.b)
		if m != c.m || ok != c.ok {
			t.Errorf("%x is %v, %v", c.b, m, ok)
		}
		if ok && !bytes.Equal(m.bytes(), c.b) {
			t.Errorf("%v is %x", m, m.bytes())
		}
	}
}
