package names

import (
	"testing"
	"time"
)

// A session that comes and goes with its name all the time leaves one hold, not one
// each time until the first is over.
func TestHoldsDoNotPileUp(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := New(Limits{Hold: time.Hour}, now)
	for i := range uint64(10_000) {
		now = now.Add(time.Millisecond)
		for _, n := range []Name{"a", "b"} {
			if _, _, err := r.Claim(now, Owner{Session: i, Key: [32]byte{1}}, n, Options{}); err != nil {
				t.Fatal(err)
			}
		}
		r.Drop(now, i)
	}
	if n := len(r.holds.list); n > 2*len(r.holds.names)+maxStale {
		t.Errorf("%d holds are kept for %d names", n, len(r.holds.names))
	}
	late := now.Add(time.Hour - time.Millisecond)
	if _, _, err := r.Claim(late, Owner{Session: 1 << 20, Key: [32]byte{2}}, "a", Options{}); err != ErrTaken {
		t.Errorf("the last hold is over too early: %v", err)
	}
	if _, _, err := r.Claim(now.Add(time.Hour), Owner{Session: 1 << 20, Key: [32]byte{2}}, "a", Options{}); err != nil {
		t.Errorf("it lasts too long: %v", err)
	}
}
