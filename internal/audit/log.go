package audit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrDegraded says that the file cannot be written at present. It wraps the reason.
	ErrDegraded = errors.New("audit: the log cannot be written")

	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("audit: the log is closed")
)

const (
	maxQueue   = 4096 // notes
	urgentAt   = maxQueue / 4
	maxCommits = 64 // at once; more wait
	linger     = 5 * time.Millisecond
	headAfter  = time.Minute
)

// Clock tells the times of records. Each may be called by several goroutines at once.
type Clock struct {
	Wall func() time.Time     // may jump
	Mono func() time.Duration // since any moment; never runs back
}

// Config is how a log is kept. The zero Config keeps it in memory only.
type Config struct {
	// Dir is where the files are; Open makes it if its parent exists. Empty: there
	// are none, and Commit does not fail.
	Dir string
	// Sign signs the message of a Head with the server's key. One goroutine calls
	// it. nil: there are no heads.
	Sign func(msg []byte) []byte
	// MaxFile is the length at which a further file is begun; a file may be longer
	// by two lines, and by what was kept while the disk was full. Default 64 MiB.
	MaxFile int64
	// Files is how many are kept. Default 8.
	Files int
	// Ring is how many records Recent knows. Default 10,000.
	Ring int
	// Rate is how many events of one actor a second are written, and at once.
	// Default 200; negative: all.
	Rate int
	// Flush is after how long, at most, a note is on the disk (fsync). Default 1 s.
	Flush time.Duration
	// Clock is the system's if a function is nil.
	Clock Clock
	// Sinks get all records too. The log closes them.
	Sinks []Sink
	// Log hears when the file cannot be written, and when it can again. nil: nobody.
	Log *slog.Logger

	files files // for tests
}

