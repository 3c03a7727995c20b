package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// files is where a log lives. Paths are whole.
type files interface {
	read(path string) (io.ReadCloser, error)
	append(path string, create bool) (file, error) // create: it must not exist
	list(dir string) ([]string, error)             // names
	remove(path string) error
	lock(dir string) (dirLock, error) // makes dir if it is missing
}

// file is one file of a log, open for appending.
type file interface {
	io.WriteCloser
	io.ReaderAt
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
}

// dirLock is the directory, held by one log.
type dirLock interface {
	Sync() error
	Close() error
}

// ErrInUse says that another log has the directory open.
var ErrInUse = errors.New("audit: the directory is in use by another log")

// ErrUnsafe says that a file or directory belongs to somebody else, could be changed
// (a file: read) by others, or is of another kind, such as a symbolic link.
var ErrUnsafe = errors.New("audit: others have access, or it is no plain file")

// osFiles are the files of the system.
type osFiles struct{}

func (osFiles) read(path string) (io.ReadCloser, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, asUnsafe(path, err)
	}
	if err := checkFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (osFiles) append(path string, create bool) (file, error) {
	flags := os.O_RDWR | os.O_APPEND | noFollow
	if create {
		flags |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, asUnsafe(path, err)
	}
	if err := checkFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (osFiles) list(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (osFiles) remove(path string) error { return os.Remove(path) }

func (osFiles) lock(dir string) (dirLock, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := lockDir(d); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// checkFile looks at an open file: what was opened is what is used.
func checkFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || !ours(info) {
		return fmt.Errorf("%w: %s has mode %v", ErrUnsafe, f.Name(), info.Mode())
	}
	return nil
}

// checkDir looks at an open directory.
func checkDir(d *os.File) error {
	info, err := d.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 || !ours(info) {
		return fmt.Errorf("%w: %s has mode %v", ErrUnsafe, d.Name(), info.Mode())
	}
	return nil
}

const (
	namePrefix = "audit-"
	nameSuffix = ".jsonl"
	nameDigits = 20
)

// logName is the name of the file whose first record is seq.
func logName(seq uint64) string {
	return fmt.Sprintf("%s%0*d%s", namePrefix, nameDigits, seq, nameSuffix)
}

// firstOf is the number of the first record in a file, by its name; 0 if the name is
// not one of a log's file.
func firstOf(name string) uint64 {
	digits, ok := strings.CutPrefix(name, namePrefix)
	digits, ok2 := strings.CutSuffix(digits, nameSuffix)
	if !ok || !ok2 || len(digits) != nameDigits {
		return 0
	}
	n, _ := strconv.ParseUint(digits, 10, 64)
	return n
}

// logNames lists the files of a log, the oldest first.
func logNames(files files, dir string) ([]string, error) {
	names, err := files.list(dir)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return firstOf(name) == 0 })
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(firstOf(a), firstOf(b)) })
	return names, nil
}
