package audit

import (
	"bytes"
	"crypto/ed25519"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("AUDIT_CRASH_DIR"); dir != "" {
		crashChild(dir)
	}
	goleak.VerifyTestMain(m)
}

// key is the server's in all tests.
var key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

func sign(msg []byte) []byte { return ed25519.Sign(key, msg) }

func verify(msg, sig []byte) bool {
	return len(sig) == ed25519.SignatureSize && ed25519.Verify(key.Public().(ed25519.PublicKey), msg, sig)
}

func open(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// sound verifies a log that must be in order.
func sound(t testing.TB, dir string, held ...Head) Report {
	t.Helper()
	r, err := Verify(dir, verify, held...)
	if err != nil {
		t.Fatal(err)
	}
	if r.Fault != nil {
		t.Fatal(r.Fault)
	}
	return r
}

// records reads all files of a log.
func records(t testing.TB, dir string) (all []Record) {
	t.Helper()
	names, err := logNames(osFiles{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			r, err := ParseRecord(line)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, line)
			}
			all = append(all, r)
		}
	}
	return all
}

// count counts records of an event.
func count(all []Record, event string) (n int) {
	for _, r := range all {
		if r.Event.Event == event {
			n++
		}
	}
	return n
}

// faulty are files that fail when told to.
type faulty struct {
	osFiles
	mu       sync.Mutex
	room     int  // bytes that can still be written; below 0: any number
	badSync  bool // and truncations that say nothing
	badTrunc bool
	badMake  bool
	panics   bool // in Write, half of it written
	syncs    int
	synced   int64 // size of the last file at its last sync
}

func newFaulty() *faulty { return &faulty{room: -1} }

func (f *faulty) set(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *faulty) append(path string, create bool) (file, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if create && f.badMake {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
	}
	inner, err := f.osFiles.append(path, create)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file: inner, on: f}, nil
}

type faultyFile struct {
	file
	on *faulty
}

func (f *faultyFile) Write(b []byte) (int, error) {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	if f.on.panics {
		f.file.Write(b[:len(b)/2])
		panic("a trap")
	}
	if f.on.room >= 0 && len(b) > f.on.room {
		n, _ := f.file.Write(b[:f.on.room])
		f.on.room = 0
		return n, syscall.ENOSPC
	}
	if f.on.room >= 0 {
		f.on.room -= len(b)
	}
	return f.file.Write(b)
}

func (f *faultyFile) Sync() error {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	if f.on.badSync {
		return syscall.EIO
	}
	f.on.syncs++
	if info, err := f.file.Stat(); err == nil {
		f.on.synced = info.Size()
	}
	return nil // the disk itself is not what is tested
}

func (f *faultyFile) Truncate(size int64) error {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	if f.on.badTrunc {
		return syscall.EROFS
	}
	return f.file.Truncate(size)
}
