package switchboard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/shs"
)

var (
	keyA, keyB, keyX = shs.PublicKey{1}, shs.PublicKey{2}, shs.PublicKey{9}
	theOne           = channel.ID{1}
)

// text is the state of a channel: that of both ends, s if it may survive, c if
// it is closing.
func (b *movedBooks) text(id channel.ID) string {
	m := b.channels[id]
	if m == nil {
		return "--"
	}
	s := ""
	for _, e := range m.ends {
		s += map[endState]string{endBound: "B", endAway: "A", endLost: "L", endDone: "D"}[e.state]
	}
	if m.survive {
		s += "s"
	}
	if m.closing {
		s += "c"
	}
	return s
}

// in makes books that hold one channel in a state. The caller's end has key A
// and session 1, the callee's B and 2.
func in(now time.Time, state string) *movedBooks {
	b := newMovedBooks(100, directLease)
	m := &moved{id: theOne, survive: strings.Contains(state, "s")}
	for r, key := range []shs.PublicKey{keyA, keyB} {
		m.ends[r] = movedEnd{key: key, far: true, session: uint64(r + 1)}
		if state[r] == 'D' {
			m.ends[r].state, m.ends[r].session = endDone, 0
		}
	}
	b.enter(now, m)
	for r := range m.ends {
		if state[r] == 'L' {
			b.gone(now.Add(-directLease), uint64(r+1))
			b.expire(now)
		}
	}
	for r := range m.ends {
		if state[r] == 'A' {
			b.gone(now, uint64(r+1))
		}
	}
	if strings.Contains(state, "c") {
		b.close(theOne, "test")
	}
	return &b
}

// movedEvents are what can happen to the caller's end, or to the channel. They
// report whether the books agreed, and who is told.
var movedEvents = []struct {
	name string
	do   func(b *movedBooks, now time.Time) (bool, []notice)
}{
	{"closed", func(b *movedBooks, _ time.Time) (bool, []notice) { return b.closed(theOne, 1, keyA), nil }},
	{"stranger", func(b *movedBooks, _ time.Time) (bool, []notice) { return b.closed(theOne, 9, keyX), nil }},
	{"gone", func(b *movedBooks, now time.Time) (bool, []notice) { return true, b.gone(now, 1) }},
	{"adopt", func(b *movedBooks, now time.Time) (bool, []notice) {
		return b.adopt(now, adoption{id: theOne, peer: keyB, session: 3, key: keyA, survive: b.survives()}), nil
	}},
	{"forged", func(b *movedBooks, now time.Time) (bool, []notice) {
		return b.adopt(now, adoption{id: theOne, peer: keyB, session: 9, key: keyX}), nil
	}},
	{"no peer", func(b *movedBooks, now time.Time) (bool, []notice) {
		return b.adopt(now, adoption{id: theOne, peer: keyX, session: 3, key: keyA}), nil
	}},
	{"role", func(b *movedBooks, now time.Time) (bool, []notice) {
		return b.adopt(now, adoption{id: theOne, role: roleCallee, peer: keyB, session: 3, key: keyA}), nil
	}},
	{"deny", func(b *movedBooks, now time.Time) (bool, []notice) {
		return true, b.deny(adoption{id: theOne, peer: keyB, session: 3, key: keyA}, "x")
	}},
	{"close", func(b *movedBooks, _ time.Time) (bool, []notice) {
		tell, ok := b.close(theOne, "x")
		return ok, tell
	}},
	{"revoke", func(b *movedBooks, _ time.Time) (bool, []notice) {
		return true, b.revoke(func(m *moved) bool {
			return m.ends[0].key == keyA && m.ends[0].far || m.ends[1].key == keyA && m.ends[1].far
		}, "x")
	}},
	{"60 s", func(b *movedBooks, now time.Time) (bool, []notice) {
		before := b.text(theOne)
		if tell := b.expire(now.Add(directLease - 1)); len(tell) > 0 || b.text(theOne) != before {
			return false, tell // too early
		}
		return true, b.expire(now.Add(directLease))
	}},
}

