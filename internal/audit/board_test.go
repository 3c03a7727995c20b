package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func seqs(all []Record) (n []uint64) {
	for _, r := range all {
		n = append(n, r.Seq)
	}
	return n
}

// TestQ45: four filters and their conjunction. A denial is found by who was denied
// and by whom it was to reach.
func TestQ45(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	b := newBoard(100)
	b.add([]Record{
		{Seq: 1, Wall: 10, Event: Event{Event: "login", Actor: "@a"}},
		{Seq: 2, Wall: 20, Event: Event{Event: "connect.denied", Actor: "@a", Peer: "@b", Name: "org.b"}},
		{Seq: 3, Wall: 30, Event: Event{Event: "connect.denied", Actor: "@b", Peer: "@a", Name: "org.a", Tenant: "beta"}},
		{Seq: 4, Wall: 25, Event: Event{Event: "peer.set", Actor: "@admin", Target: "@a"}}, // the clock was put back
		{Seq: 5, Wall: 40, Event: Event{Event: "name.moved", Actor: "@c", Name: "org.c", Target: "org.a"}},
		{Seq: 6, Wall: 50, Event: Event{Event: EventHead}},
	})
	l := &Log{events: b}
	for _, c := range []struct {
		f    Filter
		want []uint64
	}{
		{Filter{}, []uint64{1, 2, 3, 4, 5}},
		{Filter{Event: "connect.denied"}, []uint64{2, 3}},
		{Filter{Event: "connect"}, nil},
		{Filter{Event: EventHead}, []uint64{6}},
		{Filter{Peer: "@a"}, []uint64{1, 2, 3, 4}},
		{Filter{Peer: "@b"}, []uint64{2, 3}},
		{Filter{Peer: "@"}, nil},
		{Filter{Name: "org.a"}, []uint64{3, 5}},
		{Filter{Name: "beta/org.a"}, []uint64{3}},
		{Filter{Name: "/org.c"}, nil},
		{Filter{Since: at(25)}, []uint64{3, 4, 5}},
		{Filter{Until: at(25)}, []uint64{1, 2, 4}},
		{Filter{Since: at(20), Until: at(30)}, []uint64{2, 3, 4}},
		{Filter{After: 3}, []uint64{4, 5}},
		{Filter{Limit: 2}, []uint64{4, 5}},
		{Filter{Peer: "@a", Limit: 1}, []uint64{4}},
		{Filter{Event: "connect.denied", Peer: "@a", Name: "org.b", Since: at(20), Until: at(20)}, []uint64{2}},
		{Filter{Event: "connect.denied", Peer: "@a", Name: "org.b", Since: at(21)}, nil},
	} {
		if got := seqs(l.Recent(c.f)); !slices.Equal(got, c.want) {
			t.Errorf("%+v picks %v, want %v", c.f, got, c.want)
		}
	}
}

// TestQ44: the newest 10,000 are kept: of 10,001 the first is gone. Heads take no
// place.
func TestQ44(t *testing.T) {
	l := open(t, Config{Rate: -1, Sign: sign})
	for i := range 10_001 {
		l.Note(Event{Event: "x", Name: fmt.Sprint(i)})
		if i%1000 == 0 {
			if err := l.Commit(t.Context(), Event{Event: "y"}); err != nil { // or the queue overflows
				t.Fatal(err)
			}
		}
	}
	closeLog(t, l)
	all := l.Recent(Filter{})
	if len(all) != 10_000 || l.Stats().Dropped != 0 {
		t.Fatalf("%d records are kept, %d dropped", len(all), l.Stats().Dropped)
	}
	if xs := l.Recent(Filter{Event: "x"}); xs[len(xs)-1].Name != "10000" || l.Recent(Filter{Limit: 100})[0].Seq != all[9900].Seq {
		t.Error("they are not the newest")
	}
	if len(l.Recent(Filter{Event: "x", Name: "0"})) != 0 || len(l.Recent(Filter{Event: EventHead})) < 10 {
		t.Error("the first is there still, or the heads are not")
	}
}

// TestRingGoes round more than once.
func TestRingGoesRound(t *testing.T) {
	g := ring{size: 10}
	for i := range 35 {
		g.add(Record{Seq: uint64(2*i + 1)})
	}
	if got := seqs(g.pick(Filter{})); got[0] != 51 || got[9] != 69 || len(got) != 10 {
		t.Errorf("it holds %v", got)
	}
	for seq, want := range map[uint64]uint64{0: 25, 50: 25, 51: 26, 52: 26, 68: 34, 69: 35, 99: 35} {
		if got := g.after(seq); got != want {
			t.Errorf("after %d comes number %d, want %d", seq, got, want)
		}
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Ring: 50, Rate: -1, Sign: sign})
		l.Note(Event{Event: "x", Name: "before"})
		synctest.Wait()
		time.Sleep(time.Second)
		var got, fromStart []Record
		stop := errors.New("stop")
		results := make(chan error, 4)
		go func() {
			results <- l.Follow(t.Context(), Filter{Event: "x"}, func(r Record) error {
				if got = append(got, r); r.Name == "9" {
					return stop
				}
				return nil
			})
		}()
		go func() {
			results <- l.Follow(t.Context(), Filter{After: 1, Limit: 1}, func(r Record) error {
				fromStart = append(fromStart, r)
				return nil
			})
		}()
		ctx, cancel := context.WithCancelCause(t.Context())
		canceled := errors.New("canceled")
		go func() { results <- l.Follow(ctx, Filter{}, func(Record) error { return nil }) }()
		synctest.Wait()
		for i := range 10 {
			l.Note(Event{Event: "x", Name: fmt.Sprint(i)})
			l.Note(Event{Event: "other"})
		}
		if err := <-results; err != stop || len(got) != 10 || got[0].Name != "0" {
			t.Errorf("%v after %d records", err, len(got))
		}
		cancel(canceled)
		if err := <-results; err != canceled {
			t.Errorf("%v, want the cause", err)
		}
		l.Note(Event{Event: "last"})
		closeLog(t, l)
		if err := <-results; err != ErrClosed || len(fromStart) != 21 || fromStart[20].Event.Event != "last" {
			t.Errorf("%v after %d records", err, len(fromStart))
		}
		if err := l.Follow(t.Context(), Filter{}, nil); err != ErrClosed {
			t.Errorf("%v after Close", err)
		}
	})
}

// TestFollowLags: who is too slow hears how much was left out, and holds up nobody.
func TestFollowLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Ring: 20, Rate: -1})
		var got []Record
		go l.Follow(t.Context(), Filter{}, func(r Record) error {
			got = append(got, r)
			time.Sleep(time.Minute)
			return nil
		})
		synctest.Wait()
		for i := range 200 {
			l.Note(Event{Event: "x", N: uint64(i)})
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		left := uint64(0)
		next := uint64(1)
		for _, r := range got {
			if r.Event.Event == EventLagged {
				left, next = left+r.N, next+r.N
			} else if r.Seq != next {
				t.Fatalf("record %d, want %d", r.Seq, next)
			} else {
				next++
			}
		}
		if left == 0 || next != 201 {
			t.Errorf("%d left out, then up to %d of 200", left, next-1)
		}
	})
}
