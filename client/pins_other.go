//go:build !unix

package client

import (
	"context"
	"errors"

	"github.com/cad2f06c/switchboard/shs"
)

// Without the owners and modes of Unix there is no telling who wrote a file.
func readPins(context.Context, string, bool) ([]byte, error) { return nil, errors.ErrUnsupported }

func addPin(context.Context, string, string, shs.PublicKey, func([]byte) (bool, error)) (bool, error) {
	return false, errors.ErrUnsupported
}
