//go:build !linux && !darwin

package peercred

import "net"

func peer(net.Conn) (uid uint32, pid int32, err error) { return 0, 0, ErrUnsupported }

func listener(net.Listener) (uint32, error) { return 0, ErrUnsupported }
