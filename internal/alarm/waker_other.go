//go:build !linux

package alarm

import "errors"

func newWaker() (waker, error) { return nil, errors.ErrUnsupported }
