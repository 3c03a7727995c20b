//go:build !(darwin || linux)

package switchboard

import (
	"errors"
	"os"
)

// socketPair fails: descriptors are not passed on this system.
func socketPair() (pair [2]*os.File, err error) { return pair, errors.ErrUnsupported }
