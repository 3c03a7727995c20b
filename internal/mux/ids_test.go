package mux

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// Against a plain map, with ids nearly in order, some far ahead, some twice.
func TestIDSetModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := idSet{next: 1}
		model := map[uint32]bool{}
		next := uint32(1)
		for range rapid.IntRange(1, 200).Draw(t, "ops") {
			back := uint32(rapid.IntRange(0, 20).Draw(t, "back"))
			id := next + 2*uint32(rapid.IntRange(0, 3).Draw(t, "ahead"))
			if id > 2*back {
				id -= 2 * back
			}
			if got, want := s.has(id), model[id]; got != want {
				t.Fatalf("has(%d): got %v, want %v", id, got, want)
			}
			err := s.add(id)
			if model[id] != errors.Is(err, ErrProtocol) || (err == nil) == model[id] {
				t.Fatalf("add(%d), used before: %v: got %v", id, model[id], err)
			}
			model[id] = true
			next = max(next, id+2)
		}
		for id := uint32(1); id < next+10; id += 2 {
			if got, want := s.has(id), model[id]; got != want {
				t.Fatalf("at the end has(%d): got %v, want %v", id, got, want)
			}
		}
	})
}

func TestIDSetBounds(t *testing.T) {
	s := idSet{next: 2}
	if err := s.add(1<<32 - 2); err != nil {
		t.Fatalf("the last id: %v", err)
	}
	if err := s.add(1<<32 - 2); !errors.Is(err, ErrProtocol) {
		t.Errorf("the last id twice: got %v", err)
	}
	if err := s.add(2); err != nil || !s.has(2) || s.has(4) {
		t.Errorf("the first id after the last: %v", err)
	}
	s = idSet{next: 1}
	var err error
	n := 0
	for id := uint32(3); err == nil; id += 4 {
		err = s.add(id)
		n++
	}
	if !errors.Is(err, ErrFlood) || n != maxRuns+1 {
		t.Errorf("gaps: got %v after %d", err, n)
	}
	s = idSet{next: 1}
	s.add(1e9 + 1)
	for id := uint32(1e6 + 1); s.add(id) == nil; id += 4 {
	}
	if len(s.gaps) != maxRuns {
		t.Errorf("a split gap: %d gaps, want %d", len(s.gaps), maxRuns)
	}
}

func TestIDQueue(t *testing.T) {
	var q idQueue
	for id := uint32(1); id < 200_000; id += 2 {
		if err := q.push(id); err != nil {
			t.Fatal(err)
		}
	}
	if len(q.runs) != 1 {
		t.Errorf("a row of ids takes %d runs", len(q.runs))
	}
	for want := uint32(1); want < 200_000; want += 2 {
		if id, ok := q.pop(); id != want || !ok {
			t.Fatalf("got %d, %v, want %d", id, ok, want)
		}
	}
	if _, ok := q.pop(); ok {
		t.Error("not empty at the end")
	}
	var err error
	n := 0
	for id := uint32(1); err == nil; id += 4 {
		err = q.push(id)
		n++
	}
	if !errors.Is(err, ErrFlood) || n != maxRuns+1 {
		t.Errorf("got %v after %d", err, n)
	}
}
