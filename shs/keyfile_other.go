//go:build !unix

package shs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Without the owners and modes of Unix there is no telling who knows a key.
func openKeyFile(path string) (*os.File, error) {
	return nil, fmt.Errorf("key file %s: %w on this system", path, errors.ErrUnsupported)
}

func checkKeyFileOwner(path string, _ fs.FileInfo) error {
	return fmt.Errorf("key file %s: %w on this system", path, errors.ErrUnsupported)
}
