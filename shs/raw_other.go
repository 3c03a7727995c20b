//go:build !(darwin || linux || openbsd)

package shs

import "errors"

// rawIO says whether this system has readRaw and writeRaw.
const rawIO = false

func readRaw(uintptr, []byte) (n int, again bool, err error) {
	return 0, false, errors.ErrUnsupported
}

func readvRaw(_ uintptr, _, _ []byte) (n int, again bool, err error) {
	return 0, false, errors.ErrUnsupported
}

func writeRaw(_ uintptr, _, _ []byte) (n int, again bool, err error) {
	return 0, false, errors.ErrUnsupported
}
