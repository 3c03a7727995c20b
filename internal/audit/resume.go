package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
)

// maxTail is how much of the files' end a new writer reads.
const maxTail = 4 << 20

// ending is what the end of a file says.
type ending struct {
	chain
	records []Record // the oldest first
	bad     int      // lines after the last record, which are none
	cut     int      // bytes after the last line
}

// readEnding reads the end of a file; whole says that it is all of the file. Only the
// last record is looked at closely: the others are to be shown, not to be proved.
func readEnding(text []byte, whole bool) (e ending, err error) {
	end := bytes.LastIndexByte(text, '\n') + 1
	e.cut = len(text) - end
	lines := bytes.Split(text[:end], []byte{'\n'})
	lines = lines[:len(lines)-1] // nothing is behind the last line end
	if !whole && len(lines) > 0 {
		lines = lines[1:]
	}
	if len(lines) > 0 {
		e.hash = sha256.Sum256(lines[len(lines)-1])
	}
	signed := false
	for _, text := range slices.Backward(lines) {
		var r Record
		if len(e.records) == 0 {
			if r, err = ParseRecord(text); err != nil {
				e.bad++
				continue
			}
			e.seq = r.Seq + uint64(e.bad)
			e.unsigned = e.bad
		} else if r, err = parse(text); err != nil || !summed(text) {
			continue // Verify says so
		}
		if signed = signed || r.Event.Event == EventHead; !signed {
			e.unsigned++
		}
		e.records = append(e.records, r)
	}
	slices.Reverse(e.records)
	if len(e.records) == 0 && (!whole || e.bad > 0) {
		return e, fmt.Errorf("%w: nothing in the last %d bytes is one", ErrRecord, len(text))
	}
	return e, nil
}

// open takes the directory and continues the log in it.
func (w *writer) open(show *board) (err error) {
	if w.cfg.Dir == "" {
		return nil
	}
	if w.dir, err = w.cfg.files.lock(w.cfg.Dir); err != nil {
		return err
	}
	var last ending
	names, err := logNames(w.cfg.files, w.cfg.Dir)
	if err == nil {
		names, last, err = w.last(names)
	}
	if err == nil && len(names) == 0 {
		err = w.create()
		names = []string{logName(1)}
	}
	if err != nil {
		if w.file != nil {
			w.file.Close()
		}
		w.dir.Close()
		return err
	}
	w.chain = last.chain
	w.counts.seq.Store(w.seq)
	w.counts.files.Store(uint64(len(names)))
	show.add(append(w.older(names, w.cfg.Ring-len(last.records)), last.records...))
	w.found(last)
	return nil
}

// create begins a log.
func (w *writer) create() (err error) {
	w.file, err = w.cfg.files.append(filepath.Join(w.cfg.Dir, logName(1)), true)
	if err != nil {
		return err
	}
	return w.dir.Sync()
}

// last opens the newest file that has a record, and removes those that have none: a
// crash came between a file and its first record. It returns the names that are left.
func (w *writer) last(names []string) ([]string, ending, error) {
	cut := 0
	for len(names) > 0 {
		path := filepath.Join(w.cfg.Dir, names[len(names)-1])
		file, err := w.cfg.files.append(path, false)
		if err != nil {
			return nil, ending{}, err
		}
		w.file = file
		text, size, err := readTail(file)
		if err != nil {
			return nil, ending{}, err
		}
		e, err := readEnding(text, size == int64(len(text)))
		if err != nil {
			return nil, ending{}, fmt.Errorf("%s: %w", path, err)
		}
		w.size = size - int64(e.cut)
		cut += e.cut
		if len(e.records) > 0 {
			if e.cut > 0 {
				err = file.Truncate(w.size)
			}
			e.cut = cut
			return names, e, err
		}
		file.Close()
		w.file, w.size = nil, 0
		if err := w.cfg.files.remove(path); err != nil {
			return nil, ending{}, err
		}
		names = names[:len(names)-1]
	}
	return nil, ending{cut: cut}, nil
}

// readTail reads the end of a file.
func readTail(f file) (text []byte, size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	size = info.Size()
	text = make([]byte, min(size, maxTail))
	_, err = io.ReadFull(io.NewSectionReader(f, size-int64(len(text)), int64(len(text))), text)
	return text, size, err
}

// older reads records of the file before the newest one, if the newest has less than
// the ring takes.
func (w *writer) older(names []string, room int) []Record {
	if len(names) < 2 || room <= 0 {
		return nil
	}
	file, err := w.cfg.files.append(filepath.Join(w.cfg.Dir, names[len(names)-2]), false)
	if err != nil {
		return nil // to be shown only
	}
	defer file.Close()
	text, size, err := readTail(file)
	if err != nil {
		return nil
	}
	e, _ := readEnding(text, size == int64(len(text)))
	return e.records[max(0, len(e.records)-room):]
}

// found notes what a crash, or somebody, did to the end of the log.
func (w *writer) found(last ending) {
	var notes []Event
	if last.cut > 0 {
		notes = append(notes, Event{Event: EventGap, Reason: "the last line had no end and was removed",
			Attrs: map[string]string{attrCut: strconv.Itoa(last.cut)}})
	}
	if last.bad > 0 {
		notes = append(notes, Event{Event: EventGap, Reason: "the lines before this one are no records: " + strconv.Itoa(last.bad)})
	}
	for _, e := range notes {
		w.cfg.Log.Warn("audit has a gap", "reason", e.Reason)
		w.chunk([]entry{{Record: w.stamp(e)}})
	}
}
