package audit

import (
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	maxFeed      = 4096 // records that wait for a sink
	maxSinkBatch = 256
)

// Sink is a further place for records. It is served as well as can be: if it is slow
// or fails, records are left out and counted, and nobody waits for it.
type Sink interface {
	// Name is for Stats.
	Name() string
	// Write takes 1 to 256 records, in order; those of a Write that fails are not
	// offered again, and the next comes a second later at the earliest. One
	// goroutine calls it. It should give up by itself: Close of the log waits for it.
	Write(records []Record) error
	// Close is called once, after the last Write.
	Close() error
}

// feed is the way to a sink.
type feed struct {
	sink   Sink
	wake   chan struct{}
	ending chan struct{}

	mu      sync.Mutex
	queue   []Record
	sent    uint64
	dropped uint64
	err     error // of the last Write
}

func newFeed(s Sink) *feed {
	return &feed{sink: s, wake: make(chan struct{}, 1), ending: make(chan struct{})}
}

// offer takes what there is room for.
func (f *feed) offer(records []Record) {
	f.mu.Lock()
	n := min(len(records), maxFeed-len(f.queue))
	f.queue = append(f.queue, records[:n]...)
	f.dropped += uint64(len(records) - n)
	f.mu.Unlock()
	signal(f.wake)
}

// end has run return after what waits was written, or a Write failed.
func (f *feed) end() { close(f.ending) }

// run writes to the sink.
func (f *feed) run() {
	defer caught(func() { f.sink.Close() })
	for ending := false; ; {
		batch := f.take()
		if len(batch) == 0 {
			if ending {
				return
			}
			select {
			case <-f.wake:
			case <-f.ending:
				ending = true
			}
			continue
		}
		if err := f.write(batch); !f.wrote(len(batch), err) {
			if ending {
				f.giveUp()
				return
			}
			select {
			case <-time.After(retryAfter):
			case <-f.ending:
				ending = true
			}
		}
	}
}

// write is the sink's Write, whose panic is an error.
func (f *feed) write(batch []Record) (err error) {
	if fault := caught(func() { err = f.sink.Write(batch) }); fault != nil {
		return fault
	}
	return err
}

func (f *feed) take() []Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.queue), maxSinkBatch)
	batch := append([]Record(nil), f.queue[:n]...)
	rest := copy(f.queue, f.queue[n:])
	clear(f.queue[rest:])
	f.queue = f.queue[:rest]
	return batch
}

// wrote counts what became of n records; it reports whether they were taken.
func (f *feed) wrote(n int, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err = err; err != nil {
		f.dropped += uint64(n)
		return false
	}
	f.sent += uint64(n)
	return true
}

// giveUp counts what waits as dropped.
func (f *feed) giveUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped += uint64(len(f.queue))
	f.queue = nil
}

// SlogSink gives each record to a logger, as an Info message "audit" with the group
// record.
func SlogSink(l *slog.Logger) Sink { return slogSink{l} }

type slogSink struct{ log *slog.Logger }

func (slogSink) Name() string { return "slog" }
func (slogSink) Close() error { return nil }

func (s slogSink) Write(records []Record) error {
	for _, r := range records {
		s.log.Info("audit", "record", r)
	}
	return nil
}

// LogValue is the record's fields that are not empty, without those of the chain.
func (r Record) LogValue() slog.Value {
	attrs := []slog.Attr{slog.Uint64("seq", r.Seq), slog.Time("time", r.Time())}
	for _, f := range r.texts() {
		if *f.text != "" {
			attrs = append(attrs, slog.String(f.name, *f.text))
		}
	}
	if r.Unix {
		attrs = append(attrs, slog.Int("uid", r.UID), slog.Int("pid", r.PID))
	}
	if r.Bytes != 0 {
		attrs = append(attrs, slog.Int64("bytes", r.Bytes))
	}
	if r.Dur != 0 {
		attrs = append(attrs, slog.Duration("dur", r.Dur))
	}
	if r.N != 0 {
		attrs = append(attrs, slog.Uint64("n", r.N))
	}
	for k, v := range r.Attrs {
		attrs = append(attrs, slog.String(k, v))
	}
	return slog.GroupValue(attrs...)
}

// FileSink appends the lines to a file, which it opens anew each time: the file may be
// moved away at any moment. Its mode is 0600 if it has to be made.
func FileSink(path string) Sink { return fileSink{path} }

type fileSink struct{ path string }

func (s fileSink) Name() string { return "file:" + s.path }
func (fileSink) Close() error   { return nil }

func (s fileSink) Write(records []Record) error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|nonBlock, 0o600)
	if err != nil {
		return err
	}
	var b []byte
	for _, r := range records {
		b = r.append(b)
	}
	_, err = f.Write(b)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
