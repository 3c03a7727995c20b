package names_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/names"
)

// claimed makes a name and returns the rev of that.
func claimed(t *testing.T, r *names.Registry, now time.Time, session uint64, n names.Name) uint64 {
	t.Helper()
	result, changes, err := r.Claim(now, who(session), n, names.Options{})
	if err != nil || len(changes) != 1 || changes[0].Rev != result.Rev || result.Epoch != result.Rev {
		t.Fatalf("claim of %s: got %+v, %v, %v", n, result, changes, err)
	}
	return result.Rev
}

func TestRev(t *testing.T) {
	r := names.New(names.Limits{}, start)
	micros := uint64(start.UnixMicro())
	if rev := claimed(t, r, start, 1, "a"); rev != micros+1 {
		t.Errorf("first rev is %d, want one above the clock of New, %d", rev, micros+1)
	}
	if rev, _ := r.Snapshot(start); rev != micros+2 {
		t.Errorf("snapshot has rev %d, want its own, %d", rev, micros+2)
	}
	if rev := claimed(t, r, start.Add(-time.Hour), 1, "b"); rev != micros+3 {
		t.Errorf("clock stepped back: rev %d, want one more, %d", rev, micros+3)
	}
	later := start.Add(time.Minute)
	if rev := claimed(t, r, later, 1, "c"); rev != uint64(later.UnixMicro()) {
		t.Errorf("clock went on: rev %d, want its %d", rev, later.UnixMicro())
	}
	if rev := claimed(t, names.New(names.Limits{}, time.Time{}), time.Time{}, 1, "a"); rev == 0 || rev > 10 {
		t.Errorf("clock before 1970: rev %d, want a small one", rev)
	}
}

// The answer that changes nothing names the last event.
func TestRevOfNoChange(t *testing.T) {
	r := names.New(names.Limits{}, start)
	rev := claimed(t, r, start, 1, "a")
	claimed(t, r, start, 1, "b")
	again, changes, err := r.Claim(start, who(1), "a", names.Options{Yield: true})
	if again.Rev != rev || again.Epoch != rev || len(changes) != 0 || err != nil {
		t.Errorf("claim again: got %+v, %v, %v, want rev %d", again, changes, err, rev)
	}
	wait, _, err := r.Claim(start, who(2), "a", names.Options{Queue: true})
	if wait.Rev != rev || wait.Epoch != 0 || err != nil {
		t.Errorf("wait: got %+v, %v, want rev %d and epoch 0", wait, err, rev)
	}
	updated, _, err := r.Update(start, 1, "a", []byte(`{}`))
	if updated <= rev || err != nil {
		t.Errorf("update: got %d, %v, want a new rev", updated, err)
	}
	same, changes, err := r.Update(start, 1, "a", []byte(`{}`))
	if same != updated || len(changes) != 0 || err != nil {
		t.Errorf("same update: got %d, %v, %v, want %d", same, changes, err, updated)
	}
	left, changes, err := r.Release(start, 2, "a")
	if left != updated || len(changes) != 0 || err != nil {
		t.Errorf("release by a waiter: got %d, %v, %v, want %d", left, changes, err, updated)
	}
}

func TestSince(t *testing.T) {
	r := names.New(names.Limits{Log: 4}, start)
	if _, ok := r.Since(0); ok {
		t.Error("since 0 was answered, want a snapshot asked for")
	}
	first, _ := r.Snapshot(start)
	var revs []uint64
	for i := range 4 {
		revs = append(revs, claimed(t, r, start, 1, names.Name(fmt.Sprintf("n%d", i))))
	}
	check := func(rev uint64, want ...string) {
		t.Helper()
		changes, ok := r.Since(rev)
		var got []string
		for _, c := range changes {
			got = append(got, string(c.Name))
		}
		if !ok || !slices.Equal(got, want) {
			t.Errorf("since %d: got %v, %v, want %v", rev, got, ok, want)
		}
	}
	check(first, "n0", "n1", "n2", "n3")
	check(revs[1], "n2", "n3")
	changed := func(rev uint64, want string) {
		t.Helper()
		if n, ok := r.Changed(rev); string(n) != want || ok != (want != "") {
			t.Errorf("changed at %d: got %q, %v, want %q", rev, n, ok, want)
		}
	}
	changed(0, "")
	changed(first, "")
	changed(revs[2], "n2")
	check(revs[3])

	second, _ := r.Snapshot(start)
	claimed(t, r, start, 1, "n4")
	check(second, "n4")
	check(revs[0], "n1", "n2", "n3", "n4") // n0 has left the log, but all after it is there
	changed(revs[0], "n0")
	changed(second, "")
	if _, ok := r.Since(first); ok {
		t.Error("since before the log was answered")
	}
	for _, rev := range []uint64{first - 1, second + 100, 1 << 62} {
		if _, ok := r.Since(rev); ok {
			t.Errorf("since %d was answered, but it was never drawn", rev)
		}
	}
}

