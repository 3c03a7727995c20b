//go:build unix

package paths

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxAddress is the longest address file in bytes; one address has about 150.
const maxAddress = 4 << 10

// readAddress opens the directory, and the file by way of that directory, and looks
// at what it has opened: so nothing can be exchanged between a check and its use.
func readAddress(path string, reader int) (string, error) {
	dirPath := filepath.Dir(path)
	dir, err := unix.Open(dirPath, openDir|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", openFailed(dirPath, err)
	}
	defer unix.Close(dir)
	if err := private(dir, dirPath, unix.S_IFDIR, reader); err != nil {
		return "", err
	}
	// Without O_NONBLOCK the open of a named pipe waits for a writer.
	fd, err := unix.Openat(dir, filepath.Base(path), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", openFailed(path, err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	if err := private(fd, path, unix.S_IFREG, reader); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxAddress+1))
	if err != nil {
		return "", fmt.Errorf("reading the address file: %w", err)
	}
	if len(text) > maxAddress {
		return "", fmt.Errorf("address file %s has more than %d bytes: remove it and start switchboard again", path, maxAddress)
	}
	address := strings.TrimSpace(string(text))
	if address == "" {
		return "", fmt.Errorf("address file %s is empty: start switchboard again", path)
	}
	return address, nil
}

// openFailed explains why the file or its directory did not open.
func openFailed(path string, err error) error {
	wrapped := &fs.PathError{Op: "open", Path: path, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no address file: %w: start switchboard, or set SWITCHBOARD_ADDRESS", wrapped)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EMLINK), errors.Is(err, unix.EFTYPE):
		return fmt.Errorf("%w: %s is a symbolic link or has the wrong type: put the real one there, or set SWITCHBOARD_ADDRESS",
			ErrUntrusted, path)
	}
	return fmt.Errorf("opening the address file: %w", wrapped)
}

// private checks that nobody but the reader and root can have written what fd is.
func private(fd int, path string, kind uint32, reader int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("checking the address file: %w", &fs.PathError{Op: "stat", Path: path, Err: err})
	}
	mode := uint32(st.Mode)
	switch {
	case mode&unix.S_IFMT != kind:
		return fmt.Errorf("%w: %s is neither file nor directory as it should be: remove it and start switchboard again",
			ErrUntrusted, path)
	case st.Uid != 0 && int(st.Uid) != reader:
		return fmt.Errorf("%w: %s belongs to uid %d, not to you (%d) or root: chown %d %s if it is yours",
			ErrUntrusted, path, st.Uid, reader, reader, path)
	case mode&0o022 != 0:
		return fmt.Errorf("%w: %s can be written by others (mode %04o): chmod go-w %s",
			ErrUntrusted, path, mode&0o7777, path)
	}
	return nil
}
