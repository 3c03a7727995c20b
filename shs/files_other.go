//go:build !(darwin || linux)

package shs

import (
	"errors"
	"os"

	"github.com/cad2f06c/switchboard/internal/sock"
)

// passesFiles says whether this system has recvFile and sendFile.
const passesFiles = false

const controlSize = 0

func recvFile(sock.Calls, uintptr, []byte, []byte) (n int, f *os.File, again bool, err error) {
	return 0, nil, false, errors.ErrUnsupported
}

func sendFile(_, _ uintptr, _ []byte) (n int, again bool, err error) {
	return 0, false, errors.ErrUnsupported
}
