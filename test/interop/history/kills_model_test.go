package history

import (
	"fmt"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/cad2f06c/switchboard/client"
)

// The rule for one name with all that PROTOCOL.md §5 has: lines, take-overs, and
// sessions that die at a moment that nobody sees.

// Bounds of one history.
const (
	maxPeers = 8  // keys
	maxLives = 15 // sessions of one key, one after the other
)

// who is a session: of which history, which of its keys, and which session of that,
// from 1. The zero who is nobody.
type who struct {
	game       uint32
	peer, life uint8
}

// act is one call by a session, or its death.
type act struct {
	call    string // claim, release, get, death, over
	by      who
	queue   bool
	replace bool
	yield   bool
}

// answer is what came of an act.
type answer struct {
	lost    bool        // the session died before it: it was done or not
	code    client.Code // "" for success
	waiting bool        // of a claim
	owner   who         // of a get
	rev     uint64      // epoch of an ownership, rev of a change; 0: there is none
}

// claimant has the name or waits for it.
type claimant struct {
	who
	queue, yield bool
}

// line is a name at one moment. It is compared as it stands.
type line struct {
	all      [2 * maxPeers]claimant // the first owns
	n        int
	changes  int              // of the owner, so far
	epoch    uint64           // of the owner
	dead     [maxPeers]uint16 // a bit for each session
	replaced [maxPeers]uint8  // times that took effect, by key
}

const mostReplaces = 3 // within 30 s, and no history takes that long

func (l *line) alive(w who) bool { return l.dead[w.peer]&(1<<w.life) == 0 }

// place is where a session stands, or -1.
func (l *line) place(w who) int {
	for i := range l.n {
		if l.all[i].who == w {
			return i
		}
	}
	return -1
}

// drop takes a session out of the line.
func (l *line) drop(w who) {
	if i := l.place(w); i >= 0 {
		copy(l.all[i:], l.all[i+1:l.n])
		l.n--
		l.all[l.n] = claimant{}
	}
}

// insert puts a claimant at a place.
func (l *line) insert(i int, c claimant) {
	copy(l.all[i+1:l.n+1], l.all[i:l.n])
	l.all[i] = c
	l.n++
}

// seen is a change as a watcher was told of it: who owns the name from then on, if
// anybody does.
type seen struct {
	rev   uint64
	owner who
}

// watched are all changes of a name, in order.
type watched []seen

// change is the next change of the name, behind which the line is as it stands. It
// must be what the watcher saw, and have the rev of the answer, if there was one.
func (w watched) change(l *line, rev uint64) bool {
	if l.changes == len(w) {
		return false
	}
	next := w[l.changes]
	l.changes++
	l.epoch = next.rev
	return next.owner == l.all[0].who && (rev == 0 || rev == next.rev) // nobody: no session is 0
}

// kills is the model of a name whose changes are known. An act whose answer was
// lost has two outcomes. A change that the watcher saw and nobody made, or one that
// was made and not seen, fits no order.
func kills(w watched) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{line{}} },
		Step: func(before, in, out any) []any {
			l, a, got := before.(line), in.(act), out.(answer)
			switch {
			case a.call == "over": // all changes have been made
				if l.changes != len(w) {
					return nil
				}
			case got.lost:
				if after := l; l.alive(a.by) && w.step(&after, a, answer{}, true) {
					return []any{l, after}
				}
			case !w.step(&l, a, got, false):
				return nil
			}
			return []any{l}
		},
		Equal:             func(a, b any) bool { return a == b },
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
	}
	return m.ToModel()
}

// step does an act, and reports whether it can have had the answer. Of an answer
// that was lost any will do.
func (w watched) step(l *line, a act, got answer, lost bool) bool {
	if a.call == "death" {
		l.dead[a.by.peer] |= 1 << a.by.life
		i := l.place(a.by)
		l.drop(a.by)
		return i != 0 || w.change(l, 0)
	}
	if !l.alive(a.by) {
		return false
	}
	switch a.call {
	case "claim":
		return w.claim(l, a, got, lost)
	case "release":
		i := l.place(a.by)
		if i < 0 {
			return lost || got.code == client.NotOwner
		}
		l.drop(a.by)
		if i > 0 {
			return lost || got.code == ""
		}
		return w.change(l, got.rev) && (lost || got.code == "")
	}
	if l.n == 0 {
		return lost || got.code == client.NotFound
	}
	return lost || got.code == "" && got.owner == l.all[0].who && got.rev == l.epoch
}

