package audit

import (
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	maxChunk   = 64 << 10  // bytes in one write
	maxBacklog = 256 << 10 // bytes that wait while the file cannot be written
	retryAfter = time.Second
)

// writer writes the files. It belongs to one goroutine.
//
//	writing ── a write or sync fails ──► degraded: lines wait in buf, up to maxBacklog;
//	   ▲                                 then records are numbered and lost; commits
//	   └── buf and a gap record are      are refused. Tried again every second and at
//	       written and synced ───────────each commit.
type writer struct {
	// set at construction
	cfg     *Config
	stamp   func(Event) Record
	publish func([]Record)
	failed  *atomic.Pointer[failure]
	counts  *counts

	chain
	mono int64 // of the last record
	dir  dirLock
	file file   // nil: there are no files
	size int64  // of file: whole lines
	torn bool   // file may be longer than size
	buf  []byte // lines that are not in the file yet
	out  []Record
	work []entry // of handle, as far as it has not come
	lost uint64  // records that have a number and no line
	from uint64  // the first of them

	dirty                                   bool // file has what is not synced
	syncAt, headAt, retryAt, rotateAt, tell time.Time
}

// place is where a writer can go back to.
type place struct {
	chain
	buf, out int
}

func (w *writer) here() place { return place{w.chain, len(w.buf), len(w.out)} }

func (w *writer) back(p place) {
	w.chain, w.buf, w.out = p.chain, w.buf[:p.buf], w.out[:p.out]
}

// add appends a record's line to buf, and a head's if one is due.
func (w *writer) add(r Record) {
	r.Mono = max(r.Mono, w.mono) // one of ours may have been stamped since
	w.mono = r.Mono
	w.buf = w.chain.add(w.buf, &r)
	w.out = append(w.out, r)
	if w.headAt.IsZero() {
		w.headAt = time.Now().Add(headAfter)
	}
	if w.unsigned >= headEvery-1 {
		w.addHead()
	}
}

// addHead appends a signed head.
func (w *writer) addHead() {
	if w.cfg.Sign == nil || w.unsigned == 0 {
		return
	}
	r := w.stamp(w.chain.head(w.cfg.Sign))
	r.Mono = max(r.Mono, w.mono)
	w.mono = r.Mono
	w.buf = w.chain.add(w.buf, &r)
	w.out = append(w.out, r)
	w.headAt = time.Time{}
}

// put writes buf, all of it or nothing.
func (w *writer) put(sync bool) error {
	if w.file == nil {
		w.buf = w.buf[:0]
		return nil
	}
	if w.torn {
		if err := w.file.Truncate(w.size); err != nil {
			return err
		}
		w.torn = false
	}
	n, err := w.file.Write(w.buf)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	if err == nil && sync {
		err = w.file.Sync()
	}
	if err != nil {
		w.torn = w.file.Truncate(w.size) != nil
		return err
	}
	w.counts.bytes.Add(uint64(len(w.buf)))
	w.size += int64(len(w.buf))
	if w.buf = w.buf[:0]; sync {
		w.dirty = false
	} else if !w.dirty {
		w.dirty, w.syncAt = true, time.Now().Add(w.cfg.Flush)
	}
	return nil
}

// show publishes what was added.
func (w *writer) show() {
	w.counts.seq.Store(w.seq)
	if w.publish != nil && len(w.out) > 0 {
		w.publish(w.out)
		clear(w.out)
		w.out = w.out[:0]
	}
}

// handle writes entries and answers commits.
func (w *writer) handle(batch []entry) {
	for len(batch) > 0 {
		w.work = batch
		n := len(batch)
		if w.failed.Load() != nil && hasCommit(batch) {
			w.recover()
		}
		if w.failed.Load() != nil {
			w.refuse(batch)
		} else {
			n = w.chunk(batch)
			w.rotate()
		}
		batch = batch[n:]
	}
	w.work = nil
}

func hasCommit(batch []entry) bool {
	for i := range batch {
		if batch[i].done != nil {
			return true
		}
	}
	return false
}

