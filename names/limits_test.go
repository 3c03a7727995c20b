package names_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/names"
)

var start = time.UnixMicro(1e15)

// who is a session of a key of its own, or of the key given.
func who(session uint64, key ...byte) names.Owner {
	o := names.Owner{Session: session, Key: [32]byte{byte(session), byte(session >> 8)}, Transport: "net"}
	if len(key) > 0 {
		o.Key = [32]byte{31: key[0]}
	}
	return o
}

// mustClaim claims and fails the test unless the answer is state.
func mustClaim(t *testing.T, r *names.Registry, now time.Time, o names.Owner, n names.Name, opt names.Options, state string) {
	t.Helper()
	result, _, err := r.Claim(now, o, n, opt)
	if err != nil || result.State != state {
		t.Fatalf("claim of %s by %d: got %q, %v, want %s", n, o.Session, result.State, err, state)
	}
}

func refused(t *testing.T, r *names.Registry, now time.Time, o names.Owner, n names.Name, opt names.Options, want error) {
	t.Helper()
	result, changes, err := r.Claim(now, o, n, opt)
	if !errors.Is(err, want) || len(changes) > 0 {
		t.Fatalf("claim of %s by %d: got %+v, %v, %v, want %v", n, o.Session, result, changes, err, want)
	}
}

func TestNamesPerKey(t *testing.T) {
	r := names.New(names.Limits{}, start)
	mustClaim(t, r, start, who(9), "other", names.Options{}, "owner")
	for i := range 15 {
		mustClaim(t, r, start, who(uint64(1+i%3), 'k'), names.Name(fmt.Sprintf("n%d", i)), names.Options{}, "owner")
	}
	mustClaim(t, r, start, who(1, 'k'), "other", names.Options{Queue: true}, "waiting") // a wait counts, too

	refused(t, r, start, who(2, 'k'), "n15", names.Options{}, names.ErrQuota)
	refused(t, r, start, who(2, 'k'), "other", names.Options{Queue: true}, names.ErrQuota)
	refused(t, r, start, who(2, 'k'), "other", names.Options{}, names.ErrTaken) // it would not have grown
	mustClaim(t, r, start, who(1, 'k'), "other", names.Options{Queue: true}, "waiting")
	mustClaim(t, r, start, who(1, 'k'), "n0", names.Options{}, "owner")

	// A restart: the new session of a full key takes over what the old one owns.
	mustClaim(t, r, start, who(7, 'k'), "n0", names.Options{Replace: true}, "owner")
	// Where the old one would wait, there would be one more.
	mustClaim(t, r, start, who(2, 'k'), "n1", names.Options{Queue: true}, "owner")
	refused(t, r, start, who(7, 'k'), "n1", names.Options{Replace: true}, names.ErrQuota)

	if _, _, err := r.Release(start, 1, "other"); err != nil {
		t.Fatal(err)
	}
	mustClaim(t, r, start, who(2, 'k'), "n15", names.Options{}, "owner")
	if got := len(r.NamesOfKey(who(1, 'k').Key)); got != 16 {
		t.Errorf("key owns %d names, want 16", got)
	}
}

func TestWaitersPerName(t *testing.T) {
	r := names.New(names.Limits{}, start)
	mustClaim(t, r, start, who(1), "n", names.Options{Queue: true, Yield: true}, "owner")
	for i := range 64 {
		mustClaim(t, r, start, who(uint64(2+i)), "n", names.Options{Queue: true}, "waiting")
	}
	refused(t, r, start, who(100), "n", names.Options{Queue: true}, names.ErrQuota)
	// The old owner would be the 65th waiter.
	refused(t, r, start, who(100), "n", names.Options{Replace: true}, names.ErrQuota)
	// From inside the line there is room for it.
	mustClaim(t, r, start, who(30), "n", names.Options{Replace: true, Yield: true}, "owner")
	// An owner that does not queue needs none.
	mustClaim(t, r, start, who(100), "n", names.Options{Replace: true}, "owner")
	if e, _ := r.Get("n"); e.Session != 100 || e.Waiters != 64 {
		t.Errorf("got %+v, want session 100 and 64 waiters", e)
	}
}

