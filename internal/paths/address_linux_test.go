package paths

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A directory that one may enter but not list is enough: a system service may want
// to keep the names of its other files to itself.
func TestReadAddressUnlistedDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can read as somebody else")
	}
	dir, err := os.MkdirTemp("", "paths") // not t.TempDir, which others cannot enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "address")
	if err := errors.Join(os.WriteFile(path, []byte(address), 0o644), os.Chmod(dir, 0o711)); err != nil {
		t.Fatal(err)
	}
	const reader, keep = 54321, ^uintptr(0)
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread() // only this thread becomes the reader, and it ends with the goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, reader, keep); errno != 0 {
			t.Errorf("becoming uid %d: %v", reader, errno)
			return
		}
		if _, err := os.ReadDir(dir); !errors.Is(err, os.ErrPermission) {
			t.Errorf("listing the directory: got %v, want it forbidden", err)
		}
		if got, err := readAddress(path, reader); err != nil || got != address {
			t.Errorf("got %q, %v, want it read", got, err)
		}
	})
	wg.Wait()
}
