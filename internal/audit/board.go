package audit

import (
	"context"
	"sync"
)

const (
	maxHeads  = 128 // that are remembered
	maxFollow = 256 // records taken at a time
)

// board is where the newest records are shown. Heads have a ring of their own, so
// that they push out no events.
type board struct {
	mu      sync.Mutex
	records ring
	heads   ring
	news    chan struct{} // closed when there is more, or no more will come; nil if nobody waits
	closed  bool
}

func newBoard(size int) *board {
	return &board{records: ring{size: size}, heads: ring{size: maxHeads}}
}

func (b *board) add(records []Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		if r.Event.Event == EventHead {
			b.heads.add(r)
		} else {
			b.records.add(r)
		}
	}
	b.wakeLocked()
}

func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.wakeLocked()
}

func (b *board) wakeLocked() {
	if b.news != nil {
		close(b.news)
		b.news = nil
	}
}

// ringLocked is where the records are that f can pick.
func (b *board) ringLocked(f Filter) *ring {
	if f.Event == EventHead {
		return &b.heads
	}
	return &b.records
}

// Recent returns the newest records that f picks, at most f.Limit (0: all), the oldest
// of them first. It knows the last Config.Ring records (of heads 128), those of
// earlier writers among them as far as the last 4 MiB of the files tell.
func (l *Log) Recent(f Filter) []Record {
	l.events.mu.Lock()
	defer l.events.mu.Unlock()
	return l.events.ringLocked(f).pick(f)
}

// Follow calls do with each record that f picks and that comes from now on or, with
// f.After, with each above it that Recent knows. It returns do's error, ctx's cause,
// or ErrClosed after the last record. If do is so slow that records were forgotten
// meanwhile, it gets one of event lagged with their number (picked or not), and then
// the oldest that is known.
func (l *Log) Follow(ctx context.Context, f Filter, do func(Record) error) error {
	b := l.events
	b.mu.Lock()
	next := b.ringLocked(f).total
	if f.After > 0 {
		next = b.ringLocked(f).after(f.After)
	}
	b.mu.Unlock()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		records, more, lagged, news := b.take(f, next)
		if records == nil && more == next && news == nil {
			return ErrClosed
		}
		if lagged > 0 {
			if err := do(Record{Event: Event{Event: EventLagged, N: lagged}}); err != nil {
				return err
			}
		}
		for _, r := range records {
			if err := do(r); err != nil {
				return err
			}
		}
		if next = more; news == nil {
			continue
		}
		select {
		case <-news:
		case <-ctx.Done():
		}
	}
}

// take copies what f picks from number next on, up to more. If there is nothing, news
// tells when there is.
func (b *board) take(f Filter, next uint64) (records []Record, more, lagged uint64, news <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.ringLocked(f)
	if oldest := g.oldest(); next < oldest {
		lagged, next = oldest-next, oldest
	}
	if next == g.total {
		if b.closed {
			return nil, next, lagged, nil
		}
		if b.news == nil {
			b.news = make(chan struct{})
		}
		return nil, next, lagged, b.news
	}
	for ; next < g.total && len(records) < maxFollow; next++ {
		if r := g.at(next); f.Match(r) {
			records = append(records, *r)
		}
	}
	return records, next, lagged, nil
}
