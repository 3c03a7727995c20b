package audit

import (
	"path/filepath"
	"strconv"
	"time"
)

// rotate begins a further file if this one is full, and removes the oldest.
func (w *writer) rotate() {
	if w.file == nil || w.failed.Load() != nil || w.size < w.cfg.MaxFile || time.Now().Before(w.rotateAt) {
		return
	}
	p := w.here()
	w.addHead()
	if err := w.put(true); err != nil {
		w.back(p)
		w.degrade(err)
		return
	}
	w.show()
	old, next, err := w.further()
	if err != nil { // out of descriptors, or the disk is full: then writing will fail too
		w.rotateAt = time.Now().Add(retryAfter)
		w.cfg.Log.Warn("audit begins no further file", "err", err)
		return
	}
	w.file.Close()
	w.file, w.size = next, 0
	w.begin(old)
}

// begin writes the first record of a further file, which says what is kept, and then
// removes what is not.
func (w *writer) begin(old []string) {
	drop := max(0, len(old)+1-w.cfg.Files)
	first := w.seq + 1
	if drop < len(old) {
		first = firstOf(old[drop])
	}
	rotated := w.stamp(Event{Event: EventRotate, Attrs: map[string]string{attrFirst: strconv.FormatUint(first, 10)}})
	p := w.here()
	w.add(rotated)
	if err := w.put(true); err != nil {
		w.back(p)
		w.degrade(err)
		w.keep(rotated)
		w.show()
		return
	}
	w.show()
	for _, name := range old[:drop] {
		if err := w.cfg.files.remove(filepath.Join(w.cfg.Dir, name)); err != nil {
			w.cfg.Log.Warn("audit removes no old file", "err", err)
		}
	}
	w.counts.files.Store(uint64(len(old) + 1 - drop))
}

// further makes the next file; old are the names of all before it.
func (w *writer) further() (old []string, next file, err error) {
	if old, err = logNames(w.cfg.files, w.cfg.Dir); err != nil {
		return nil, nil, err
	}
	next, err = w.cfg.files.append(filepath.Join(w.cfg.Dir, logName(w.seq+1)), true)
	if err != nil {
		return nil, nil, err
	}
	if err := w.dir.Sync(); err != nil {
		w.cfg.Log.Warn("audit directory is not synced", "err", err)
	}
	return old, next, nil
}