func (b *movedBooks) survives() bool { return b.channels[theOne] != nil && b.channels[theOne].survive }

// movedTable is every event in every state: what the state is then; ! if the
// event was refused; the sessions that are told.
const movedTable = `
state closed stranger gone   adopt  forged no_peer role  deny     close    revoke   60_s
BB    DB     BB!      AB     BB     BB!    BB!     BB!   --+1+2   --+1+2   --+1+2   BB
AB    DB     AB!      AB     BB     AB!    AB!     AB!   --+2     ADc+2    ADc+2    --+2
BA    DA     BA!      AA     BA     BA!    BA!     BA!   DAc+1    DAc+1    DAc+1    --+1
AA    DA     AA!      AA     BA     AA!    AA!     AA!   DAc      AAc      AAc      --
DB    DB!    DB!      DB     DB!    DB!    DB!     DB!   DB       --+2     --+2     DB
BD    --     BD!      AD     BD     BD!    BD!     BD!   --+1     --+1     --+1     BD
DA    DA!    DA!      DA     DA!    DA!    DA!     DA!   DA       DAc      DAc      --
AD    --     AD!      AD     BD     AD!    AD!     AD!   --       ADc      ADc      --
AAc   DAc    AAc!     AAc    DAc!   AAc!   AAc!    AAc!  DAc      AAc!     AAc      --
ADc   --     ADc!     ADc    --!    ADc!   ADc!    ADc!  --       ADc!     ADc      --
DAc   DAc!   DAc!     DAc    DAc!   DAc!   DAc!    DAc!  DAc      DAc!     DAc      --
BBs   DBs    BBs!     ABs    BBs    BBs!   BBs!    BBs!  --+1+2   --+1+2   --+1+2   BBs
ABs   DBs    ABs!     ABs    BBs    ABs!   ABs!    ABs!  --+2     ADsc+2   ADsc+2   LBs
LBs   DBs    LBs!     LBs    BBs    LBs!   LBs!    LBs!  --+2     --+2     --+2     LBs
BLs   --     BLs!     ALs    BLs    BLs!   BLs!    BLs!  --+1     --+1     --+1     BLs
LAs   DAs    LAs!     LAs    BAs    LAs!   LAs!    LAs!  DAsc     DAsc     DAsc     --
ALs   --     ALs!     ALs    BLs    ALs!   ALs!    ALs!  --       ADsc     ADsc     --
AAs   DAs    AAs!     AAs    BAs    AAs!   AAs!    AAs!  DAsc     AAsc     AAsc     --
BDs   --     BDs!     ADs    BDs    BDs!   BDs!    BDs!  --+1     --+1     --+1     BDs
ADs   --     ADs!     ADs    BDs    ADs!   ADs!    ADs!  --       ADsc     ADsc     --
--    --!    --!      --     BA     BA     BA      AB    --       --!      --       --
`

func TestMovedTable(t *testing.T) {
	now := time.Unix(1000, 0)
	rows := strings.Split(strings.TrimSpace(movedTable), "\n")
	if n := len(strings.Fields(rows[0])); n != len(movedEvents)+1 {
		t.Fatalf("%d columns for %d events", n, len(movedEvents))
	}
	for _, row := range rows[1:] {
		cells := strings.Fields(row)
		for i, ev := range movedEvents {
			var b *movedBooks
			if cells[0] == "--" {
				empty := newMovedBooks(100, directLease)
				b = &empty
			} else if b = in(now, cells[0]); b.text(theOne) != cells[0] {
				t.Fatalf("made %s, want %s", b.text(theOne), cells[0])
			}
			ok, tell := ev.do(b, now)
			got := b.text(theOne)
			if !ok {
				got += "!"
			}
			slices.SortFunc(tell, func(x, y notice) int { return int(x.session) - int(y.session) })
			for _, n := range tell {
				got += fmt.Sprintf("+%d", n.session)
				if n.id != theOne || n.reason == "" {
					t.Errorf("%s, %s: notice %+v", cells[0], ev.name, n)
				}
			}
			if got != cells[i+1] {
				t.Errorf("%s, %s: got %s, want %s", cells[0], ev.name, got, cells[i+1])
			}
			b.check(t)
		}
	}
}