// claim is a claim, by the table of PROTOCOL.md §5.
func (w watched) claim(l *line, a act, got answer, lost bool) bool {
	me, i := claimant{a.by, a.queue, a.yield}, l.place(a.by)
	switch {
	case l.n == 0:
		l.insert(0, me)
		return w.change(l, got.rev) && (lost || got.code == "" && !got.waiting)
	case i == 0:
		l.all[0] = me
		return lost || got.code == "" && !got.waiting && got.rev == l.epoch
	case a.replace && (l.all[0].yield || l.all[0].peer == a.by.peer):
		if l.replaced[a.by.peer] == mostReplaces {
			return lost || got.code == client.RateLimited
		}
		l.replaced[a.by.peer]++
		old := l.all[0]
		l.drop(a.by)
		l.drop(old.who)
		if old.queue {
			l.insert(0, old)
		}
		l.insert(0, me)
		return w.change(l, got.rev) && (lost || got.code == "" && !got.waiting)
	case a.queue:
		if i > 0 {
			l.all[i] = me
		} else {
			l.insert(l.n, me)
		}
		return lost || got.code == "" && got.waiting
	}
	l.drop(a.by)
	return lost || got.code == client.NameTaken
}

// TestKillsModel shows that the checker finds what must not be.
func TestKillsModel(t *testing.T) {
	a, b, c := who{1, 0, 1}, who{1, 1, 1}, who{1, 2, 1}
	a2 := who{1, 0, 2} // of the same key as a
	op := func(from, to int64, in act, out answer) porcupine.Operation {
		return porcupine.Operation{ClientId: int(in.by.peer), Input: in, Call: from, Output: out, Return: to}
	}
	claim := func(w who, at int64, rev uint64) porcupine.Operation {
		return op(at, at+1, act{call: "claim", by: w}, answer{rev: rev})
	}
	queue := func(w who, at int64) porcupine.Operation {
		return op(at, at+1, act{call: "claim", by: w, queue: true}, answer{waiting: true})
	}
	get := func(at int64, w who, rev uint64) porcupine.Operation {
		return op(at, at+1, act{call: "get", by: c}, answer{owner: w, rev: rev})
	}
	death := func(w who, from, to int64) porcupine.Operation {
		return op(from, to, act{call: "death", by: w}, answer{})
	}
	over := op(90, 91, act{call: "over"}, answer{})
	for _, row := range []struct {
		name string
		saw  watched
		ops  []porcupine.Operation
		ok   bool
	}{
		{"a death hands on", watched{{5, a}, {6, b}}, []porcupine.Operation{claim(a, 0, 5), queue(b, 2), death(a, 4, 20), get(10, b, 6)}, true},
		{"not before it", watched{{5, a}, {6, b}}, []porcupine.Operation{claim(a, 0, 5), queue(b, 2), get(10, b, 6), death(a, 14, 20)}, false},
		{"out of turn", watched{{5, a}, {6, c}}, []porcupine.Operation{claim(a, 0, 5), queue(b, 2), queue(c, 4), death(a, 6, 20), get(10, c, 6)}, false},
		{"to nobody, though one waits", watched{{5, a}, {6, who{}}}, []porcupine.Operation{claim(a, 0, 5), queue(b, 2), death(a, 6, 20)}, false},
		{"a watcher that missed it", watched{{5, a}}, []porcupine.Operation{claim(a, 0, 5), death(a, 6, 20)}, false},
		{"a watcher that made it up", watched{{5, a}, {6, who{}}}, []porcupine.Operation{claim(a, 0, 5)}, false},
		{"a claim of the dead", watched{{5, a}}, []porcupine.Operation{death(a, 0, 1), claim(a, 2, 5)}, false},
		{"its next session takes over", watched{{5, a}, {6, a2}}, []porcupine.Operation{claim(a, 0, 5), op(2, 3, act{call: "claim", by: a2, replace: true}, answer{rev: 6}), death(a, 1, 20)}, true},
		{"another key takes over what does not yield", watched{{5, a}, {6, b}}, []porcupine.Operation{claim(a, 0, 5), op(2, 3, act{call: "claim", by: b, replace: true}, answer{rev: 6})}, false},
		{"a lost answer to what was done", watched{{5, a}, {6, who{}}}, []porcupine.Operation{op(0, 20, act{call: "claim", by: a}, answer{lost: true}), death(a, 1, 20)}, true},
		{"a lost answer to what was not", nil, []porcupine.Operation{op(0, 20, act{call: "claim", by: a}, answer{lost: true}), death(a, 1, 20)}, true},
	} {
		if got := porcupine.CheckOperations(kills(row.saw), append(row.ops, over)); got != row.ok {
			t.Errorf("%s: got %v, want %v", row.name, got, row.ok)
		}
	}
}
