package names

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tables speak a small language. A letter is a session; a capital is a second
// session of the key of the small one. "b:qr" is a claim by b with queue and
// replace (y is yield), "b-" a release, "b!" the end of b's session.

const subject Name = "org.example.subject"

func ownerOf(letter byte) Owner {
	return Owner{Session: uint64(letter), Key: [32]byte{letter | 0x20}, Transport: "unix"}
}

// play takes one step and tells the answer and the events, both as text.
func play(t *testing.T, r *Registry, now time.Time, n Name, step string) (answer, events string) {
	t.Helper()
	o := ownerOf(step[0])
	var changes []Change
	var err error
	switch step[1] {
	case ':':
		var result Result
		flags := step[2:]
		result, changes, err = r.Claim(now, o, n, Options{
			Queue: strings.Contains(flags, "q"), Replace: strings.Contains(flags, "r"), Yield: strings.Contains(flags, "y")})
		answer = result.State
	case '-':
		_, changes, err = r.Release(now, o.Session, n)
		answer = "released"
	case '!':
		changes = r.Drop(now, o.Session)
		answer = "gone"
	default:
		t.Fatalf("bad step %q", step)
	}
	if err != nil {
		answer = outcome(err)
	}
	for _, c := range changes {
		events += fmt.Sprintf("%s %s%s ", c.Kind, wasLetter(c), entryLetter(c))
	}
	return answer, strings.TrimSpace(events)
}

func wasLetter(c Change) string {
	if c.Was == nil {
		return ""
	}
	return string(rune(c.Was.Session))
}

func entryLetter(c Change) string {
	if c.Entry == nil {
		return ""
	}
	return string(rune(c.Entry.Session))
}

// outcome is the word for an error of the package.
func outcome(err error) string {
	for _, e := range []struct {
		err  error
		word string
	}{{ErrTaken, "taken"}, {ErrReserved, "reserved"}, {ErrNotOwner, "not_owner"}, {ErrQuota, "quota"}, {ErrRate, "rate"}} {
		if errors.Is(err, e.err) {
			return e.word
		}
	}
	return err.Error()
}