func (c *Config) setDefaults() {
	if c.MaxFile <= 0 {
		c.MaxFile = 64 << 20
	}
	if c.Files <= 0 {
		c.Files = 8
	}
	if c.Ring <= 0 {
		c.Ring = 10_000
	}
	if c.Rate == 0 {
		c.Rate = 200
	}
	if c.Flush <= 0 {
		c.Flush = time.Second
	}
	if c.Clock.Wall == nil {
		c.Clock.Wall = time.Now
	}
	if c.Clock.Mono == nil {
		start := time.Now()
		c.Clock.Mono = func() time.Duration { return time.Since(start) }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.files == nil {
		c.files = osFiles{}
	}
}

// Log is an audit log that is open for writing. Its methods may be called by several
// goroutines at once. It has one goroutine, and one for each sink; Close waits for
// them.
type Log struct {
	// set at construction
	cfg     Config
	boot    string
	start   time.Duration // Mono's first answer
	wake    chan struct{} // there is something to do
	urgent  chan struct{} // at once
	closing chan struct{}
	commits chan struct{} // one for each Commit under way
	close   func() error
	writers sync.WaitGroup
	feeding sync.WaitGroup
	feeds   []*feed
	events  *board
	failed  atomic.Pointer[failure]
	written counts

	mu      sync.Mutex
	queue   []entry // not yet taken by the writer
	spare   []entry // its memory for the next time
	woken   bool    // wake was told of the queue
	warned  bool    // wake was told of what flood or overflow count
	closed  bool
	flood   flood
	over    uint64 // notes over the queue's bound, since the last record of it
	notes   uint64
	dropped uint64 // notes that flood control or the queue's bound left out
}

// entry is a record on its way; its place in the chain is not known yet.
type entry struct {
	Record
	done chan error // of a Commit
}

// failure is why the file cannot be written, and since when.
type failure struct {
	err   error
	since time.Time
}

// counts are the writer's, for Stats.
type counts struct {
	seq, bytes, lost, files atomic.Uint64
}

// Open opens the log in cfg.Dir, or begins one, and continues its chain. If a crash
// cut the last line short, what is left of it is removed and a gap record says so;
// a last line that is no record stays, as evidence, and a gap record says that too.
// The errors are ErrInUse, ErrUnsafe, ErrRecord (nothing at the end of the newest
// file can be read) and those of the file system.
func Open(cfg Config) (*Log, error) {
	cfg.setDefaults()
	l := &Log{
		cfg:     cfg,
		start:   cfg.Clock.Mono(),
		wake:    make(chan struct{}, 1),
		urgent:  make(chan struct{}, 1),
		closing: make(chan struct{}),
		commits: make(chan struct{}, maxCommits),
		flood:   newFlood(cfg.Rate),
		events:  newBoard(cfg.Ring),
	}
	boot := make([]byte, maxBoot/2)
	rand.Read(boot) // never fails
	l.boot = hex.EncodeToString(boot)
	for _, sink := range cfg.Sinks {
		l.feeds = append(l.feeds, newFeed(sink))
	}
	w := &writer{cfg: &l.cfg, stamp: l.stamp, publish: l.publish, failed: &l.failed, counts: &l.written}
	if err := w.open(l.events); err != nil {
		return nil, err
	}
	for _, f := range l.feeds {
		l.feeding.Go(f.run)
	}
	l.close = sync.OnceValue(l.shut)
	l.writers.Go(func() { l.run(w) })
	return l, nil
}

// stamp makes a record of an event that happens now.
func (l *Log) stamp(e Event) Record {
	return Record{
		Wall:  l.cfg.Clock.Wall().UnixMilli(),
		Mono:  (l.cfg.Clock.Mono() - l.start).Milliseconds(),
		Boot:  l.boot,
		Event: e,
	}
}

// Note writes an event down. It never waits and never fails: over an actor's Rate, or
// if 4,096 events wait to be written, the event is only counted, and a suppressed
// record tells how many were, within a second or two. After Close nothing is done.
func (l *Log) Note(e Event) {
	e.reserve()
	if e.long() {
		e = trimmed(e)
	}
	who := actor{key: e.Actor}
	if who.key == "" {
		who.source = e.Source
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.notes++
	switch {
	case !l.flood.take(who, l.cfg.Clock.Mono()):
		l.dropped++
	case len(l.queue) >= maxQueue:
		l.dropped++
		l.over++
	default:
		l.pushLocked(entry{Record: l.stamp(e)})
		return
	}
	if !l.warned {
		l.warned = true
		signal(l.wake)
	}
}

// pushLocked gives an entry to the writer. The clock is read with mu held, so the
// entries are in the order of their times.
func (l *Log) pushLocked(e entry) {
	l.queue = append(l.queue, e)
	if !l.woken {
		l.woken = true
		signal(l.wake)
	}
	if e.done != nil || len(l.queue) == urgentAt {
		signal(l.urgent)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func trimmed(e Event) Event {
	e.trim()
	return e
}

// Commit writes an event down and returns when it is on the disk, with all before it.
// What it tells of must not be done, or must be undone, if it fails. The errors are
// ErrDegraded, ErrClosed, and ctx's cause: then the record may be written yet.
func (l *Log) Commit(ctx context.Context, e Event) error {
	select {
	case l.commits <- struct{}{}:
		defer func() { <-l.commits }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	e.reserve()
	if e.long() {
		e = trimmed(e)
	}
	done := make(chan error, 1)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.pushLocked(entry{l.stamp(e), done})
	l.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Degraded is nil, or ErrDegraded with the reason while the file cannot be written.
func (l *Log) Degraded() error { return l.failed.Load().error() }

func (f *failure) error() error {
	if f == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDegraded, f.err)
}

// Close writes what waits, signs it, syncs the file and closes the sinks, which may
// take as long as a sink's Write. It returns what kept the last records from the
// disk. It may be called more than once.
func (l *Log) Close() error { return l.close() }

func (l *Log) shut() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.closing)
	l.writers.Wait()
	for _, f := range l.feeds {
		f.end()
	}
	l.feeding.Wait()
	return l.Degraded()
}

// write is what the writer's goroutine does, until the log is closed.
func (l *Log) write(w *writer) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for closing := false; !closing; {
		closing = l.await(timer, w.due())
		batch, counted := l.take()
		w.handle(batch)
		clear(batch)
		if counted {
			w.tellSoon()
		}
		for tell := closing || w.tellNow(); tell; tell = tell && closing {
			counted := l.suppressed()
			w.handle(counted)
			tell = len(counted) > 0
		}
		w.tick()
	}
	w.close()
}

// await waits for something to do, and then a little for more of it. It reports
// whether the log is closing.
func (l *Log) await(timer *time.Timer, due time.Time) bool {
	if !due.IsZero() {
		timer.Reset(time.Until(due))
	} else {
		timer.Stop()
	}
	select {
	case <-l.wake:
	case <-timer.C:
		return false
	case <-l.closing:
		return true
	}
	timer.Reset(linger)
	select {
	case <-l.urgent:
	case <-timer.C:
	case <-l.closing:
		return true
	}
	return false
}

// take takes the queue; counted reports whether events were only counted.
func (l *Log) take() (batch []entry, counted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, l.queue, l.spare = l.queue, l.spare[:0], nil
	if cap(batch) <= urgentAt {
		l.spare = batch // cleared, and not used before the next take
	}
	l.woken = false
	return batch, l.warned
}

// suppressed makes records of what was only counted.
func (l *Log) suppressed() (batch []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events, more := l.flood.told()
	if l.over > 0 {
		events = append(events, Event{Event: EventSuppressed, Reason: reasonQueue, N: l.over})
		l.over = 0
	}
	if l.warned = more; more {
		signal(l.wake)
	}
	for _, e := range events {
		batch = append(batch, entry{Record: l.stamp(e)})
	}
	return batch
}

// publish shows records to whoever looks on.
func (l *Log) publish(records []Record) {
	l.events.add(records)
	for _, f := range l.feeds {
		f.offer(records)
	}
}