// chunk writes the first n entries: as many as fit one write and the file.
func (w *writer) chunk(batch []entry) (n int) {
	p := w.here()
	for n == 0 || n < len(batch) && len(w.buf) < maxChunk && w.size+int64(len(w.buf)) < w.cfg.MaxFile {
		w.add(batch[n].Record)
		n++
	}
	batch = batch[:n]
	if err := w.put(hasCommit(batch)); err != nil {
		w.back(p)
		w.degrade(err)
		w.refuse(batch)
		return n
	}
	w.show()
	for i := range batch {
		if batch[i].done != nil {
			batch[i].done <- nil
		}
	}
	return n
}

// refuse is for entries while the file cannot be written.
func (w *writer) refuse(batch []entry) {
	for i := range batch {
		if batch[i].done != nil {
			batch[i].done <- w.failed.Load().error()
		} else {
			w.keep(batch[i].Record)
		}
	}
	w.show()
}

// keep lets a record wait for the file, or gives it up.
func (w *writer) keep(r Record) {
	if w.lost == 0 && len(w.buf)+2*MaxLine <= maxBacklog {
		w.add(r)
		return
	}
	w.seq++
	if w.lost++; w.lost == 1 {
		w.from = w.seq
	}
	w.counts.lost.Add(1)
	r.Seq = w.seq
	r.append(nil) // cuts it
	w.out = append(w.out, r)
}

func (w *writer) degrade(err error) {
	w.failed.Store(&failure{err, w.cfg.Clock.Wall()})
	w.retryAt = time.Now().Add(retryAfter)
	w.cfg.Log.Error("audit cannot be written", "err", err)
}

// recover tries whether the file can be written again.
func (w *writer) recover() {
	f := w.failed.Load()
	p := w.here()
	gap := Event{Event: EventGap, Reason: f.err.Error(), N: w.lost,
		Attrs: map[string]string{attrSince: strconv.FormatInt(f.since.UnixMilli(), 10)}}
	if w.lost > 0 {
		gap.Attrs[attrFrom] = strconv.FormatUint(w.from, 10)
		gap.Attrs[attrTo] = strconv.FormatUint(w.seq, 10)
	}
	w.add(w.stamp(gap))
	if err := w.put(true); err != nil {
		w.back(p)
		w.retryAt = time.Now().Add(retryAfter)
		return
	}
	w.lost = 0
	w.failed.Store(nil)
	w.cfg.Log.Info("audit is written again")
	w.show()
}

// due is when tick has something to do; zero: never.
func (w *writer) due() (at time.Time) {
	earlier := func(wanted bool, t time.Time) {
		if wanted && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	fine := w.failed.Load() == nil
	earlier(!fine, w.retryAt)
	earlier(fine && w.dirty, w.syncAt)
	earlier(fine && w.cfg.Sign != nil && w.unsigned > 0, w.headAt)
	earlier(!w.tell.IsZero(), w.tell)
	return at
}

// tick does what is due.
func (w *writer) tick() {
	now := time.Now()
	if w.failed.Load() != nil {
		if !now.Before(w.retryAt) {
			w.recover()
		}
		return
	}
	head := w.cfg.Sign != nil && w.unsigned > 0 && !w.headAt.IsZero() && !now.Before(w.headAt)
	if !head && !(w.dirty && !now.Before(w.syncAt)) {
		return
	}
	p := w.here()
	if head {
		w.addHead()
	}
	if err := w.put(true); err != nil {
		w.back(p)
		w.degrade(err)
		return
	}
	w.show()
}

// tellSoon has tellNow report true before long.
func (w *writer) tellSoon() {
	if w.tell.IsZero() {
		w.tell = time.Now().Add(w.cfg.Flush)
	}
}

func (w *writer) tellNow() bool {
	if w.tell.IsZero() || time.Now().Before(w.tell) {
		return false
	}
	w.tell = time.Time{}
	return true
}

// close ends the log in good order: all written, signed and synced.
func (w *writer) close() {
	if w.failed.Load() != nil {
		w.recover()
	}
	if w.failed.Load() == nil {
		w.addHead()
		if err := w.put(true); err != nil {
			w.degrade(fmt.Errorf("at the end: %w", err))
		}
	}
	w.show()
	w.release()
}

// release closes the file and lets another log have the directory.
func (w *writer) release() {
	if w.file != nil {
		w.file.Close()
		w.dir.Close()
	}
}
