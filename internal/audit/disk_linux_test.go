package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestF57 fills a disk of 64 KiB to its end.
func TestF57(t *testing.T) {
	disk := tmpfs(t)
	dir := filepath.Join(disk, "audit")
	l := open(t, Config{Dir: dir, Sign: sign, Rate: -1})
	if err := l.Commit(t.Context(), Event{Event: "fine"}); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	var refused error
	written := 0
	for written = 0; written < 200 && refused == nil; written++ { // the last page of the file has room yet
		refused = l.Commit(t.Context(), Event{Event: "maybe", Reason: strings.Repeat("x", 150)})
	}
	if !errors.Is(refused, ErrDegraded) || !errors.Is(refused, syscall.ENOSPC) || l.Degraded() == nil {
		t.Fatalf("on a full disk: %v", refused)
	}
	for range 3000 { // more than is kept
		l.Note(Event{Event: "note", Reason: strings.Repeat("x", 150)})
	}
	if err := l.Commit(t.Context(), Event{Event: "refused"}); !errors.Is(err, ErrDegraded) {
		t.Fatal(err)
	}
	if r, err := Verify(dir, verify); err != nil || r.Fault != nil {
		t.Fatalf("while the disk is full: %+v, %v", r, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	// Of 64 KiB there is room for some of what was kept, not for all: so the disk grows.
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context(), Event{Event: "again"}); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	r, all := sound(t, dir), records(t, dir)
	if r.Gaps != 1 || r.Missing == 0 || count(all, "maybe") != written-1 || count(all, "refused") != 0 || count(all, "again") != 1 ||
		count(all, "note")+int(r.Missing) != 3000 {
		t.Errorf("%+v, %d notes, %d of %d", r, count(all, "note"), count(all, "maybe"), written)
	}
}

// tmpfs mounts a disk of 64 KiB.
func tmpfs(t *testing.T) string {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Skip("needs root and the right to mount: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}
