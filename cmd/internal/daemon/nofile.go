package daemon

import (
	"log/slog"
	"syscall"
)

// wantedFiles is how many descriptors a server asks for.
const wantedFiles = 65_536

// raiseFiles raises the limit of open files as far as this process may. That it
// cannot is no error: the server makes do with fewer sessions, and says so.
func raiseFiles(log *slog.Logger) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		log.Debug("reading the limit of open files", "err", err)
		return
	}
	if l.Cur >= wantedFiles || l.Cur >= l.Max {
		return
	}
	l.Cur = min(l.Max, wantedFiles)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		log.Debug("raising the limit of open files", "err", err)
	}
}
