package audit

import (
	"bufio"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

var typical = Event{Event: "connect.denied", Actor: "@Z0iHZkmLGEbbyZHnQnnjWUHqyNzlCWx6FZQBW5PWwbU=.ed25519",
	Peer: "@kKf6WHnL0mPSwzMdvpCjcHxd3hZVHXNlUXoEmVpHQvE=.ed25519", Name: "org.example.store", Decision: "denied",
	Rule: "authorized_peers:12 talk=org.example.**", Session: "17", Source: "192.0.2.1"}

func plainLine(log *slog.Logger, e *Event) {
	log.Info(e.Event, "actor", e.Actor, "peer", e.Peer, "name", e.Name, "decision", e.Decision, "rule", e.Rule, "session", e.Session, "source", e.Source)
}

// BenchmarkNote is what a caller pays, and all of it to the file, beside a line of
// slog to a file in the same run: the two take turns of 1,000.
func BenchmarkNote(b *testing.B) {
	run := func(b *testing.B, to string, whole bool) {
		dir := b.TempDir()
		l := open(b, Config{Dir: filepath.Join(dir, "audit"), Sign: sign, Rate: -1})
		f, err := os.Create(filepath.Join(dir, "slog"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		log := slog.New(slog.NewJSONHandler(f, nil))
		if to == "buffered" {
			log = slog.New(slog.NewJSONHandler(bufio.NewWriterSize(f, 64<<10), nil))
		}
		var ours, theirs time.Duration
		b.ReportAllocs()
		for done := 0; done < b.N; done += 1000 {
			start := time.Now()
			for range 1000 {
				l.Note(typical)
			}
			if whole {
				drain(b, l)
			}
			ours += time.Since(start)
			if !whole {
				drain(b, l)
			}
			start = time.Now()
			for range 1000 {
				plainLine(log, &typical)
			}
			theirs += time.Since(start)
		}
		n := float64((b.N + 999) / 1000 * 1000)
		b.ReportMetric(float64(ours.Nanoseconds())/n, "note-ns")
		b.ReportMetric(float64(theirs.Nanoseconds())/n, "slog-ns")
		b.ReportMetric(float64(ours)/float64(theirs), "ratio")
	}
	b.Run("caller/slog to file", func(b *testing.B) { run(b, "file", false) })
	b.Run("caller/slog buffered", func(b *testing.B) { run(b, "buffered", false) })
	b.Run("written/slog to file", func(b *testing.B) { run(b, "file", true) })
	b.Run("written/slog buffered", func(b *testing.B) { run(b, "buffered", true) })
}

// drain waits until all is written.
func drain(b *testing.B, l *Log) {
	l.mu.Lock()
	notes := l.notes
	l.mu.Unlock()
	for signal(l.urgent); l.written.seq.Load() < notes; runtime.Gosched() {
	}
}

// BenchmarkNoteAllocs counts the allocations of Note alone.
func BenchmarkNoteAllocs(b *testing.B) {
	for name, rate := range map[string]int{"written": -1, "suppressed": 1} {
		b.Run(name, func(b *testing.B) {
			l := open(b, Config{Rate: rate})
			b.ReportAllocs()
			for b.Loop() {
				l.Note(typical)
			}
		})
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	r := Record{Seq: 1 << 40, Wall: 1 << 40, Mono: 1 << 30, Boot: "0123456789abcdef", Event: typical}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = r.append(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkChain(b *testing.B) {
	var c chain
	r := Record{Wall: 1 << 40, Mono: 1 << 30, Boot: "0123456789abcdef", Event: typical}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = c.add(buf[:0], &r)
	}
	b.SetBytes(int64(len(buf)))
}

// BenchmarkVerify is by record.
func BenchmarkVerify(b *testing.B) {
	lines := build(1000, 1000)
	b.ReportAllocs()
	for done := 0; done < b.N; done += 1000 {
		if f := check(checker{verify: verify}, lines...); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	l := open(b, Config{Dir: filepath.Join(b.TempDir(), "audit"), Sign: sign})
	for b.Loop() {
		if err := l.Commit(b.Context(), typical); err != nil {
			b.Fatal(err)
		}
	}
}
