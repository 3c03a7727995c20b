package ctl

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cad2f06c/switchboard/client"
)

// What watch prints is always a change of what it printed before, over a gap as
// well.
func TestWatchView(t *testing.T) {
	there := func(kind, name string, epoch uint64) client.Event {
		return client.Event{Type: kind, Name: name, Entry: &client.Entry{Name: name, Epoch: epoch}}
	}
	gone := func(name string) client.Event { return client.Event{Type: "disconnected", Name: name} }
	synced, lagged := client.Event{Type: eventSynced}, client.Event{Type: eventLagged}

	tests := []struct {
		name   string
		events []client.Event
		want   string
	}{
		{"snapshot, then changes", []client.Event{
			there("connected", "a", 1), there("connected", "b", 2), synced,
			there("connected", "c", 3), there(eventMoved, "a", 4), there(eventUpdated, "a", 4), gone("b"),
		}, "+ a\n+ b\n+ c\n> a\n~ a\n- b\n"},
		{"nothing changed in a gap", []client.Event{
			there("connected", "a", 1), synced, lagged, there("connected", "a", 1), synced,
		}, "+ a\n"},
		{"all kinds of change in a gap", []client.Event{
			there("connected", "a", 1), there("connected", "b", 2), there("connected", "c", 3), synced,
			lagged, there("connected", "b", 9), there("connected", "c", 3), there("connected", "d", 8), synced,
		}, "+ a\n+ b\n+ c\n> b\n+ d\n- a\n"},
		{"lost again before the snapshot was whole", []client.Event{
			there("connected", "a", 1), there("connected", "b", 2), synced,
			lagged, there("connected", "a", 1), lagged, there("connected", "b", 2), synced,
		}, "+ a\n+ b\n- a\n"},
		{"gone within the snapshot", []client.Event{
			there("connected", "a", 1), synced, lagged, there("connected", "a", 1), gone("a"), synced,
		}, "+ a\n- a\n"},
		{"gone and never known", []client.Event{synced, gone("a")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			v := newView(&app{out: out})
			for _, ev := range tt.events {
				if err := v.apply(ev); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(out.Name())
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
