package daemon

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// What is written in several steps is read when it has been left alone for a
// while, or after some time at the latest.
const (
	settleTime = 100 * time.Millisecond
	settleMax  = time.Second
)

// fileWatch tells when something has happened in the directories of some files:
// editors and package managers put a new file in the place of the old one.
type fileWatch struct {
	settled chan struct{} // one token

	watcher *fsnotify.Watcher // nil: it could not be made
	log     *slog.Logger
	dirs    map[string]bool // that are watched; owned by who calls set
	wg      sync.WaitGroup
}

// newFileWatch watches nothing yet: see set. close ends it.
func newFileWatch(log *slog.Logger) *fileWatch {
	w := &fileWatch{settled: make(chan struct{}, 1), log: log, dirs: make(map[string]bool)}
	w.start()
	return w
}

func (w *fileWatch) start() {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("changes of configuration files will not be noticed; SIGHUP reads them", "err", err)
		return
	}
	w.watcher = watcher
	w.wg.Go(func() { keep(w.log, nil, w.run) }) // until close ends the events
}

func (w *fileWatch) close() {
	if w.watcher != nil {
		w.watcher.Close()
	}
	w.wg.Wait()
}

// set replaces the files. What is watched is the directory of each, and that of
// the file that it is a link to. A directory that does not exist is left out.
func (w *fileWatch) set(paths []string) {
	if w.watcher == nil {
		return
	}
	dirs := make(map[string]bool)
	for _, path := range paths {
		dirs[filepath.Dir(path)] = true
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs[filepath.Dir(real)] = true
		}
	}
	for dir := range w.dirs {
		if !dirs[dir] {
			_ = w.watcher.Remove(dir) // it may be gone
			delete(w.dirs, dir)
		}
	}
	for dir := range dirs {
		err := w.watcher.Add(dir) // again: another may have taken its place
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.log.Warn("changes in a directory will not be noticed; SIGHUP reads the files", "dir", dir, "err", err)
		}
		w.dirs[dir] = err == nil
	}
}

// look makes a token without an event.
func (w *fileWatch) look() {
	select {
	case w.settled <- struct{}{}:
	default: // there is one
	}
}

// run turns a burst of events into one token.
func (w *fileWatch) run() {
	var first time.Time
	settle := time.NewTimer(time.Hour)
	settle.Stop() // until there is an event
	for {
		select {
		case _, ok := <-w.watcher.Events:
			if !ok {
				return
			}
		case _, ok := <-w.watcher.Errors: // events were lost
			if !ok {
				return
			}
		case <-settle.C:
			first = time.Time{}
			w.look()
			continue
		}
		if first.IsZero() {
			first = time.Now()
		}
		settle.Reset(min(settleTime, time.Until(first.Add(settleMax))))
	}
}

// digest is the same text for files that are the same: in what they hold, in
// their mode and in whose they are.
func digest(paths []string) string {
	h := sha256.New()
	for _, path := range paths {
		fi, err := os.Lstat(path) // a link is refused, whatever it leads to
		if err != nil {
			fmt.Fprintf(h, "%q %v\n", path, err)
			continue
		}
		fmt.Fprintf(h, "%q %v %d", path, fi.Mode(), fi.Size())
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			fmt.Fprintf(h, " %d %d", st.Uid, st.Gid)
		}
		if fi.Mode().IsRegular() { // others may make a reader wait
			text, err := os.ReadFile(path)
			fmt.Fprintf(h, " %v %x", err, sha256.Sum256(text))
		}
		fmt.Fprintln(h)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