// lineOf is the owner and then who waits, each with its flags: "b:y a:q".
func lineOf(r *Registry, n Name) string {
	rec := r.names[n]
	if rec == nil {
		return ""
	}
	var all []string
	for _, c := range append([]claim{rec.owner}, rec.line...) {
		s := string(rune(c.Session)) + ":"
		if c.queue {
			s += "q"
		}
		if c.yield {
			s += "y"
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

// TestOwnershipDBus is the table of D-Bus's RequestName and ReleaseName, measured
// on dbus-daemon and dbus-broker, row by row. ALLOW_REPLACEMENT is y,
// REPLACE_EXISTING is r, DO_NOT_QUEUE is the absence of q. The column differs says
// where PROTOCOL.md §5, or one of the two brokers, has it otherwise.
func TestOwnershipDBus(t *testing.T) {
	for _, row := range []struct {
		name, before, step string
		answer, line       string
		events             string
		differs            string
	}{
		{"no owner, no flags", "", "b:", "owner", "b:", "connected b", ""},
		{"no owner, all flags", "", "b:qry", "owner", "b:qy", "connected b", "replace is moot"},
		{"own name again", "b:qy c:q", "b:r", "owner", "b: c:q", "",
			"D-Bus answers 4 ALREADY; ours is owner with the same epoch"},
		{"yielding owner that queues, replace", "a:qy c:q", "b:r", "owner", "b: a:qy c:q", "moved ab", ""},
		{"same, with queue and yield", "a:qy c:q", "b:qry", "owner", "b:qy a:qy c:q", "moved ab", ""},
		{"yielding owner that does not queue, replace", "a:y c:q", "b:qr", "owner", "b:q c:q", "moved ab", ""},
		{"owner does not yield, replace and queue", "a:q c:q", "b:qr", "waiting", "a:q c:q b:q", "",
			"dbus-daemon puts b in front of c; the specification, dbus-broker and we append"},
		{"same, b already waits behind c", "a:q c:q b:q", "b:qr", "waiting", "a:q c:q b:q", "",
			"dbus-daemon moves b up; dbus-broker and we keep its place"},
		{"owner yields, no replace, queue", "a:qy c:q", "b:qy", "waiting", "a:qy c:q b:qy", "", ""},
		{"owner does not yield, replace, no queue", "a:q c:q", "b:r", "taken", "a:q c:q", "", ""},
		{"owner yields, no replace, no queue", "a:qy c:q", "b:", "taken", "a:qy c:q", "", ""},
		{"already waiting, queue", "a:q b:q c:q", "b:qy", "waiting", "a:q b:qy c:q", "", "place kept, flags replaced"},
		{"already waiting, no queue", "a:q b:q c:q", "b:y", "taken", "a:q c:q", "", "name_taken leaves the line here, too"},
		{"replace is not remembered", "a:q b:qr", "a:qy", "owner", "a:qy b:q", "", ""},
		{"the waiter asks again with replace", "a:q b:qr a:qy", "b:r", "owner", "b: a:qy", "moved ab", ""},
		{"owner gives up its queue flag", "a:qy b:q", "a:y", "owner", "a:y b:q", "", ""},
		{"and is dropped when replaced", "a:qy b:q a:y", "b:r", "owner", "b:", "moved ab", ""},
		{"ping-pong is legal", "a:qy b:qry", "a:qry", "owner", "a:qy b:qy", "moved ba", "up to 3 times in 30 s: TestReplaceRate"},
		{"replaced owner goes to the head", "a:qy c:q d:q", "d:r", "owner", "d: a:qy c:q", "moved ad", ""},
		{"release by the owner, waiters", "a:q w:q x:q", "a-", "released", "w:q x:q", "moved aw", ""},
		{"release by the owner, nobody waits", "a:", "a-", "released", "", "disconnected a", ""},
		{"release by a waiter", "a: b:q c:q", "b-", "released", "a: c:q", "", ""},
		{"release by a stranger", "a: c:q", "b-", "not_owner", "a: c:q", "", ""},
		{"release of an unknown name", "", "b-", "not_owner", "",
			"", "D-Bus answers 2 NON_EXISTENT; ours must not tell a hidden name from none"},
		{"owner ends, waiters", "a: w:q x:q", "a!", "gone", "w:q x:q", "moved aw", "no unique name, so no event for it"},
		{"owner ends, nobody waits", "a:", "a!", "gone", "", "disconnected a", "as above"},
		{"waiter ends", "a: b:q c:q", "b!", "gone", "a: c:q", "", "as above"},
		{"a stranger ends", "a: c:q", "b!", "gone", "a: c:q", "", ""},

		// Not in D-Bus: a session may take a name from another one of its own key.
		{"same key, replace without yield", "a:q c:q", "A:r", "owner", "A: a:q c:q", "moved aA", "PROTOCOL.md §5"},
		{"same key, replace, old does not queue", "a: c:q", "A:r", "owner", "A: c:q", "moved aA", "PROTOCOL.md §5"},
		{"same key without replace", "a:y", "A:q", "waiting", "a:y A:q", "", "PROTOCOL.md §5"},
		{"same key without anything", "a:y", "A:", "taken", "a:y", "", "PROTOCOL.md §5"},
	} {
		t.Run(row.name, func(t *testing.T) {
			now := time.UnixMicro(1e15)
			r := New(Limits{}, now)
			for _, step := range strings.Fields(row.before) {
				play(t, r, now, subject, step)
			}
			answer, events := play(t, r, now, subject, row.step)
			if answer != row.answer || events != row.events {
				t.Errorf("%s, %s: got %s [%s], want %s [%s]", row.before, row.step, answer, events, row.answer, row.events)
			}
			if got := lineOf(r, subject); got != row.line {
				t.Errorf("%s, %s: line is %q, want %q", row.before, row.step, got, row.line)
			}
		})
	}
}

// The last rows of the D-Bus table: names that nobody may have. A text that is no
// name never gets here (ParseName); D-Bus answers InvalidArgs to the release too,
// ours is not_owner like for every name one does not hold.
func TestReservedIsNotClaimed(t *testing.T) {
	now := time.UnixMicro(1e15)
	r := New(Limits{}, now)
	for _, n := range []Name{"switchboard", "switchboard.a.b"} {
		for _, flags := range flagSets() {
			if answer, events := play(t, r, now, n, "a:"+flags); answer != "reserved" || events != "" {
				t.Errorf("claim of %s with %q: got %s [%s], want reserved", n, flags, answer, events)
			}
		}
		if answer, _ := play(t, r, now, n, "a-"); answer != "not_owner" {
			t.Errorf("release of %s: got %s, want not_owner", n, answer)
		}
	}
}

// All 64 pairs of the owner's and the requester's flags, measured on both D-Bus
// brokers as 24 exists, 24 queued, 8 replaced with the old owner kept, 8 without.
// A requester of the same key needs no yield.
func TestOwnershipFlagPairs(t *testing.T) {
	for requester, want := range map[string]string{
		"b": "kept 8, out 8, taken 24, waiting 24",
		"A": "kept 16, out 16, taken 16, waiting 16",
	} {
		counts := make(map[string]int)
		for _, theirs := range flagSets() {
			for _, ours := range flagSets() {
				now := time.UnixMicro(1e15)
				r := New(Limits{}, now)
				play(t, r, now, subject, "a:"+theirs)
				answer, _ := play(t, r, now, subject, requester+":"+ours)
				if answer == "owner" {
					answer = "out"
					if len(r.names[subject].line) == 1 {
						answer = "kept"
					}
				}
				counts[answer]++
			}
		}
		var got []string
		for answer, n := range counts {
			got = append(got, fmt.Sprintf("%s %d", answer, n))
		}
		slices.SortFunc(got, cmp.Compare[string])
		if all := strings.Join(got, ", "); all != want {
			t.Errorf("requester %s: got %s, want %s", requester, all, want)
		}
	}
}

// flagSets are the eight sets of flags.
func flagSets() []string {
	return []string{"", "q", "r", "y", "qr", "qy", "ry", "qry"}
}

// A claim by one of a hundred, however they come, gives the name once (F34).
func TestOneOwner(t *testing.T) {
	now := time.UnixMicro(1e15)
	r := New(Limits{}, now)
	owners := 0
	for i := range 100 {
		_, changes, err := r.Claim(now, Owner{Session: uint64(i), Key: [32]byte{byte(i)}}, subject, Options{})
		if err == nil {
			owners += len(changes)
		} else if !errors.Is(err, ErrTaken) {
			t.Fatalf("claim %d: %v", i, err)
		}
	}
	if owners != 1 {
		t.Errorf("got %d owners, want 1", owners)
	}
}
