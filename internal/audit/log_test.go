package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, Config{Dir: dir, Sign: sign})
	attrs := map[string]string{"k": "v"}
	l.Note(Event{Event: "connect.denied", Actor: "@a", Peer: "@b", Name: "org.b", Tenant: "t", Target: "u", Decision: "denied",
		Rule: "r", Reason: "why", Session: "1", Channel: "2", Source: "3", Unix: true, UID: 0, PID: 7, Bytes: 9, Dur: 1500 * time.Microsecond, N: 3, Attrs: attrs})
	if err := l.Commit(t.Context(), Event{Event: "peer.set", Target: strings.Repeat("x\n", huge)}); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"", EventHead, EventGap, EventSuppressed, EventRotate, EventLagged} {
		l.Note(Event{Event: word})
	}
	closeLog(t, l)
	closeLog(t, l)
	if err := l.Commit(t.Context(), Event{Event: "x"}); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	l.Note(Event{Event: "x"})
	r := sound(t, dir)
	all := records(t, dir)
	if r.Records != 9 || len(all) != 9 || r.Heads != 1 || r.Unsigned != 0 || !r.Signed || r.Head.Seq != 8 {
		t.Fatalf("%+v of %d", r, len(all))
	}
	if a := all[0]; a.Reason != "why" || a.Dur != time.Millisecond || !a.Unix || a.PID != 7 || a.Attrs["k"] != "v" || a.Boot != l.boot {
		t.Errorf("read %+v", a)
	}
	recent := l.Recent(Filter{})
	for i, r := range recent {
		if string(AppendRecord(nil, r)) != string(AppendRecord(nil, all[i])) {
			t.Errorf("Recent has %+v, the file %+v", r, all[i])
		}
	}
	if len(recent) != 8 || count(all, EventHead) != 1 || all[2].Event.Event != "?" {
		t.Errorf("%d recent, %+v", len(recent), all[2])
	}
	if h, ok := HeadOf(all[8]); !ok || h.Seq != 8 || !verify(h.Message(), h.Sig) || sound(t, dir, h).Fault != nil {
		t.Errorf("head %+v", h)
	}
}

// TestContinues: a second log in the same place goes on where the first ended.
func TestContinues(t *testing.T) {
	dir := t.TempDir()
	var boots []string
	for i := range 3 {
		l := open(t, Config{Dir: dir, Sign: sign, Ring: 7})
		if got := len(l.Recent(Filter{})); got != min(4*i, 7) {
			t.Errorf("start %d knows %d records", i, got)
		}
		boots = append(boots, l.boot)
		for range 4 {
			l.Note(Event{Event: "x"})
		}
		if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrInUse) {
			t.Errorf("a second one at once: %v", err)
		}
		closeLog(t, l)
	}
	if r := sound(t, dir); r.Records != 15 || r.Heads != 3 || r.Gaps != 0 || boots[0] == boots[1] {
		t.Errorf("%+v, %v", r, boots)
	}
}

// TestF56: the clock on the wall jumps; the order of records, flood control and what
// is due do not.
func TestF56(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var mu sync.Mutex
		var shift time.Duration
		files := newFaulty()
		l := open(t, Config{Dir: dir, Sign: sign, Rate: 10, files: files, Clock: Clock{Wall: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(shift)
		}}})
		for _, jump := range []time.Duration{0, -time.Hour, 10 * 365 * 24 * time.Hour, time.Second, -time.Second} {
			mu.Lock()
			shift = jump
			mu.Unlock()
			for range 10 { // the whole rate, and no more of it
				l.Note(Event{Event: "x", Actor: "@a"})
			}
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Minute) // the machine stood still
		l.Note(Event{Event: "x", Actor: "@a"})
		closeLog(t, l)
		all := records(t, dir)
		if len(all) != 51+2 || count(all, EventHead) != 2 || l.Stats().Dropped != 0 {
			t.Errorf("%d records, %d heads, %+v", len(all), count(all, EventHead), l.Stats())
		}
		back := 0
		for i, r := range all[1:] {
			if r.Seq != all[i].Seq+1 || r.Mono < all[i].Mono || r.Boot != all[i].Boot {
				t.Errorf("%+v after %+v", r, all[i])
			}
			if r.Wall < all[i].Wall {
				back++
			}
		}
		if back < 2 {
			t.Errorf("the clock ran back %d times: it was not put back", back)
		}
		sound(t, dir)
	})
}

