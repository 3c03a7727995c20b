//go:build !linux && !darwin

package channel

import (
	"io/fs"
	"syscall"
	"time"

	"github.com/cad2f06c/switchboard/internal/peercred"
)

// ownerOf does not know: there are no Unix links on this system.
func ownerOf(fs.FileInfo) (uint32, error) { return 0, peercred.ErrUnsupported }

// attend leaves a dead peer to the keep-alive.
func attend(syscall.RawConn, time.Duration) {}
