package shs

import "testing"

// What is large, and what follows it, is not told; small calls by themselves are.
func TestMonitor(t *testing.T) {
	m := newMonitor()
	if m.calls(1 << 30) {
		t.Error("nobody asked for quiet calls")
	}
	m = &monitor{least: 100}
	if m.calls(99) {
		t.Error("a small call is quiet")
	}
	for range 2 {
		if !m.calls(100) {
			t.Error("a large call is told")
		}
	}
	for i := range bulkLasts {
		if !m.calls(1) {
			t.Fatalf("small call %d after a large one is told", i)
		}
	}
	if m.calls(1) {
		t.Error("bulk does not end")
	}
	if m = (&monitor{}); !m.calls(0) {
		t.Error("not all calls are quiet")
	}
}