// check holds the books' parts to one another.
func (b *movedBooks) check(t interface {
	Helper()
	Fatalf(string, ...any)
}) {
	t.Helper()
	of := make(map[uint64]map[channel.ID]struct{})
	absent := make(map[shs.PublicKey]int)
	away := 0
	for id, m := range b.channels {
		for _, e := range m.ends {
			if (e.state == endBound) != (e.session != 0) || (e.state == endAway) != (e.due != nil) ||
				(e.state == endAway || e.state == endLost) != (e.payer != nil) || m.closing && (e.state == endBound || e.state == endLost) {
				t.Fatalf("%s: end %+v", b.text(id), e)
			}
			if e.payer != nil {
				absent[*e.payer]++
			}
			if e.due != nil {
				away++
			}
			if e.session != 0 {
				if of[e.session] == nil {
					of[e.session] = make(map[channel.ID]struct{})
				}
				of[e.session][id] = struct{}{}
			}
		}
	}
	if away != b.due.Len() || !maps.Equal(absent, b.absent) || !maps.EqualFunc(of, b.of, func(x, y map[channel.ID]struct{}) bool { return maps.Equal(x, y) }) {
		t.Fatalf("%d away in a list of %d, absent %v counted %v, sessions %v noted %v", away, b.due.Len(), absent, b.absent, of, b.of)
	}
}

// A channel may have both its ends at one session, and of one key.
func TestMovedToOneself(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newMovedBooks(1, directLease)
	m := &moved{id: theOne}
	for r := range m.ends {
		m.ends[r] = movedEnd{key: keyA, session: 1}
	}
	b.enter(now, m)
	b.check(t)
	if b.room(1) {
		t.Error("a session with one channel has room for another")
	}
	b.gone(now, 1)
	for _, r := range []role{roleCallee, roleCaller} {
		if !b.adopt(now, adoption{id: theOne, role: r, peer: keyA, session: 2, key: keyA}) {
			t.Errorf("end %d is not adopted", r)
		}
		b.check(t)
	}
	if !b.closed(theOne, 2, keyA) || b.text(theOne) != "DB" || !b.closed(theOne, 2, keyA) || b.text(theOne) != "--" {
		t.Errorf("after both ends: %s", b.text(theOne))
	}
	b.check(t)
}

// A session has so many channels, and a key so many ends without a session.
func TestMovedLimits(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newMovedBooks(2, directLease)
	id := func(i int) channel.ID { return channel.ID{byte(i), 7} }
	session, n := uint64(1), 0
	for ; n < 20; n++ { // each in a session of its own
		session++
		if !b.adopt(now, adoption{id: id(n), peer: keyB, session: session, key: keyA}) {
			break
		}
	}
	if n != maxAbsent*2 {
		t.Errorf("%d channels on one key's word, want %d", n, maxAbsent*2)
	}
	if !b.adopt(now, adoption{id: id(0), role: roleCallee, peer: keyA, session: 100, key: keyB}) ||
		!b.adopt(now, adoption{id: id(50), peer: keyB, session: session, key: keyA}) {
		t.Error("a channel that both ends have counts as one on a word")
	}
	if !b.adopt(now, adoption{id: id(1), role: roleCallee, peer: keyA, session: 100, key: keyB}) ||
		b.adopt(now, adoption{id: id(2), role: roleCallee, peer: keyA, session: 100, key: keyB}) {
		t.Error("a session has not room for two channels, or for three")
	}
	if tell := b.gone(now, 3); len(tell) > 0 || b.text(id(1)) != "AB" { // there is one place
		t.Errorf("told %v, state %s", tell, b.text(id(1)))
	}
	tell := b.gone(now, 2) // and now none
	if len(tell) != 1 || tell[0].session != 100 || tell[0].id != id(0) || b.text(id(0)) != "--" {
		t.Errorf("told %v, state %s", tell, b.text(id(0)))
	}
	b.check(t)
}
