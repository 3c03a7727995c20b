//go:build linux || darwin

package channel

import (
	"io/fs"
	"syscall"

	"github.com/cad2f06c/switchboard/internal/peercred"
)

// ownerOf returns the uid that a file belongs to.
func ownerOf(info fs.FileInfo) (uint32, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, peercred.ErrUnsupported
	}
	return st.Uid, nil
}
