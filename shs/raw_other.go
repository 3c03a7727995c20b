//go:build !(darwin || linux || openbsd)

package shs

import (
	"errors"

	"github.com/cad2f06c/switchboard/internal/sock"
)

// rawIO says whether this system has readRaw and writeRaw.
const rawIO = false

func readRaw(sock.Calls, uintptr, []byte) (n int, again bool, err error) {
	return 0, false, errors.ErrUnsupported
}

func readvRaw(_ sock.Calls, _ uintptr, _, _ []byte) (n int, again bool, err error) {
	return 0, false, errors.ErrUnsupported
}

func writeRaw(_ sock.Calls, _ uintptr, _, _ []byte) (n int, again bool, err error) {
	return 0, false, errors.ErrUnsupported
}