// TestFlush: a note is on the disk within Flush, and a log with nothing to do does
// nothing.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newFaulty()
		l := open(t, Config{Dir: t.TempDir(), Sign: sign, files: files})
		synced := func() (n int, size int64) {
			files.mu.Lock()
			defer files.mu.Unlock()
			return files.syncs, files.synced
		}
		l.Note(Event{Event: "x"})
		time.Sleep(500 * time.Millisecond)
		if n, _ := synced(); n != 0 {
			t.Errorf("%d syncs at once", n)
		}
		time.Sleep(510 * time.Millisecond)
		n, size := synced()
		if n != 1 || size == 0 {
			t.Errorf("%d syncs of %d bytes after a second", n, size)
		}
		time.Sleep(58 * time.Second)
		if heads := l.Recent(Filter{Event: EventHead}); len(heads) != 0 {
			t.Error("a head before a minute")
		}
		time.Sleep(time.Second)
		if heads := l.Recent(Filter{Event: EventHead}); len(heads) != 1 || l.Stats().Head.Seq != 1 {
			t.Error("no head after a minute")
		}
		n, _ = synced()
		time.Sleep(time.Hour)
		if more, _ := synced(); more != n || l.Stats().Seq != 2 {
			t.Errorf("%d syncs in an hour without a note, %d records", more-n, l.Stats().Seq)
		}
	})
}

// TestHeads: at least every thousandth record is a head.
func TestHeads(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, Sign: sign, Rate: -1})
	for range 5 {
		for range 700 {
			l.Note(Event{Event: "x"})
		}
		if err := l.Commit(t.Context(), Event{Event: "y"}); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	var last uint64
	for _, r := range records(t, dir) {
		if r.Event.Event == EventHead {
			if r.Seq-last > headEvery {
				t.Errorf("heads %d and %d", last, r.Seq)
			}
			last = r.Seq
		}
	}
	if r := sound(t, dir); r.Heads != 4 {
		t.Errorf("%+v", r)
	}
}

// TestSuppressed: every event is written or counted, one peer's flood costs no other
// an event, and the log tells of it within two seconds.
func TestSuppressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, Config{Dir: dir, Rate: 10})
		for i := range 1000 {
			l.Note(Event{Event: "x", Actor: "@flood"})
			l.Note(Event{Event: "x", Source: "192.0.2.1"})
			if i < 10 {
				l.Note(Event{Event: "x", Actor: "@good"})
			}
		}
		time.Sleep(1100 * time.Millisecond)
		told := l.Recent(Filter{Event: EventSuppressed})
		if len(told) != 2 || told[0].Actor != "@flood" || told[0].N != 990 || told[1].Source != "192.0.2.1" || told[1].N != 990 {
			t.Errorf("told %+v", told)
		}
		l.Note(Event{Event: "x", Actor: "@flood"})
		for range 5 * maxQueue { // the actors are many: the queue is bounded all the same
			l.Note(Event{Event: "z", Actor: fmt.Sprint(l.Stats().Notes % maxActors)})
		}
		closeLog(t, l)
		stats := l.Stats()
		written, counted, good := uint64(0), uint64(0), 0
		for _, r := range records(t, dir) {
			if r.Actor == "@good" {
				good++
			}
			if r.Event.Event == EventSuppressed {
				counted += r.N
			} else {
				written++
			}
		}
		if stats.Dropped != counted || written+counted != stats.Notes {
			t.Errorf("%d written and %d counted of %+v", written, counted, stats)
		}
		if good != 10 {
			t.Errorf("%d records of the good one", good)
		}
	})
}

