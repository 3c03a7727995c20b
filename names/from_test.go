package names_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cad2f06c/switchboard/names"
)

// A key that has taken the place of another may take its names, and what is held for
// it; not the other way round, and not without replace.
func TestClaimFrom(t *testing.T) {
	now := time.Unix(1, 0)
	r := names.New(names.Limits{Hold: time.Minute}, now)
	old, next := names.Owner{Session: 1, Key: [32]byte{1}}, names.Owner{Session: 2, Key: [32]byte{2}}
	first, _, err := r.Claim(now, old, "a", names.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Claim(now, next, "a", names.Options{From: old.Key}); !errors.Is(err, names.ErrTaken) {
		t.Errorf("without replace: %v", err)
	}
	if _, _, err := r.Claim(now, next, "a", names.Options{Replace: true, From: [32]byte{3}}); !errors.Is(err, names.ErrTaken) {
		t.Errorf("of a third: %v", err)
	}
	second, changes, err := r.Claim(now, next, "a", names.Options{Replace: true, From: old.Key})
	if err != nil || second.Epoch <= first.Epoch || len(changes) != 1 || changes[0].Kind != names.Moved {
		t.Errorf("got %+v, %v, %v", second, changes, err)
	}
	if _, _, err := r.Claim(now, old, "a", names.Options{Replace: true}); !errors.Is(err, names.ErrTaken) {
		t.Errorf("back: %v", err)
	}
	if _, _, err := r.Claim(now, old, "b", names.Options{}); err != nil {
		t.Fatal(err)
	}
	r.Drop(now, old.Session) // held for its key
	if _, _, err := r.Claim(now, next, "b", names.Options{}); !errors.Is(err, names.ErrTaken) {
		t.Errorf("held: %v", err)
	}
	if _, _, err := r.Claim(now, next, "b", names.Options{From: old.Key}); err != nil {
		t.Errorf("held for the key before: %v", err)
	}
}
