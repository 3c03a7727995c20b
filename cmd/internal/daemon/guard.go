package daemon

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// restAfter is how long a loop rests after a panic.
const restAfter = time.Second

// guarded runs f. A panic of it is logged with its stack, and an error.
func guarded(log *slog.Logger, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			log.Error("panic", "err", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fmt.Errorf("a fault of the program: %v", v)
		}
	}()
	return f()
}

// keep runs a loop beside the server, which goes on whatever that does: after a panic
// again, until over is closed.
func keep(log *slog.Logger, over <-chan struct{}, loop func()) {
	for guarded(log, func() error { loop(); return nil }) != nil {
		select {
		case <-over:
			return
		case <-time.After(restAfter):
		}
	}
}
