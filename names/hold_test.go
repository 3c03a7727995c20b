package names_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/names"
)

func TestHold(t *testing.T) {
	r := names.New(names.Limits{Hold: 5 * time.Second}, start)
	later := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	mustClaim(t, r, start, who(1, 'k'), "a", names.Options{}, "owner")
	mustClaim(t, r, start, who(1, 'k'), "b", names.Options{}, "owner")
	mustClaim(t, r, start, who(2), "b", names.Options{Queue: true}, "waiting")
	mustClaim(t, r, start, who(1, 'k'), "c", names.Options{}, "owner")
	if _, _, err := r.Release(start, 1, "c"); err != nil {
		t.Fatal(err)
	}
	mustClaim(t, r, start, who(3), "c", names.Options{}, "owner") // what is released is free
	r.Drop(start, 1)
	if e, ok := r.Get("b"); !ok || e.Session != 2 {
		t.Errorf("who waits owns at once: got %+v, %v", e, ok)
	}
	refused(t, r, later(4.9), who(3), "a", names.Options{}, names.ErrTaken)
	refused(t, r, later(4.9), who(3), "a", names.Options{Queue: true}, names.ErrTaken)
	mustClaim(t, r, later(4.9), who(4, 'k'), "a", names.Options{}, "owner") // its key, another session
	r.Drop(later(4.9), 4)
	refused(t, r, later(9.8), who(3), "a", names.Options{}, names.ErrTaken) // held anew
	mustClaim(t, r, later(9.9), who(3), "a", names.Options{}, "owner")
}

// A key cannot hold more names than it may have.
func TestHoldsAreBounded(t *testing.T) {
	r := names.New(names.Limits{Hold: time.Minute, NamesPerKey: 2}, start)
	for i := range 3 {
		mustClaim(t, r, start, who(1, 'k'), names.Name(fmt.Sprintf("n%d", i)), names.Options{}, "owner")
		r.Drop(start, 1)
	}
	refused(t, r, start, who(3), "n1", names.Options{}, names.ErrTaken)
	mustClaim(t, r, start, who(3), "n2", names.Options{}, "owner")
	mustClaim(t, r, start.Add(time.Minute), who(3), "n1", names.Options{}, "owner")
}

func TestWaitsOf(t *testing.T) {
	r := names.New(names.Limits{}, start)
	mustClaim(t, r, start, who(1), "a", names.Options{}, "owner")
	mustClaim(t, r, start, who(2), "a", names.Options{Queue: true}, "waiting")
	if got := r.WaitsOf(2); len(got) != 1 || got[0] != "a" || len(r.WaitsOf(1)) != 0 {
		t.Errorf("got %v and %v, want [a] and none", got, r.WaitsOf(1))
	}
}
