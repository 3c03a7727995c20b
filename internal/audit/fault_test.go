package audit

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// trap panics once it is armed: as what signs, and as a sink.
type trap struct{ armed atomic.Bool }

func (p *trap) spring() {
	if p.armed.Load() {
		panic("a trap")
	}
}

func (p *trap) sign(msg []byte) []byte {
	p.spring()
	return sign(msg)
}

func (*trap) Name() string { return "trap" }

func (p *trap) Write([]Record) error {
	p.spring()
	return nil
}

func (p *trap) Close() error {
	p.spring()
	return nil
}

// TestWriterPanics: the process lives, and the log is degraded until it is closed:
// commits are refused, the one under way among them, notes are lost. The next log goes
// on behind the last whole line.
func TestWriterPanics(t *testing.T) {
	for name, tt := range map[string]struct {
		arm  func(*faulty, *trap)
		wait time.Duration // until it panics by itself
	}{
		"in the file": {func(f *faulty, _ *trap) { f.set(func() { f.panics = true }) }, 0},
		"in a head":   {func(_ *faulty, p *trap) { p.armed.Store(true) }, headAfter + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, files, p := t.TempDir(), newFaulty(), new(trap)
				var told bytes.Buffer
				l := open(t, Config{Dir: dir, Sign: p.sign, files: files, Log: slog.New(slog.NewTextHandler(&told, nil))})
				if err := l.Commit(t.Context(), Event{Event: "fine"}); err != nil {
					t.Fatal(err)
				}
				tt.arm(files, p)
				time.Sleep(tt.wait)
				for range 2 {
					if err := l.Commit(t.Context(), Event{Event: "refused"}); !errors.Is(err, ErrDegraded) || !strings.Contains(err.Error(), "a trap") {
						t.Fatalf("commit says %v", err)
					}
					l.Note(Event{Event: "lost"})
					time.Sleep(time.Hour)
				}
				if !errors.Is(l.Degraded(), ErrDegraded) || l.Stats().Lost != 2 || l.Stats().Waiting != 0 || count(l.Recent(Filter{}), "lost") != 0 {
					t.Errorf("%v, %+v", l.Degraded(), l.Stats())
				}
				if got := told.String(); strings.Count(got, "not written any more") != 1 || !strings.Contains(got, "a trap") || !strings.Contains(got, "fault_test.go") && !strings.Contains(got, "main_test.go") {
					t.Errorf("told %s", got)
				}
				if err := l.Close(); !errors.Is(err, ErrDegraded) {
					t.Errorf("Close says %v", err)
				}
				again := open(t, Config{Dir: dir, Sign: sign})
				if err := again.Commit(t.Context(), Event{Event: "again"}); err != nil {
					t.Error(err)
				}
				closeLog(t, again)
				sound(t, dir)
				if all := records(t, dir); count(all, "fine") != 1 || count(all, "refused") != 0 || count(all, "again") != 1 {
					t.Errorf("%+v", all)
				}
			})
		})
	}
}

// TestSinkPanics: it is one that fails, and the log is well.
func TestSinkPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(trap)
		p.armed.Store(true)
		l := open(t, Config{Dir: t.TempDir(), Sinks: []Sink{p}})
		if err := l.Commit(t.Context(), Event{Event: "x"}); err != nil || l.Degraded() != nil {
			t.Errorf("%v, %v", err, l.Degraded())
		}
		time.Sleep(time.Minute)
		if s := l.Stats().Sinks[0]; s.Dropped != 1 || s.Err == nil || !strings.Contains(s.Err.Error(), "a trap") {
			t.Errorf("%+v", s)
		}
		p.armed.Store(false)
		l.Note(Event{Event: "x"})
		time.Sleep(time.Minute)
		if s := l.Stats().Sinks[0]; s.Sent != 1 || s.Err != nil {
			t.Errorf("%+v", s)
		}
		p.armed.Store(true)
		closeLog(t, l)
	})
}
