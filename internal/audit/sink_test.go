package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// testSink does what it is told.
type testSink struct {
	write  func([]Record) error
	closed *atomic.Int32
}

func (testSink) Name() string               { return "test" }
func (s testSink) Write(all []Record) error { return s.write(all) }
func (s testSink) Close() error {
	if s.closed != nil {
		s.closed.Add(1)
	}
	return nil
}

// TestQ46: sinks that are down, or slow, or dead cost the log nothing: every record
// is in the file, and each sink counts what it did not get.
func TestQ46(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		good, slow := 0, 0
		var closed atomic.Int32
		stuck := make(chan struct{})
		sinks := []Sink{
			testSink{func(all []Record) error { good += len(all); return nil }, &closed},
			testSink{func([]Record) error { return errors.New("down") }, &closed},
			testSink{func(all []Record) error { slow += len(all); time.Sleep(time.Minute); return nil }, &closed},
			testSink{func([]Record) error { <-stuck; return nil }, &closed},
		}
		l := open(t, Config{Dir: dir, Sign: sign, Rate: -1, Sinks: sinks})
		const n = 20_000
		for i := range n {
			l.Note(Event{Event: "x", N: uint64(i + 1)})
			if i%1000 == 0 {
				if err := l.Commit(t.Context(), Event{Event: "y"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Second)
		if l.Degraded() != nil || l.Stats().Dropped != 0 {
			t.Errorf("%v, %+v", l.Degraded(), l.Stats())
		}
		close(stuck)
		closeLog(t, l)
		seq := l.Stats().Seq
		for i, s := range l.Stats().Sinks {
			if s.Name != "test" || s.Sent+s.Dropped != seq || s.Waiting != 0 || (s.Err != nil) != (i == 1) {
				t.Errorf("sink %d: %+v of %d", i, s, seq)
			}
			if (s.Dropped > 0) != (i > 0) || (s.Sent == 0) != (i == 1) {
				t.Errorf("sink %d: %+v", i, s)
			}
		}
		if r := sound(t, dir); r.Records != seq || good != int(seq) || slow == 0 || closed.Load() != 4 {
			t.Errorf("%d in the file, %d sent, %d, %d closed, of %d", r.Records, good, slow, closed.Load(), seq)
		}
	})
}

func TestFileSink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "copy.jsonl")
	l := open(t, Config{Dir: filepath.Join(dir, "audit"), Sinks: []Sink{FileSink(path), FileSink(filepath.Join(dir, "none", "x"))}})
	for i := range 10 {
		l.Note(Event{Event: "x", Name: fmt.Sprint(i), Reason: "a\nb"})
	}
	closeLog(t, l)
	own, err := os.ReadFile(filepath.Join(dir, "audit", logName(1)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, own) || len(own) == 0 {
		t.Errorf("the sink has %q, the log %q, %v", got, own, err)
	}
	if s := l.Stats().Sinks; s[0].Sent != 10 || s[1].Dropped != 10 || !errors.Is(s[1].Err, os.ErrNotExist) || s[0].Name != "file:"+path {
		t.Errorf("%+v", s)
	}
}

func TestSlogSink(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Config{Sinks: []Sink{SlogSink(slog.New(slog.NewJSONHandler(&out, nil)))}})
	l.Note(Event{Event: "x", Name: "org.x", Reason: "a\nb", Unix: true, PID: 5, Bytes: 3, Dur: time.Second, N: 2, Attrs: map[string]string{"k": "v"}})
	l.Note(Event{Event: "y"})
	closeLog(t, l)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var first struct{ Record map[string]any }
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 2 {
		t.Fatalf("%v: %s", err, out.String())
	}
	for k, want := range map[string]any{"event": "x", "name": "org.x", "reason": "a\nb", "uid": 0.0, "pid": 5.0, "bytes": 3.0, "n": 2.0, "k": "v", "seq": 1.0} {
		if first.Record[k] != want {
			t.Errorf("%s is %v, want %v", k, first.Record[k], want)
		}
	}
}
