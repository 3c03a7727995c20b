//go:build !unix

package paths

import (
	"errors"
	"fmt"
)

// readAddress trusts nothing where it cannot tell who has written a file.
func readAddress(path string, _ int) (string, error) {
	return "", fmt.Errorf("address file %s: %w on this system: set SWITCHBOARD_ADDRESS", path, errors.ErrUnsupported)
}