// A server that starts again with a clock that was set back must not take the rev
// of the run before for one of its own, even when its own count has passed it.
func TestSinceOfAnotherRun(t *testing.T) {
	before := names.New(names.Limits{}, start)
	claimed(t, before, start, 1, "a")
	old, _ := before.Snapshot(start.Add(time.Second))

	r := names.New(names.Limits{}, start.Add(-time.Hour))
	claimed(t, r, start.Add(-time.Hour), 1, "b")
	claimed(t, r, start.Add(time.Hour), 1, "c")
	if changes, ok := r.Since(old); ok {
		t.Errorf("since %d was answered with %v", old, changes)
	}
}

// A watcher that keeps up over ten thousand changes and more has the registry at
// every rev; one that comes back asks with since, or starts over (F40).
func TestReplay(t *testing.T) {
	const size = 64
	r := names.New(names.Limits{Log: size}, start)
	rev, _ := r.Snapshot(start)
	mirror := make(map[names.Name]*names.Entry)
	lagged := 0
	for i := range 12_000 {
		n := names.Name(fmt.Sprintf("n%d", i*7%100))
		now := start.Add(time.Duration(i) * 100 * time.Microsecond)
		if e, ok := r.Get(n); ok {
			r.Drop(now, e.Session)
		} else {
			claimed(t, r, now, uint64(i), n)
		}
		if i%97 > i%29 { // away for up to 97 changes
			continue
		}
		changes, ok := r.Since(rev)
		for _, c := range changes {
			if c.Rev <= rev {
				t.Fatalf("change %d after %d", c.Rev, rev)
			}
			if rev = c.Rev; c.Entry == nil {
				delete(mirror, c.Name)
			} else {
				mirror[c.Name] = c.Entry
			}
		}
		snapshot, entries := r.Snapshot(now)
		if !ok {
			lagged++
			clear(mirror)
			for _, e := range entries {
				mirror[e.Name] = e
			}
		}
		if rev = snapshot; len(mirror) != len(entries) {
			t.Fatalf("at %d: mirror has %d names, want %d", rev, len(mirror), len(entries))
		}
		for _, e := range entries {
			if mirror[e.Name] != e {
				t.Fatalf("at %d: mirror has %+v, want %+v", rev, mirror[e.Name], e)
			}
		}
	}
	if lagged == 0 {
		t.Error("the watcher never lagged, want both ways to be seen")
	}
}

// What a snapshot handed out stays as it is.
func TestSnapshotIsImmutable(t *testing.T) {
	r := names.New(names.Limits{NamesPerKey: 500}, start)
	for i := range 300 {
		claimed(t, r, start, 1, names.Name(fmt.Sprintf("n%03d", i)))
	}
	_, all := r.Snapshot(start)
	kept := slices.Clone(all)
	for i := range 300 {
		if _, _, err := r.Release(start, 1, kept[i].Name); err != nil {
			t.Fatal(err)
		}
		if _, now := r.Snapshot(start); len(now) != 299-i || i%2 == 0 && len(now) > 0 && now[0] != kept[i+1] {
			t.Fatalf("after %d releases: %d entries", i+1, len(now))
		}
	}
	if !slices.Equal(all, kept) {
		t.Error("a snapshot changed after it was returned")
	}
	_, one := r.Snapshot(start)
	_, two := r.Snapshot(start)
	if len(one) != 0 || len(two) != 0 {
		t.Errorf("got %d and %d entries, want none", len(one), len(two))
	}
}
