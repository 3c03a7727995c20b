package board

import "testing"

func TestNamesOfNumbers(t *testing.T) {
	for _, c := range []struct{ theirs, ours string }{
		{"callee", "callee"},
		{"held.a17.n0", "held.a17.n0"},
		{"claim.few.0", "claim.few._0"},
		{"1k.2", "_1k._2"},
		{"_a._", "_a._"},
	} {
		if got := valid(c.theirs); got != c.ours {
			t.Errorf("valid(%q) = %q, want %q", c.theirs, got, c.ours)
		}
		if got := told(c.ours); got != c.theirs {
			t.Errorf("told(%q) = %q, want %q", c.ours, got, c.theirs)
		}
	}
}

func TestUnknownMode(t *testing.T) {
	if _, err := Dialer("carrier pigeon"); err == nil {
		t.Error("no error")
	}
}