// TestMemory: without a directory there is a log all the same.
func TestMemory(t *testing.T) {
	l := open(t, Config{})
	l.Note(Event{Event: "x"})
	if err := l.Commit(t.Context(), Event{Event: "y"}); err != nil {
		t.Fatal(err)
	}
	if all := l.Recent(Filter{}); len(all) != 2 || l.Degraded() != nil {
		t.Errorf("%+v", all)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range maxCommits {
		l.commits <- struct{}{}
	}
	if err := l.Commit(ctx, Event{Event: "z"}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
}

// TestNoteDoesNotGrow: what waits is as long as its fields may be, not as what was
// given.
func TestNoteDoesNotGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Rate: -1})
		l.Note(Event{Event: "x"})
		synctest.Wait() // the writer lingers
		long := strings.Repeat("a", huge)
		l.Note(Event{Event: "x", Name: long, Reason: long, Attrs: map[string]string{long: long}})
		l.mu.Lock()
		e := &l.queue[len(l.queue)-1]
		size := 0
		for _, f := range e.texts() {
			size += len(*f.text)
		}
		for k, v := range e.Attrs {
			size += len(k) + len(v)
		}
		l.mu.Unlock()
		if size > MaxLine {
			t.Errorf("%d bytes wait", size)
		}
	})
}

// TestConcurrent: many report at once; each record is there once, in the order of its
// actor.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, Sign: sign, Rate: -1, MaxFile: 64 << 10, Files: 100})
	var wg sync.WaitGroup
	const each = 200
	for a := range 8 {
		wg.Go(func() {
			for i := range each {
				e := Event{Event: "x", Actor: fmt.Sprint(a), N: uint64(i + 1)}
				if i%50 != 0 {
					l.Note(e)
				} else if err := l.Commit(t.Context(), e); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				l.Recent(Filter{Peer: fmt.Sprint(a), Limit: 10})
				l.Stats()
				l.Degraded()
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	next := make(map[string]uint64)
	for _, r := range records(t, dir) {
		if r.Event.Event != "x" {
			continue
		}
		if next[r.Actor]++; r.N != next[r.Actor] {
			t.Fatalf("%+v, want n %d", r, next[r.Actor])
		}
	}
	for a, n := range next {
		if n != each {
			t.Errorf("%s has %d records", a, n)
		}
	}
	if r := sound(t, dir); len(next) != 8 || r.Files < 3 {
		t.Errorf("%d actors, %+v", len(next), r)
	}
}

// TestRotation: files are as long as they may be, so many are kept, and each ends
// with a head.
func TestRotation(t *testing.T) {
	const maxFile = 8 << 10
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, Sign: sign, Rate: -1, MaxFile: maxFile, Files: 4})
	for i := range 1000 {
		l.Note(Event{Event: "x", N: uint64(i)})
		if i%100 == 0 {
			if err := l.Commit(t.Context(), Event{Event: "y"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	closeLog(t, l)
	names, err := logNames(osFiles{}, dir)
	if err != nil || len(names) != 4 || l.Stats().Files != 4 {
		t.Fatalf("files %v, %v", names, err)
	}
	for i, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Size() > maxFile+2*MaxLine || i < 3 && info.Size() < maxFile || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		text, _ := os.ReadFile(filepath.Join(dir, name))
		lines := strings.SplitAfter(string(text), "\n")
		if first, err := ParseRecord([]byte(lines[0])); err != nil || first.Event.Event != EventRotate || first.Seq != firstOf(name) {
			t.Errorf("%s begins with %+v, %v", name, first, err)
		}
		if last, err := ParseRecord([]byte(lines[len(lines)-2])); err != nil || last.Event.Event != EventHead {
			t.Errorf("%s ends with %+v, %v", name, last, err)
		}
	}
	if r := sound(t, dir); r.First == 1 || r.First != firstOf(names[0]) || r.Unsigned != 0 {
		t.Errorf("%+v", r)
	}
}
