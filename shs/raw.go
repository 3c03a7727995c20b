package shs

import (
	"net"
	"syscall"
)

// tryWriter is a connection that is no socket and can write without waiting all
// the same: n < len(p) without an error is "not now".
type tryWriter interface {
	TryWrite(p []byte) (n int, err error)
}

// rawConn is the descriptor of a socket, nil if conn is none. A type around a
// socket is none: its Read and Write may do something of their own.
func rawConn(conn net.Conn) syscall.RawConn {
	if !rawIO {
		return nil
	}
	var raw syscall.RawConn
	var err error
	switch conn := conn.(type) {
	case *net.UnixConn:
		raw, err = conn.SyscallConn()
	case *net.TCPConn:
		raw, err = conn.SyscallConn()
	}
	if err != nil {
		return nil // closed: reads and writes will say so
	}
	return raw
}