// Two programs with one key cannot take a name from each other for ever (F37).
func TestReplaceRate(t *testing.T) {
	r := names.New(names.Limits{}, start)
	take := names.Options{Replace: true, Queue: true, Yield: true}
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	mustClaim(t, r, at(0), who(1, 'k'), "n", take, "owner") // nobody owned: no replace
	mustClaim(t, r, at(1), who(1, 'k'), "n", take, "owner") // own name: none either
	mustClaim(t, r, at(1), who(2, 'k'), "n", take, "owner")
	mustClaim(t, r, at(2), who(1, 'k'), "n", take, "owner")
	mustClaim(t, r, at(3), who(2, 'k'), "n", take, "owner")
	refused(t, r, at(4), who(1, 'k'), "n", take, names.ErrRate)

	// Other names and keys are not concerned, and no flag but replace is.
	mustClaim(t, r, at(4), who(1, 'k'), "m", take, "owner")
	mustClaim(t, r, at(4), who(2, 'k'), "m", take, "owner")
	mustClaim(t, r, at(4), who(1, 'k'), "n", names.Options{Queue: true}, "waiting")
	mustClaim(t, r, at(4), who(3), "n", take, "owner")

	// The refused one was not counted: 30 s after the first there is room for one.
	refused(t, r, at(30.9), who(2, 'k'), "n", take, names.ErrRate)
	mustClaim(t, r, at(31), who(2, 'k'), "n", take, "owner")
	refused(t, r, at(31), who(1, 'k'), "n", take, names.ErrRate)
	// A clock that steps back gives nothing away.
	refused(t, r, at(-3600), who(1, 'k'), "n", take, names.ErrRate)
	mustClaim(t, r, at(32), who(1, 'k'), "n", take, "owner")
}

func TestWaitersAreCountedWithoutEvent(t *testing.T) {
	r := names.New(names.Limits{}, start)
	mustClaim(t, r, start, who(1), "n", names.Options{}, "owner")
	rev, before := r.Snapshot(start)
	published, _ := r.Get("n")
	mustClaim(t, r, start, who(2), "n", names.Options{Queue: true, Info: []byte(`{}`)}, "waiting")
	mustClaim(t, r, start, who(3), "n", names.Options{Queue: true}, "waiting")
	refused(t, r, start, who(2), "n", names.Options{}, names.ErrTaken) // leaves the line
	if now, _ := r.Get("n"); now.Waiters != 1 || now.Info != nil {
		t.Errorf("got %+v, want one waiter, whose info is not published", now)
	}
	if _, after := r.Snapshot(start); after[0].Waiters != 1 {
		t.Errorf("snapshot has %d waiters, want 1", after[0].Waiters)
	}
	if changes, ok := r.Since(rev); len(changes) != 0 || !ok {
		t.Errorf("got %v, %v, want no change", changes, ok)
	}
	if published.Waiters != 0 || before[0] != published {
		t.Errorf("a published entry changed: %+v", published)
	}
}

// A waiter's claim is all that is known of it: its last info is published when it
// owns, and none if it gave none.
func TestInfoOfWaiter(t *testing.T) {
	r := names.New(names.Limits{}, start)
	mustClaim(t, r, start, who(1), "n", names.Options{Info: []byte(`{"of":1}`)}, "owner")
	info := []byte(`{"of":2}`)
	mustClaim(t, r, start, who(2), "n", names.Options{Queue: true, Info: info}, "waiting")
	copy(info, "garbage!") // the registry has its own copy
	mustClaim(t, r, start, who(3), "n", names.Options{Queue: true, Info: []byte(`{"of":3}`)}, "waiting")
	mustClaim(t, r, start, who(3), "n", names.Options{Queue: true}, "waiting")
	for _, want := range []string{`{"of":2}`, ""} {
		e, _ := r.Get("n")
		changes := r.Drop(start, e.Session)
		if got := string(changes[0].Entry.Info); changes[0].Kind != names.Moved || got != want {
			t.Errorf("got %s with info %q, want moved with %q", changes[0].Kind, got, want)
		}
	}
}

// Drop leaves the lines first, so a session never inherits from itself, and then
// goes in the order of names.
func TestDropOrder(t *testing.T) {
	r := names.New(names.Limits{}, start)
	for _, n := range []names.Name{"c", "a", "b"} {
		mustClaim(t, r, start, who(1, 'k'), n, names.Options{}, "owner")
	}
	mustClaim(t, r, start, who(2, 'k'), "b", names.Options{Queue: true}, "waiting")
	mustClaim(t, r, start, who(2, 'k'), "d", names.Options{}, "owner")
	mustClaim(t, r, start, who(1, 'k'), "d", names.Options{Queue: true}, "waiting")
	got := ""
	for _, session := range []uint64{1, 2, 3} {
		for _, c := range r.Drop(start, session) {
			got += fmt.Sprintf("%s %s; ", c.Kind, c.Name)
		}
	}
	if want := "disconnected a; moved b; disconnected c; disconnected b; disconnected d; "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
