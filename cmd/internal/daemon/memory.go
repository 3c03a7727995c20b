package daemon

import (
	"log/slog"
	"os"
	"runtime/debug"
)

// ownMemory is what a server may come to without what it holds for peers.
const ownMemory = 64 << 20

// softMemory is the soft memory limit of a server that may hold so many bytes: a
// quarter more than all that it should come to, so that garbage is collected
// harder only when something is wrong.
func softMemory(held int) int64 { return (ownMemory + int64(held)) / 4 * 5 }

// limitMemory sets the soft memory limit of this process, unless the environment
// says one.
func limitMemory(held int, log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	n := softMemory(held)
	debug.SetMemoryLimit(n)
	log.Info("soft memory limit", "bytes", n, "held_total", held)
}
