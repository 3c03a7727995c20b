package audit

import (
	"fmt"
	"runtime/debug"
	"time"
)

// fault is a panic that was caught.
type fault struct {
	value any
	stack []byte
}

func (f *fault) Error() string { return fmt.Sprintf("a fault of the program: %v", f.value) }

// caught runs do and returns its panic, or nil.
func caught(do func()) (f *fault) {
	defer func() {
		if v := recover(); v != nil {
			f = &fault{v, debug.Stack()}
		}
	}()
	do()
	return nil
}

// run is the writer's goroutine. After a panic nobody knows how far the writer came, so
// it writes no more: the log is degraded until it is closed, and whoever opens it next
// goes on behind the last whole line.
func (l *Log) run(w *writer) {
	defer l.events.close()
	f := caught(func() { l.write(w) })
	if f == nil {
		return
	}
	l.failed.Store(&failure{f, time.Now()})
	caught(func() {
		l.cfg.Log.Error("audit is not written any more; a restart ends that", "err", f, "stack", string(f.stack))
	})
	l.turnAway(w)
	caught(w.release)
}

// turnAway refuses commits and counts notes as lost, until the log is closed.
func (l *Log) turnAway(w *writer) {
	l.lose(w.work)
	for closing := false; !closing; {
		select {
		case <-l.wake:
		case <-l.closing:
			closing = true
		}
		batch, _ := l.take()
		l.lose(batch)
		clear(batch)
	}
}

func (l *Log) lose(batch []entry) {
	for i := range batch {
		if batch[i].done == nil {
			l.written.lost.Add(1)
			continue
		}
		select {
		case batch[i].done <- l.Degraded():
		default: // it was answered before the panic
		}
	}
}
