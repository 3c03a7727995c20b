//go:build unix

package paths

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const address = "unix:/run/switchboard/bus.sock~shs:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// write makes an address file as the server does, and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "switchboard")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "address")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadAddress(t *testing.T) {
	for _, text := range []string{address, address + "\n", "\n " + address + "\r\n\n", strings.Repeat("a", 4096)} {
		if got, err := ReadAddress(write(t, text)); err != nil || got != strings.TrimSpace(text) {
			t.Errorf("ReadAddress of %q: got %q, %v", text, got, err)
		}
	}
	t.Chdir(filepath.Dir(write(t, address)))
	if got, err := ReadAddress("address"); err != nil || got != address {
		t.Errorf("by relative path: got %q, %v", got, err)
	}
}

func TestReadAddressRefused(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, path string)
		want  error // nil: any
		says  []string
	}{
		{"no file", func(t *testing.T, path string) { must(t, os.Remove(path)) },
			fs.ErrNotExist, []string{"/address", "start switchboard"}},
		{"no directory", func(t *testing.T, path string) { must(t, os.RemoveAll(filepath.Dir(path))) },
			fs.ErrNotExist, []string{"/switchboard", "start switchboard"}},
		{"group may write the file", func(t *testing.T, path string) { must(t, os.Chmod(path, 0o620)) },
			ErrUntrusted, []string{"/address", "mode 0620", "chmod go-w"}},
		{"all may write the file", func(t *testing.T, path string) { must(t, os.Chmod(path, 0o602)) },
			ErrUntrusted, []string{"/address", "chmod go-w"}},
		{"group may write the directory", func(t *testing.T, path string) { must(t, os.Chmod(filepath.Dir(path), 0o770)) },
			ErrUntrusted, []string{"/switchboard", "mode 0770", "chmod go-w"}},
		{"all may write the directory, though sticky", func(t *testing.T, path string) {
			must(t, os.Chmod(filepath.Dir(path), 0o777|fs.ModeSticky))
		}, ErrUntrusted, []string{"/switchboard", "mode 1777", "chmod go-w"}},
		{"symbolic link to a good file", func(t *testing.T, path string) {
			must(t, os.Rename(path, path+"2"))
			must(t, os.Symlink("address2", path))
		}, ErrUntrusted, []string{"/address", "symbolic link"}},
		{"symbolic link to a good directory", func(t *testing.T, path string) {
			dir := filepath.Dir(path)
			must(t, os.Rename(dir, dir+"2"))
			must(t, os.Symlink("switchboard2", dir))
		}, ErrUntrusted, []string{"/switchboard", "symbolic link"}},
		{"directory instead of a file", func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o700))
		}, ErrUntrusted, []string{"/address", "remove it"}},
		{"pipe instead of a file", func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, unix.Mkfifo(path, 0o600))
		}, ErrUntrusted, []string{"/address", "remove it"}},
		{"too long", func(t *testing.T, path string) { must(t, os.WriteFile(path, make([]byte, 4097), 0o600)) },
			nil, []string{"/address", "4096 bytes", "start switchboard again"}},
		{"empty", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte(" \n"), 0o600)) },
			nil, []string{"/address", "empty", "start switchboard again"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := write(t, address)
			row.spoil(t, path)
			got, err := ReadAddress(path)
			if got != "" || err == nil || row.want != nil && !errors.Is(err, row.want) {
				t.Fatalf("got %q, %v, want %v", got, err, row.want)
			}
			for _, part := range row.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %v, want it to say %q", err, part)
				}
			}
		})
	}
}

// Whose file may be believed: the reader's own and root's.
func TestReadAddressOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const reader, stranger = 54321, 54322
	for _, row := range []struct {
		dir, file int
		trusted   bool
	}{
		{reader, reader, true},
		{0, 0, true},
		{reader, 0, true},
		{0, reader, true},
		{stranger, reader, false},
		{reader, stranger, false},
		{stranger, 0, false},
		{0, stranger, false},
	} {
		path := write(t, address)
		if err := errors.Join(os.Chown(filepath.Dir(path), row.dir, 0), os.Chown(path, row.file, 0)); err != nil {
			t.Fatal(err)
		}
		got, err := readAddress(path, reader)
		switch {
		case row.trusted && (err != nil || got != address):
			t.Errorf("directory of %d, file of %d: got %q, %v, want it read", row.dir, row.file, got, err)
		case !row.trusted && (!errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "belongs to uid 54322")):
			t.Errorf("directory of %d, file of %d: got %q, %v, want ErrUntrusted", row.dir, row.file, got, err)
		}
	}
}
