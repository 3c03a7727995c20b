package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestDegraded: the file cannot be written for a while. Notes go on, commits are
// refused; when it can be, a gap record says what is missing, and the chain is whole.
func TestDegraded(t *testing.T) {
	for _, c := range []struct {
		name      string
		on, off   func(*faulty)
		want      error
		truncates bool
	}{
		{"full", func(f *faulty) { f.room = 100 }, func(f *faulty) { f.room = -1 }, syscall.ENOSPC, true},
		{"full at once", func(f *faulty) { f.room = 0 }, func(f *faulty) { f.room = -1 }, syscall.ENOSPC, true},
		{"read-only", func(f *faulty) { f.room, f.badTrunc = 50, true }, func(f *faulty) { f.room, f.badTrunc = -1, false }, syscall.ENOSPC, false},
		{"sync", func(f *faulty) { f.badSync = true }, func(f *faulty) { f.badSync = false }, syscall.EIO, true},
	} {
		for _, notes := range []int{0, 5, 5000} { // as many as are kept, or more
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dir, files := t.TempDir(), newFaulty()
					var told bytes.Buffer
					l := open(t, Config{Dir: dir, Sign: sign, Rate: -1, files: files, Log: slog.New(slog.NewTextHandler(&told, nil))})
					degradeAndRecover(t, l, files, c.on, c.off, c.want, notes)
					closeLog(t, l)
					r, all := sound(t, dir), records(t, dir)
					if r.Gaps != 1 || r.Missing != l.Stats().Lost || count(all, "fine") != 2 || count(all, "refused") != 0 || count(all, "again") != 1 {
						t.Errorf("%+v, lost %d", r, l.Stats().Lost)
					}
					if (r.Missing > 0) != (notes == 5000) || count(all, "note")+int(r.Missing) != notes {
						t.Errorf("%d notes of %d, %d missing", count(all, "note"), notes, r.Missing)
					}
					if strings.Count(told.String(), "audit cannot be written") != 1 || strings.Count(told.String(), "audit is written again") != 1 {
						t.Errorf("told %s", told.String())
					}
				})
			})
		}
	}
}

func degradeAndRecover(t *testing.T, l *Log, files *faulty, on, off func(*faulty), want error, notes int) {
	t.Helper()
	l.Note(Event{Event: "fine"})
	if err := l.Commit(t.Context(), Event{Event: "fine"}); err != nil || l.Degraded() != nil {
		t.Fatal(err)
	}
	files.set(func() { on(files) })
	if err := l.Commit(t.Context(), Event{Event: "refused"}); !errors.Is(err, ErrDegraded) || !errors.Is(err, want) {
		t.Fatalf("commit says %v, want %v", err, want)
	}
	for i := range notes {
		l.Note(Event{Event: "note", Reason: strings.Repeat("x", 150)})
		if i%100 == 0 {
			time.Sleep(100 * time.Millisecond)
		}
	}
	time.Sleep(time.Minute)
	if !errors.Is(l.Degraded(), want) {
		t.Fatalf("degraded is %v", l.Degraded())
	}
	if got := len(l.Recent(Filter{Event: "note"})); got != notes {
		t.Errorf("%d notes are known meanwhile, of %d", got, notes)
	}
	if err := l.Commit(t.Context(), Event{Event: "refused"}); !errors.Is(err, ErrDegraded) {
		t.Fatalf("commit says %v", err)
	}
	files.set(func() { off(files) })
	if notes == 5 { // a commit need not wait for the next try
		if err := l.Commit(t.Context(), Event{Event: "again"}); err != nil {
			t.Fatal(err)
		}
	} else {
		time.Sleep(1100 * time.Millisecond)
		l.Note(Event{Event: "again"})
	}
	if l.Degraded() != nil {
		t.Fatalf("still degraded: %v", l.Degraded())
	}
	time.Sleep(time.Second)
}

// TestNoFurtherFile: without descriptors the log goes on in the file that it has.
func TestNoFurtherFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, files := t.TempDir(), newFaulty()
		l := open(t, Config{Dir: dir, Sign: sign, Rate: -1, MaxFile: 4096, files: files})
		files.set(func() { files.badMake = true })
		for range 100 {
			l.Note(Event{Event: "x"})
			time.Sleep(100 * time.Millisecond)
		}
		if l.Degraded() != nil || l.Stats().Files != 1 {
			t.Errorf("%v, %+v", l.Degraded(), l.Stats())
		}
		files.set(func() { files.badMake = false })
		time.Sleep(time.Second)
		l.Note(Event{Event: "x"})
		time.Sleep(time.Second)
		if l.Stats().Files != 2 {
			t.Errorf("%+v", l.Stats())
		}
		closeLog(t, l)
		if r := sound(t, dir); count(records(t, dir), "x") != 101 {
			t.Errorf("%+v", r)
		}
	})
}

// TestFullAtRotation: the disk fills at each byte around the change of files.
func TestFullAtRotation(t *testing.T) {
	for room := 3500; room < 5500; room += 33 {
		synctest.Test(t, func(t *testing.T) {
			dir, files := t.TempDir(), newFaulty()
			l := open(t, Config{Dir: dir, Sign: sign, Rate: -1, MaxFile: 4096, files: files})
			files.set(func() { files.room = room })
			for range 30 {
				l.Note(Event{Event: "x"})
				time.Sleep(10 * time.Millisecond)
			}
			files.set(func() { files.room = -1 })
			time.Sleep(2 * time.Second)
			closeLog(t, l)
			if r := sound(t, dir); r.Gaps != 1 || r.Missing != 0 || count(records(t, dir), "x") != 30 {
				t.Errorf("with room for %d: %+v", room, r)
			}
		})
	}
}

// TestCloseDegraded: Close says that the last records are not on the disk.
func TestCloseDegraded(t *testing.T) {
	dir, files := t.TempDir(), newFaulty()
	l := open(t, Config{Dir: dir, files: files})
	files.set(func() { files.room = 10 })
	l.Note(Event{Event: "x"})
	if err := l.Close(); !errors.Is(err, ErrDegraded) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close says %v", err)
	}
}

// TestUnsafe: what others may have had their hands on is refused. The tests run as
// root, who may open everything: so it is the modes and owners that are looked at.
func TestUnsafe(t *testing.T) {
	for name, spoil := range map[string]func(dir, path string) error{
		"others read":   func(_, path string) error { return os.Chmod(path, 0o604) },
		"the group":     func(_, path string) error { return os.Chmod(path, 0o620) },
		"others make":   func(dir, _ string) error { return os.Chmod(dir, 0o777) },
		"another owner": func(_, path string) error { return os.Chown(path, 65534, -1) },
		"another's dir": func(dir, _ string) error { return os.Chown(dir, 65534, -1) },
		"a link": func(_, path string) error {
			return errors.Join(os.Rename(path, path+".x"), os.Symlink(path+".x", path))
		},
		"a fifo":         func(_, path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) },
		"no directory":   func(dir, _ string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) },
		"another's file": func(_, path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			l := open(t, Config{Dir: dir})
			l.Note(Event{Event: "x"})
			closeLog(t, l)
			if err := spoil(dir, filepath.Join(dir, logName(1))); errors.Is(err, fs.ErrPermission) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			if l, err := Open(Config{Dir: dir}); !errors.Is(err, ErrUnsafe) && !errors.Is(err, syscall.EISDIR) {
				t.Errorf("Open says %v, %v", l, err)
			} else if strings.Contains(name, "dir") || name == "others make" {
				return
			}
			if r, err := Verify(dir, nil); err == nil {
				t.Errorf("Verify says %+v", r)
			}
		})
	}
}
